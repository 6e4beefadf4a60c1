"""What was changed is read page by page, whichever way the server counts on."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx

from app.errors import FhirUnavailable
from app.stores.hapi_history import Change, HapiHistory

BASE = "http://fhir.test/fhir"
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def history() -> AsyncIterator[HapiHistory]:
    http = httpx.AsyncClient(base_url=BASE, timeout=1, trust_env=False)
    yield HapiHistory(http)
    await http.aclose()


def page(*entries: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    links = [{"relation": "self", "url": "x"}]
    if following is not None:
        links.append({"relation": "next", "url": following})
    return {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": AT.isoformat()},
        "link": links,
        "entry": list(entries),
    }


def entry(resource_id: str, version: int, method: str = "PUT", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "request": {"method": method, "url": f"Patient/{resource_id}/_history/{version}"}
    }
    if method != "DELETE":
        made["resource"] = {"resourceType": "Patient", "id": resource_id, **more}
    return made


async def read(history: HapiHistory) -> list[Change]:
    return [each async for found in history.since("Patient", START) for each in found.changes]


@respx.mock
async def test_every_version_comes_with_its_identifiers_and_deletions_come_too(
    history: HapiHistory,
) -> None:
    route = respx.get(f"{BASE}/Patient/_history").respond(
        json=page(entry("b", 3, "DELETE"), entry("a", 2, identifier=[{"value": "1"}], link=[{}]))
    )

    assert await read(history) == [
        Change("Patient", "b", 3, deleted=True),
        Change("Patient", "a", 2, deleted=False, identifiers=({"value": "1"},), linked=True),
    ]
    asked = route.calls.last.request.url.params
    assert asked["_since"] == "2026-01-01T00:00:00.000+00:00"
    assert asked["_elements"] == "meta,identifier,link"


@respx.mock
@pytest.mark.parametrize(
    ("following", "path"),
    [
        ("https://elsewhere.test/fhir/Patient/_history?_offset=1&_count=1", "/Patient/_history"),
        ("https://elsewhere.test/fhir?_getpages=abc&_getpagesoffset=1", "/"),
    ],
)
async def test_the_next_page_is_asked_of_the_address_that_is_set(
    history: HapiHistory, following: str, path: str
) -> None:
    """Behind a proxy the server may know itself by an address that only others reach."""
    query = httpx.URL(following).params
    second = respx.get(f"{BASE}{path}", params=dict(query)).respond(json=page(entry("b", 1)))
    respx.get(f"{BASE}/Patient/_history").respond(json=page(entry("a", 1), following=following))

    assert [each.resource_id for each in await read(history)] == ["a", "b"]
    assert second.call_count == 1


@respx.mock
async def test_a_page_that_leads_to_itself_is_an_error(history: HapiHistory) -> None:
    following = f"{BASE}/Patient/_history?_offset=1"
    respx.get(f"{BASE}/Patient/_history").respond(json=page(entry("a", 1), following=following))

    with pytest.raises(FhirUnavailable):
        await read(history)


@respx.mock
@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Bundle"},
        {"meta": {"lastUpdated": "yesterday"}},
        {"meta": {"lastUpdated": AT.isoformat()}, "entry": [{}]},
        [],
    ],
)
async def test_what_cannot_be_understood_is_the_servers_fault(
    history: HapiHistory, body: Any
) -> None:
    respx.get(f"{BASE}/Patient/_history").respond(json=body)

    with pytest.raises(FhirUnavailable):
        await read(history)


@respx.mock
async def test_an_entry_without_url_is_known_by_its_resource(history: HapiHistory) -> None:
    made = {
        "request": {"method": "POST"},
        "resource": {"resourceType": "Patient", "id": "a", "meta": {"versionId": "7"}},
    }
    respx.get(f"{BASE}/Patient/_history").respond(json=page(made))

    assert await read(history) == [Change("Patient", "a", 7, deleted=False)]


@respx.mock
async def test_a_version_that_is_kept_is_returned_and_another_is_none(history: HapiHistory) -> None:
    kept = {"resourceType": "Patient", "id": "a"}
    respx.get(f"{BASE}/Patient/a/_history/1").respond(json=kept)
    gone = {"resourceType": "OperationOutcome"}
    respx.get(f"{BASE}/Patient/a/_history/2").respond(404, json=gone)

    assert await history.version("Patient", "a", 1) == kept
    assert await history.version("Patient", "a", 2) is None


@respx.mock
async def test_the_servers_clock_is_asked_for(history: HapiHistory) -> None:
    respx.get(f"{BASE}/Patient/_history").respond(json=page())

    assert await history.now() == AT
