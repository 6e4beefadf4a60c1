"""Practitioners and Encounters that are made of what objects say, where the settings want that."""

from typing import Any

from app.fhir.ids import named_id
from app.fhir.references import Logical, Reference

_DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def made_of(named: Logical, reference: Reference, patient: str) -> dict[str, Any]:
    """Return the minimal resource that a logical reference stands for."""
    resource: dict[str, Any] = {
        "resourceType": named.resource_type,
        "id": stand_in_id(named),
        "identifier": [reference["identifier"]],
    }
    if named.resource_type == "Practitioner":
        return _named(resource, reference.get("display", ""))
    resource["status"] = "unknown"
    # R4 requires a class (inpatient, emergency, …), which objects do not tell
    resource["class"] = {"extension": [{"url": _DATA_ABSENT_REASON, "valueCode": "unknown"}]}
    resource["subject"] = {"reference": patient}
    return resource


def stand_in_id(named: Logical) -> str:
    """Return the id of that resource."""
    return named_id(named.resource_type, named.system, named.value)


def _named(practitioner: dict[str, Any], name: str) -> dict[str, Any]:
    if name:
        practitioner["name"] = [{"use": "usual", "text": name}]
    return practitioner
