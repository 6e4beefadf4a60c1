"""The resources of objects, for the tests of this folder."""

from typing import Any

from app.dicom.instance import InstanceRecord
from app.dicom.part10 import read_instance
from app.fhir.identifiers import IdentifierSystems
from app.fhir.reports.derive import Derived, derived_resources
from app.fhir.reports.document import Origin
from app.limits import Limits

STUDY = {
    "resourceType": "ImagingStudy",
    "id": "s",
    "subject": {"reference": "Patient/p"},
    "modality": [{"code": "CT"}],
}
BASE = "https://pacs.example.org/dicom-web"
SYSTEMS = IdentifierSystems(
    patient_id_system="urn:test:patient",
    issuer_system_prefix="urn:test:issuer:",
    accession_system="urn:test:accession",
)


def derived(record: InstanceRecord, study: dict[str, Any] | None = None, **limits: int) -> Derived:
    """Return what an object becomes in a study."""
    return derived_resources(
        record,
        Origin("Patient/p", study or STUDY, BASE),
        systems=SYSTEMS,
        time_zone=None,
        limits=Limits().model_copy(update=limits),
    )


def resources_of(
    data: bytes, study: dict[str, Any] | None = None, **limits: int
) -> list[dict[str, Any]]:
    """Return the resources of an object as it is sent."""
    return list(derived(read_instance(data, Limits()), study, **limits).resources)


def of_type(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the resources of a type."""
    return [resource for resource in resources if resource["resourceType"] == kind]


def code_of(element: dict[str, Any]) -> str:
    """Return the first code of a CodeableConcept."""
    value: str = element["coding"][0]["code"]
    return value
