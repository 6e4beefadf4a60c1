"""Which Patient an instance is of, and the minimal Patient for one that nobody knows yet.

The FHIR server is the master of patients: what is made here is a beginning, and never overwrites.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.attributes import fhir_string, items, text
from app.fhir.date_time import fhir_date
from app.fhir.identifiers import IdentifierSystems
from app.fhir.ids import patient_id
from app.fhir.tables import code_system, gender_otherwise, genders, name_representations

__all__ = ["IdentifierSystems", "PatientKey", "patient_key", "patient_resource"]

# Patients of studies without a PatientID: nothing says that two such studies are of one person
PATIENT_OF_STUDY_SYSTEM = "urn:coregister:patient-of-study"

_NAME_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


@dataclass(frozen=True, slots=True)
class PatientKey:
    """The identifier by which a Patient is found."""

    system: str
    value: str

    @property
    def of_study(self) -> bool:
        """Tell whether this stands for the unnamed patient of one study."""
        return self.system == PATIENT_OF_STUDY_SYSTEM


def patient_key(
    attributes: Mapping[str, Any], systems: IdentifierSystems, study_instance_uid: str
) -> PatientKey:
    """Return the identifier of an instance's patient: PatientID and who issued it.

    An instance without a PatientID gets a patient of its study alone, so that no two people are mixed up.
    """
    value = text(attributes, "PatientID")
    if not value:
        return PatientKey(PATIENT_OF_STUDY_SYSTEM, study_instance_uid)
    return PatientKey(systems.of_patient_id(attributes), value)


def patient_resource(attributes: Mapping[str, Any], key: PatientKey) -> dict[str, Any]:
    """Return a minimal Patient from the attributes of the Patient Module (PS3.3 §C.7.1.1)."""
    identifier: dict[str, Any] = {"use": "usual", "system": key.system, "value": key.value}
    if not key.of_study:
        identifier["type"] = {"coding": [{"system": code_system("identifier_type"), "code": "MR"}]}
    resource: dict[str, Any] = {
        "resourceType": "Patient",
        "id": patient_id(key.system, key.value),
        "identifier": [identifier],
    }
    if names := _names(attributes):
        resource["name"] = names
    if sex := text(attributes, "PatientSex"):
        resource["gender"] = genders().get(sex.upper(), gender_otherwise())
    if birth_date := fhir_date(text(attributes, "PatientBirthDate")):
        resource["birthDate"] = birth_date
    return resource


def _names(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one HumanName for each component group of PatientName."""
    names = []
    for group in items(attributes, "PatientName")[:1]:
        written = [kind for kind in name_representations() if _components(group.get(kind))]
        for kind in written:
            name = _human_name(_components(group[kind]))
            if written != ["Alphabetic"]:
                code = name_representations()[kind]
                name["extension"] = [{"url": _NAME_REPRESENTATION, "valueCode": code}]
            names.append(name)
    return names


def _human_name(components: list[str]) -> dict[str, Any]:
    """Return family^given^middle^prefix^suffix (PS3.5 §6.2.1.1) as a HumanName."""
    family, given, middle, prefix, suffix = (components + [""] * 5)[:5]
    spoken = [part for part in (prefix, given, middle, family, suffix) if part]
    name: dict[str, Any] = {"use": "usual", "text": " ".join(spoken)}
    if family:
        name["family"] = family
    if given or middle:
        name["given"] = [part for part in (given, middle) if part]
    if prefix:
        name["prefix"] = [prefix]
    if suffix:
        name["suffix"] = [suffix]
    return name


def _components(group: object) -> list[str]:
    if not isinstance(group, str):
        return []
    components = [fhir_string(part) for part in group.split("^")][:5]
    return components if any(components) else []
