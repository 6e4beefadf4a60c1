"""Patients that were merged (FHIR R4 Patient.link)."""

from collections.abc import Mapping
from typing import Any


def replaced_by(patient: Mapping[str, Any]) -> str | None:
    """Return the reference of the Patient that is to be used instead of this one."""
    return next(iter(_linked(patient, "replaced-by")), None)


def replaces(patient: Mapping[str, Any]) -> list[str]:
    """Return the references of the Patients that this one is used instead of."""
    return _linked(patient, "replaces")


def _linked(patient: Mapping[str, Any], kind: str) -> list[str]:
    links = patient.get("link")
    if not isinstance(links, list):
        return []
    references = (
        (link.get("other") or {}).get("reference")
        for link in links
        if isinstance(link, Mapping) and link.get("type") == kind
    )
    return [each for each in references if isinstance(each, str) and _is_patient(each)]


def _is_patient(reference: str) -> bool:
    kind, _, name = reference.partition("/")
    return kind == "Patient" and bool(name) and "/" not in name
