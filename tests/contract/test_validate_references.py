"""HAPI's `$validate` finds no error in what is made besides studies, patients and reports."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.fhir.provenance import Activity, Deed, Requester, TracedInstance, provenance_resource
from app.fhir.references import Logical
from app.fhir.stand_in import made_of
from app.services.search_parameters import search_parameters

pytestmark = pytest.mark.stack

ACTIVITIES: tuple[Activity, ...] = ("create", "replace", "delete", "correct")


def provenances() -> Iterator[dict[str, Any]]:
    for activity in ACTIVITIES:
        deed = Deed(
            id="deed",
            activity=activity,
            study_instance_uid="1.2.3",
            recorded="2026-01-02T03:04:05.678Z",
            requester=Requester(user="jane", client="Modality/7"),
            imaging_study_version=3,
            instances=(TracedInstance("1.2.3.4", "ab" * 32), TracedInstance("1.2.3.5", "cd" * 32)),
            sources=("Patient/p/_history/2",) if activity == "correct" else (),
            also=("Patient/p",) if activity == "correct" else (),
        )
        yield provenance_resource([deed], most_instances=5)
        yield provenance_resource([deed], most_instances=1, literal=False)


def stand_ins() -> Iterator[dict[str, Any]]:
    for kind in ("Practitioner", "Encounter"):
        identifier = {"system": "urn:test", "value": "7"}
        reference = {"identifier": identifier, "display": "House"}
        yield made_of(Logical(kind, "urn:test", "7"), reference, "Patient/p")


def test_the_fhir_server_finds_no_error_in_them(stack: Any) -> None:
    resources = [*provenances(), *stand_ins(), *map(dict, search_parameters())]
    with httpx.Client(base_url=stack.fhir_url, timeout=120) as fhir:
        for resource in resources:
            answer = fhir.post(f"/{resource['resourceType']}/$validate", json=resource).json()
            severe = {"error", "fatal"}
            wrong = [each for each in answer["issue"] if each["severity"] in severe]
            assert wrong == [], resource["resourceType"]
