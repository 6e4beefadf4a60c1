"""Which Patient an instance is of, and the minimal Patient for one that nobody knows yet.

The FHIR server is the master of patients: what is made here is a beginning, and never overwrites.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.attributes import text
from app.fhir.data_set import DataSet
from app.fhir.identifiers import IdentifierSystems
from app.fhir.ids import patient_id
from app.fhir.patient_conversions import PATIENT_CONVERSIONS
from app.fhir.rows import elements_of
from app.fhir.tables import code_system, rows

__all__ = ["IdentifierSystems", "PatientKey", "patient_key", "patient_resource"]

# Patients of studies without a PatientID: nothing says that two such studies are of one person
PATIENT_OF_STUDY_SYSTEM = "urn:coregister:patient-of-study"


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


def patient_resource(
    attributes: Mapping[str, Any], key: PatientKey, systems: IdentifierSystems
) -> dict[str, Any]:
    """Return a Patient from the attributes of the Patient Module (PS3.3 §C.7.1.1)."""
    identifier: dict[str, Any] = {"use": "usual", "system": key.system, "value": key.value}
    if not key.of_study:
        identifier["type"] = {"coding": [{"system": code_system("identifier_type"), "code": "MR"}]}
    data_set = DataSet(attributes, systems)
    made = elements_of(data_set, rows("patient"), PATIENT_CONVERSIONS, {"identifier": [identifier]})
    return {"resourceType": "Patient", "id": patient_id(key.system, key.value), **made}
