"""The Endpoint at which the objects of every ImagingStudy can be had."""

from typing import Any

from app.fhir.ids import endpoint_id
from app.fhir.tables import code_system


def endpoint_resource(base_url: str) -> dict[str, Any]:
    """Return the Endpoint of a DICOMweb base URL: clients append `/studies/{uid}`."""
    return {
        "resourceType": "Endpoint",
        "id": endpoint_id(base_url),
        "status": "active",
        "connectionType": {"system": code_system("connection_type"), "code": "dicom-wado-rs"},
        "name": "Coregister DICOMweb",
        "payloadType": [{"coding": [{"system": code_system("dicom"), "code": "113014"}]}],
        "payloadMimeType": ["application/dicom", "application/dicom+json"],
        "address": base_url.rstrip("/"),
    }
