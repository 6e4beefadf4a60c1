"""The Endpoints at which the objects of every ImagingStudy can be had, and looked at."""

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


def viewer_endpoint_resource(address: str) -> dict[str, Any]:
    """Return the Endpoint of a viewer: browsers append `?requestType=STUDY&studyUID={uid}` (IHE IID)."""
    return {
        "resourceType": "Endpoint",
        "id": endpoint_id(address),
        "status": "active",
        "connectionType": {"system": code_system("connection_type"), "code": "ihe-iid"},
        "name": "Coregister viewer",
        "payloadType": [{"coding": [{"system": code_system("dicom"), "code": "113014"}]}],
        "payloadMimeType": ["text/html"],
        "address": address,
    }
