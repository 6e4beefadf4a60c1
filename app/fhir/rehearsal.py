"""Resources to rehearse a commit with: of the usual shape, about nobody, never kept."""

from typing import Any
from uuid import uuid4

from app.fhir.ids import patient_id
from app.fhir.patient import PatientKey
from app.fhir.tables import code_system


def rehearsed(key: PatientKey) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a Patient and an ImagingStudy of the usual shape that stand for nobody."""
    patient = {
        "resourceType": "Patient",
        "id": patient_id(key.system, key.value),
        "identifier": [{"system": key.system, "value": key.value}],
        "name": [{"family": "Warm-up", "given": ["Coregister"]}],
        "gender": "unknown",
        "birthDate": "2000-01-01",
    }
    modality = {"system": code_system("dicom"), "code": "OT"}
    instances = [
        {
            "uid": f"2.25.{number}",
            "sopClass": {"system": code_system("uri"), "code": "urn:oid:2.25"},
        }
        for number in range(5)
    ]
    study = {
        "resourceType": "ImagingStudy",
        "id": str(uuid4()),
        "identifier": [{"system": key.system, "value": key.value}],
        "status": "available",
        "subject": {"reference": f"Patient/{patient['id']}"},
        "started": "2000-01-01",
        "modality": [modality],
        "description": "Warm-up",
        "series": [
            {"uid": "2.25.0", "modality": modality, "instance": instances, "numberOfInstances": 5}
        ],
    }
    return patient, study
