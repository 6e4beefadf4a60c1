"""Brings a Patient up to date with an object, where DICOM is the master of patients."""

from collections.abc import Mapping
from typing import Any

from app.fhir.demographics import Demographics
from app.fhir.identifiers import IdentifierSystems
from app.fhir.patient import PatientKey, patient_resource

_FOLLOWING = {"00100010": "name", "00100030": "birthDate", "00100040": "gender"}


def updated_patient(
    patient: Mapping[str, Any],
    attributes: Mapping[str, Any],
    key: PatientKey,
    systems: IdentifierSystems,
) -> dict[str, Any] | None:
    """Return the Patient with name, birthDate and gender as the object has them; None where it has them.

    What the object does not say stays, and so do names of other uses.
    """
    differing = Demographics.of(patient).shown(attributes, systems)
    made = patient_resource(attributes, key, systems)
    # what FHIR does not say differs as well
    differs = [
        e for t, e in _FOLLOWING.items() if e in made and (t in differing or e not in patient)
    ]
    if not differs:
        return None
    after = {**patient, **{element: made[element] for element in differs}}
    if "name" in differs:
        usual = [name for name in made["name"] if name.get("use") == "usual"]
        others = [n for n in patient.get("name", ()) if n.get("use") not in (None, "usual")]
        after["name"] = [*usual, *others]
    return after
