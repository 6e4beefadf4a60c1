"""What a resource that is there becomes when its object is stored anew, deleted, or of another patient.

Coregister owns the elements that it makes: they are made anew. Of identifiers, categories and extensions, which
others add to, theirs stay. Every other element, such as a note, is kept as it is.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from app.fhir.imaging_study import without_server_meta
from app.fhir.reports.document import SOURCE

ENTERED_IN_ERROR = "entered-in-error"

_SHARED = frozenset({"identifier", "category", "extension"})  # lists that others add to
_COMMON = frozenset({"id", "meta", "resourceType", "status", "subject"})
_OWNED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Observation": _COMMON
        | {
            "basedOn", "bodySite", "code", "component", "dataAbsentReason", "derivedFrom", "device",
            "effectiveDateTime", "effectivePeriod", "encounter", "hasMember", "issued", "method", "partOf",
            "performer", "specimen", "valueCodeableConcept", "valueDateTime", "valueQuantity", "valueString",
        },
        "DiagnosticReport": _COMMON
        | {
            "basedOn", "code", "conclusion", "conclusionCode", "effectiveDateTime", "encounter", "imagingStudy",
            "issued", "performer", "presentedForm", "result", "resultsInterpreter",
        },
        "DocumentReference": _COMMON
        | {
            "author", "content", "context", "date", "description", "docStatus", "masterIdentifier", "type",
        },
    }
)  # fmt: skip
_EMPTY: Mapping[str, Any] = MappingProxyType({})


def brought_up_to_date(
    present: Mapping[str, Any], made: Mapping[str, Any], before: Mapping[str, Any] = _EMPTY
) -> dict[str, Any]:
    """Return `made` with what others wrote on it; `before` is what was made of the version before."""
    found = without_server_meta(present)
    owned = _OWNED[str(made["resourceType"])]
    kept = {name: value for name, value in found.items() if name not in owned | _SHARED}
    merged = {**kept, **made, "meta": {**found.get("meta", {}), **made["meta"]}}
    for name in _SHARED:
        ours, theirs = made.get(name, []), found.get(name, [])
        past = before.get(name, [])
        together = [*ours, *(each for each in theirs if each not in ours and each not in past)]
        if together:
            merged[name] = together
    return merged


def retired(present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resource of something that is no longer there."""
    return {**without_server_meta(present), "status": ENTERED_IN_ERROR}


def of_patient(present: Mapping[str, Any], subject: str) -> dict[str, Any]:
    """Return the resource with another subject."""
    found = without_server_meta(present)
    return {**found, "subject": {**_but_name(found.get("subject", {})), "reference": subject}}


def ours_alone(present: Mapping[str, Any]) -> bool:
    """Tell whether nobody else has added an element to the resource."""
    owned = _OWNED.get(str(present.get("resourceType")), frozenset())
    source = str(present.get("meta", {}).get("source", "")).partition("#")[0]
    return source == SOURCE and present.keys() <= owned | _SHARED


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two resources say the same, whatever the server added."""
    return without_server_meta(one) == without_server_meta(other)


def _but_name(subject: Mapping[str, Any]) -> dict[str, Any]:
    """Return a subject without what names the patient whom it was of before."""
    return {k: v for k, v in subject.items() if k not in ("reference", "display", "identifier")}
