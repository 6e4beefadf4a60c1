"""Who issued a PatientID or an AccessionNumber, as the system of a FHIR Identifier."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from app.fhir.attributes import items, text
from app.settings import Settings

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")


@dataclass(frozen=True, slots=True)
class IdentifierSystems:
    """The systems of identifiers whose issuer the data set names only by a local word or not at all."""

    patient_id_system: str
    issuer_system_prefix: str
    accession_system: str
    admission_system: str = "urn:coregister:admission-id"
    specimen_system: str = "urn:coregister:specimen-id"
    study_id_system: str | None = None  # none: StudyID becomes no identifier
    coding_scheme_prefix: str = "urn:coregister:coding-scheme:"

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Take them from the settings."""
        return cls(
            patient_id_system=settings.patient_id_system,
            issuer_system_prefix=settings.issuer_system_prefix,
            accession_system=settings.accession_system,
            admission_system=settings.admission_system,
            specimen_system=settings.specimen_system,
            study_id_system=settings.study_id_system,
            coding_scheme_prefix=settings.coding_scheme_prefix,
        )

    def of_patient_id(self, attributes: Mapping[str, Any]) -> str:
        """Return the system of the PatientID (PS3.3 §C.2.1, Table 10-18)."""
        return self.issuer_of_patient_id(attributes) or self.patient_id_system

    def issuer_of_patient_id(self, attributes: Mapping[str, Any]) -> str:
        """Return the system of a PatientID whose issuer is named, else nothing."""
        for qualifiers in items(attributes, "IssuerOfPatientIDQualifiersSequence"):
            if universal := _universal(qualifiers):
                return universal
        return self._local(text(attributes, "IssuerOfPatientID"))

    def of_accession_number(self, attributes: Mapping[str, Any]) -> str:
        """Return the system of the AccessionNumber."""
        issuers = items(attributes, "IssuerOfAccessionNumberSequence")
        return self._designated(issuers) or self.accession_system

    def of_admission_id(self, attributes: Mapping[str, Any]) -> str:
        """Return the system of the AdmissionID."""
        issuers = items(attributes, "IssuerOfAdmissionIDSequence")
        return self._designated(issuers) or self.admission_system

    def of_specimen(self, description: Mapping[str, Any]) -> str:
        """Return the system of the SpecimenIdentifier of an item of SpecimenDescriptionSequence."""
        issuers = items(description, "IssuerOfTheSpecimenIdentifierSequence")
        return self._designated(issuers) or self.specimen_system

    def of_container(self, attributes: Mapping[str, Any]) -> str:
        """Return the system of the ContainerIdentifier."""
        issuers = items(attributes, "IssuerOfTheContainerIdentifierSequence")
        return self._designated(issuers) or self.specimen_system

    def _designated(self, issuers: Sequence[Mapping[str, Any]]) -> str:
        """Return the system that a Hierarchic Designator names (HL7v2, PS3.3 §10.14), or nothing."""
        for issuer in issuers:
            if universal := _universal(issuer):
                return universal
            if local := self._local(text(issuer, "LocalNamespaceEntityID")):
                return local
        return ""

    def _local(self, issuer: str) -> str:
        return self.issuer_system_prefix + quote(issuer, safe="") if issuer else ""


def _universal(designator: Mapping[str, Any]) -> str:
    """Return a universal entity id as a URI, or nothing where its type has no form as one."""
    identifier = text(designator, "UniversalEntityID")
    kind = text(designator, "UniversalEntityIDType")
    if kind == "ISO" and _OID.fullmatch(identifier):
        return f"urn:oid:{identifier}"
    if kind == "UUID" and _UUID.fullmatch(identifier):
        return f"urn:uuid:{identifier.lower()}"
    if kind == "URI" and _URI.fullmatch(identifier):
        return identifier
    return ""
