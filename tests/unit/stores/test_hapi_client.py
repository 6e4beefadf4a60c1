from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import respx

from app.errors import CoregisterError, FhirUnavailable, LinkRefused, VersionConflict
from app.stores.hapi_client import HapiClient

BASE = "http://fhir.test/fhir"
NAME = "Mustermann^Erika"


def outcome(*issues: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


@pytest.fixture
async def client() -> AsyncIterator[HapiClient]:
    http = httpx.AsyncClient(base_url=BASE, timeout=1, trust_env=False)
    yield HapiClient(http)
    await http.aclose()


@respx.mock
async def test_searches_of_fhirpy_go_over_the_shared_connections(client: HapiClient) -> None:
    """The contract with fhirpy 2.3: all its requests pass `_do_request`."""
    route = respx.get(f"{BASE}/Patient").respond(
        json={
            "resourceType": "Bundle",
            "entry": [{"resource": {"resourceType": "Patient", "id": "a"}}],
        }
    )

    (patient,) = await client.resources("Patient").search(identifier="urn:x|1").fetch()

    assert patient.id == "a"
    assert dict(route.calls.last.request.url.params) == {"identifier": "urn:x|1"}
    assert route.calls.last.request.headers["Cache-Control"] == "no-cache, no-store"


@respx.mock
async def test_saving_with_fhirpy_sends_fhir_json(client: HapiClient) -> None:
    route = respx.put(f"{BASE}/Patient/a").respond(json={"resourceType": "Patient", "id": "a"})

    await client.resource("Patient", id="a", active=True).save()

    request = route.calls.last.request
    assert orjson.loads(request.content) == {"resourceType": "Patient", "id": "a", "active": True}
    assert request.headers["Content-Type"] == "application/fhir+json"


@respx.mock
async def test_deleting_with_fhirpy_needs_no_body(client: HapiClient) -> None:
    respx.delete(f"{BASE}/Patient/a").respond(204)

    assert await client.delete("Patient", "a") is None


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, LinkRefused),
        (422, LinkRefused),
        (409, VersionConflict),
        (412, VersionConflict),
        (401, FhirUnavailable),
        (403, FhirUnavailable),
        (404, FhirUnavailable),
        (429, FhirUnavailable),
        (302, FhirUnavailable),
        (500, FhirUnavailable),
        (503, FhirUnavailable),
    ],
)
@respx.mock
async def test_a_status_becomes_the_error_that_it_means(
    client: HapiClient, status: int, error: type[CoregisterError]
) -> None:
    respx.put(f"{BASE}/Patient/a").respond(status, json=outcome({"code": "processing"}))

    with pytest.raises(error):
        await client.exchange("put", "Patient/a", data={})


@respx.mock
async def test_a_lost_race_in_the_database_is_a_conflict(client: HapiClient) -> None:
    text = "could not execute: Unique index or primary key violation: constraint IDX_RES"
    respx.post(f"{BASE}/").respond(500, json=outcome({"diagnostics": text}))

    with pytest.raises(VersionConflict):
        await client.execute("", data={})


@respx.mock
async def test_a_refusal_says_what_and_where_but_quotes_no_data(client: HapiClient) -> None:
    respx.put(f"{BASE}/Patient/a").respond(
        400,
        json=outcome(
            {
                "code": "invalid",
                "diagnostics": f'HAPI-1821: Invalid attribute value "{NAME}"',
                "expression": ["Patient.name[0].family"],
                "location": [f"Patient.name = {NAME}"],
            },
            {"code": NAME, "diagnostics": NAME},
        ),
    )

    with pytest.raises(LinkRefused) as caught:
        await client.exchange("put", "Patient/a", data={})

    assert NAME not in str(caught.value)
    assert caught.value.message == (
        "The FHIR server refuses the study with 400: "
        "invalid Patient.name[0].family HAPI-1821; issue."
    )


@respx.mock
async def test_a_refusal_by_something_else_than_the_fhir_server_is_no_refusal(
    client: HapiClient,
) -> None:
    respx.put(f"{BASE}/Patient/a").respond(400, text="<html>bad gateway configuration</html>")

    with pytest.raises(FhirUnavailable):
        await client.exchange("put", "Patient/a", data={})


@respx.mock
async def test_the_server_says_when_to_come_again(client: HapiClient) -> None:
    respx.get(f"{BASE}/Patient/a").respond(503, headers={"Retry-After": "17"})

    with pytest.raises(FhirUnavailable) as caught:
        await client.exchange("get", "Patient/a")

    assert caught.value.retry_after == 17


@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.PoolTimeout],
)
@respx.mock
async def test_a_broken_connection_is_no_answer(
    client: HapiClient, failure: type[httpx.TransportError]
) -> None:
    respx.get(f"{BASE}/Patient/a").mock(side_effect=failure(NAME))

    with pytest.raises(FhirUnavailable) as caught:
        await client.exchange("get", "Patient/a")

    assert NAME not in str(caught.value)
    assert caught.value.retry_after


@respx.mock
async def test_an_answer_that_is_no_json_is_no_answer(client: HapiClient) -> None:
    respx.get(f"{BASE}/Patient").respond(text="<html>welcome</html>")

    with pytest.raises(FhirUnavailable):
        await client.resources("Patient").fetch()
