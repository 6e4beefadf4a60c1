"""The search parameters that Coregister brings, against a real HAPI."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fhir.resources.R4B.searchparameter import SearchParameter

from app.services.search_parameters import SearchParameters, search_parameters
from app.stores.hapi import HapiStore
from app.stores.http import http_client

pytestmark = pytest.mark.stack

ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
LEFT = {"system": "http://snomed.info/sct", "code": "7771000"}
CODE = {"coding": [{"system": "http://loinc.org", "code": "30799-1"}]}


@pytest.fixture
async def store(stack: Any) -> AsyncIterator[HapiStore]:
    opened = HapiStore(http_client(stack.fhir_url, timeout_seconds=60))
    await SearchParameters(opened).install()
    yield opened
    await opened.close()


@pytest.fixture
async def fhir(stack: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.fhir_url, timeout=60) as client:
        yield client


async def stored(store: HapiStore) -> dict[str, Any]:
    """Store a study, and a report about it; return the study."""
    name = uuid4().hex
    patient = {"resourceType": "Patient", "id": f"p-{name}"}
    subject = {"reference": f"Patient/p-{name}"}
    study = {
        "resourceType": "ImagingStudy",
        "id": f"s-{name}",
        "status": "available",
        "subject": subject,
        "identifier": [
            {"type": ACSN, "system": "urn:test", "value": f"a-{name}"},
            {"system": "urn:test", "value": f"no-accession-{name}"},
        ],
        "basedOn": [{"type": "ServiceRequest", "identifier": {"value": f"b-{name}"}}],
        "description": f"Hüfte {name}",
        "procedureCode": [CODE],
        "numberOfSeries": 1,
        "numberOfInstances": 77_001,
        "series": [{"uid": "2.25.1", "modality": {"code": "CT"}, "laterality": LEFT}],
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": f"d-{name}",
        "status": "final",
        "code": {"text": "report"},
        "subject": subject,
        "imagingStudy": [{"reference": f"ImagingStudy/s-{name}"}],
    }
    await store.write([patient, study])
    await store.write([report])
    return study


async def found(fhir: httpx.AsyncClient, kind: str, **params: str) -> list[str]:
    headers = {"Cache-Control": "no-cache"}
    answer = await fhir.get(f"/{kind}", params=params, headers=headers)
    return [entry["resource"]["id"] for entry in answer.raise_for_status().json().get("entry", ())]


async def test_a_study_is_found_by_each_parameter(
    store: HapiStore, fhir: httpx.AsyncClient
) -> None:
    study = await stored(store)
    name = study["id"].removeprefix("s-")
    patient = {"patient": study["subject"]["reference"]}
    questions = {
        "description": f"hufte {name}",
        "procedure-code": "http://loinc.org|30799-1",
        "laterality": "http://snomed.info/sct|7771000",
        "number-of-series": "1",
        "number-of-instances": "gt77000",
    }

    for parameter, value in questions.items():
        assert await found(fhir, "ImagingStudy", **patient, **{parameter: value}) == [study["id"]]
    assert await found(fhir, "ImagingStudy", accession=f"urn:test|a-{name}") == [study["id"]]
    assert await found(fhir, "ImagingStudy", accession=f"b-{name}") == [study["id"]]
    assert await found(fhir, "ImagingStudy", accession=f"no-accession-{name}") == []
    assert await found(fhir, "ImagingStudy", **patient, laterality="24028007") == []


async def test_a_report_is_found_by_its_study_and_included(
    store: HapiStore, fhir: httpx.AsyncClient
) -> None:
    study = await stored(store)
    report = study["id"].replace("s-", "d-", 1)

    by_study = {"imaging-study": f"ImagingStudy/{study['id']}"}
    assert await found(fhir, "DiagnosticReport", **by_study) == [report]
    backwards = {"_id": study["id"], "_revinclude": "DiagnosticReport:imaging-study"}
    assert await found(fhir, "ImagingStudy", **backwards) == [study["id"], report]


async def test_what_is_installed_is_not_installed_again(store: HapiStore) -> None:
    assert await SearchParameters(store).install() == 0


async def test_one_that_somebody_changed_is_put_back(
    store: HapiStore, fhir: httpx.AsyncClient
) -> None:
    wanted = search_parameters()[0]
    changed = {**wanted, "description": "Somebody was here."}
    (await fhir.put(f"/SearchParameter/{wanted['id']}", json=changed)).raise_for_status()

    assert await SearchParameters(store).install() == 1
    there = (await store.read("SearchParameter", wanted["id"])).resource
    assert there is not None
    assert there["description"] == wanted["description"]


def test_each_is_a_valid_resource_with_a_name_of_its_own() -> None:
    parameters = search_parameters()
    for each in parameters:
        SearchParameter.model_validate(dict(each))

    assert len({(*each["base"], each["code"]) for each in parameters}) == len(parameters)
    assert len({each["id"] for each in parameters}) == len(parameters)
    assert len({each["url"] for each in parameters}) == len(parameters)
