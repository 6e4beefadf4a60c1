"""Who issued a PatientID or an AccessionNumber, as the system of a FHIR Identifier."""

import re
from collections.abc import Mapping
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

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Take them from the settings."""
        return cls(
            patient_id_system=settings.patient_id_system,
            issuer_system_prefix=settings.issuer_system_prefix,
            accession_system=settings.accession_system,
        )

    def of_patient_id(self, attributes: Mapping[str, Any]) -> str:
        """Return the system of the PatientID (PS3.3 §C.2.1, Table 10-18)."""
        for qualifiers in items(attributes, "IssuerOfPatientIDQualifiersSequence"):
            if universal := _universal(qualifiers):
                return universal
        return self._local(text(attributes, "IssuerOfPatientID")) or self.patient_id_system

    def of_accession_number(self, attributes: Mapping[str, Any]) -> str:
        """Return the system of the AccessionNumber (HL7v2 Hierarchic Designator, PS3.3 §10.14)."""
        for issuer in items(attributes, "IssuerOfAccessionNumberSequence"):
            if universal := _universal(issuer):
                return universal
            if local := self._local(text(issuer, "LocalNamespaceEntityID")):
                return local
        return self.accession_system

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
