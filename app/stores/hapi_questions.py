"""Searches of the FHIR server, and what their answers hold."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from app.errors import FhirUnavailable
from app.fhir.patient import PatientKey
from app.stores.hapi_client import RETRY_AFTER_SECONDS

_TOKEN_SPECIAL = re.compile(r"([\\,|$])")
_PATIENTS_PAGE = 50

Answers = Sequence[Sequence[Mapping[str, Any]] | None]  # None where the server refuses to say


@dataclass(frozen=True, slots=True)
class Question:
    """A search."""

    resource_type: str
    params: Mapping[str, str]


def identified_by(resource_type: str, system: str, value: str, *, most: int) -> Question:
    """Return the search for resources with an identifier."""
    token = "|".join(_TOKEN_SPECIAL.sub(r"\\\1", part) for part in (system, value))
    return Question(resource_type, {"identifier": token, "_count": str(most)})


def patients_with(key: PatientKey) -> Question:
    """Return the search for the Patients with an identifier."""
    return identified_by("Patient", key.system, key.value, most=_PATIENTS_PAGE)


def found_by(question: Question, bundle: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """Return what was found, without what the server has to say about it."""
    if bundle is None:
        return None
    resources = [entry.get("resource", {}) for entry in bundle.get("entry", ())]
    return [each for each in resources if each.get("resourceType") == question.resource_type]


def answer(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the answer to one question of a batch; None where the server has refused it."""
    status = str(entry.get("response", {}).get("status", ""))
    if status.startswith("2"):
        return cast("Mapping[str, Any]", entry.get("resource", {}))
    if status.startswith("4") and not status.startswith("429"):
        return None
    raise FhirUnavailable(
        "The FHIR server did not answer a search.", retry_after=RETRY_AFTER_SECONDS
    )
