"""Deleting a resource at a version: tried again where HAPI refuses for no reason, given up where it has one."""

from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from app.errors import FhirUnavailable, VersionConflict
from app.stores.hapi import HapiStore

BASE = "http://fhir.test/fhir"
STUDY = f"{BASE}/ImagingStudy/s"
CONFLICT = {
    "resourceType": "OperationOutcome",
    "issue": [{"code": "conflict", "diagnostics": "HAPI-0826: deletion failed"}],
}


@pytest.fixture
async def store() -> AsyncIterator[HapiStore]:
    opened = HapiStore(httpx.AsyncClient(base_url=BASE, timeout=1, trust_env=False))
    yield opened
    await opened.close()


def at(version: int) -> dict[str, object]:
    return {"resourceType": "ImagingStudy", "id": "s", "meta": {"versionId": str(version)}}


@respx.mock
async def test_the_url_names_the_version(store: HapiStore) -> None:
    route = respx.delete(f"{STUDY}/_history/7").respond(200)
    await store.delete("ImagingStudy", "s", 7)
    assert route.call_count == 1


@respx.mock
async def test_a_conflict_without_a_reason_is_tried_again(store: HapiStore) -> None:
    answers = [httpx.Response(409, json=CONFLICT)] * 2 + [httpx.Response(200)]
    route = respx.delete(f"{STUDY}/_history/7").mock(side_effect=answers)
    respx.get(STUDY).respond(json=at(7))
    await store.delete("ImagingStudy", "s", 7)
    assert route.call_count == 3


@respx.mock
async def test_a_resource_that_others_changed_is_not_deleted(store: HapiStore) -> None:
    route = respx.delete(f"{STUDY}/_history/7").respond(409, json=CONFLICT)
    respx.get(STUDY).respond(json=at(8))
    with pytest.raises(VersionConflict):
        await store.delete("ImagingStudy", "s", 7)
    assert route.call_count == 1


@respx.mock
async def test_one_that_is_deleted_already_is_a_success(store: HapiStore) -> None:
    respx.delete(f"{STUDY}/_history/7").respond(409, json=CONFLICT)
    respx.get(STUDY).respond(410, headers={"Location": f"{STUDY}/_history/8"})
    await store.delete("ImagingStudy", "s", 7)


@respx.mock
async def test_one_that_others_refer_to_stays_in_the_end(store: HapiStore) -> None:
    respx.delete(f"{STUDY}/_history/7").respond(409, json=CONFLICT)
    respx.get(STUDY).respond(json=at(7))
    with pytest.raises(VersionConflict):
        await store.delete("ImagingStudy", "s", 7)


@respx.mock
async def test_a_server_that_is_down_says_so(store: HapiStore) -> None:
    respx.delete(f"{STUDY}/_history/7").mock(side_effect=httpx.ConnectError)
    with pytest.raises(FhirUnavailable):
        await store.delete("ImagingStudy", "s", 7)
