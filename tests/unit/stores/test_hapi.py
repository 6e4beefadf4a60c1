from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import respx

from app.errors import FhirUnavailable, VersionConflict
from app.fhir.bundle import study_transaction
from app.fhir.ids import patient_id
from app.fhir.patient import PatientKey
from app.stores.hapi import CommitResult, Found, HapiStore
from app.stores.hapi_questions import identified_by, patients_with

BASE = "http://fhir.test/fhir"
KEY = PatientKey("urn:x,y", "a|b$\\")
STUDY = {"resourceType": "ImagingStudy", "id": "s"}
PATIENT = {"resourceType": "Patient", "id": "p"}


@pytest.fixture
async def store() -> AsyncIterator[HapiStore]:
    opened = HapiStore(httpx.AsyncClient(base_url=BASE, timeout=1, trust_env=False))
    yield opened
    await opened.close()


def found(*patients: dict[str, Any]) -> dict[str, Any]:
    entries = [{"resource": {"resourceType": "Patient", **patient}} for patient in patients]
    return {"resourceType": "Bundle", "entry": entries}


def replaced_by(reference: str) -> list[dict[str, Any]]:
    return [
        {"type": "seealso", "other": {"reference": "Patient/other"}},
        {"type": "replaced-by", "other": {"reference": reference}},
    ]


async def patient_found(store: HapiStore, key: PatientKey) -> str:
    """Return the reference of the Patient that the store finds."""
    found = await store.find_patient(key)
    assert found is not None
    return f"Patient/{found['id']}"


def absent() -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"code": "not-found"}]}


@respx.mock
async def test_one_resource_is_put_alone(store: HapiStore) -> None:
    route = respx.put(f"{BASE}/ImagingStudy/s").respond(headers={"ETag": 'W/"8"'})

    result = await store.commit(study_transaction(STUDY, 7, None))

    assert result == CommitResult({"ImagingStudy/s": 8})
    assert route.calls.last.request.headers["If-Match"] == 'W/"7"'
    assert orjson.loads(route.calls.last.request.content) == STUDY


@respx.mock
async def test_several_resources_go_in_one_transaction(store: HapiStore) -> None:
    entries = [{"response": {"status": "201 Created", "etag": tag}} for tag in ("1", 'W/"4"')]
    route = respx.post(f"{BASE}/").respond(json={"entry": entries})

    result = await store.commit(study_transaction(STUDY, 3, PATIENT))

    assert result == CommitResult({"Patient/p": 1, "ImagingStudy/s": 4})
    sent = orjson.loads(route.calls.last.request.content)
    assert [entry["request"]["ifMatch"] for entry in sent["entry"]] == ['W/"0"', 'W/"3"']


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [{"response": {"status": "201", "etag": "1"}}],
        [{"response": {"status": "201", "etag": "1"}}, {"response": {"status": "400"}}],
        [{"response": {"status": "201", "etag": "1"}}, {"response": {"status": "201"}}],
    ],
)
@respx.mock
async def test_an_answer_that_does_not_cover_all_entries_is_no_success(
    store: HapiStore, entries: list[dict[str, Any]]
) -> None:
    respx.post(f"{BASE}/").respond(json={"entry": entries})

    with pytest.raises(FhirUnavailable):
        await store.commit(study_transaction(STUDY, 3, PATIENT))


@respx.mock
async def test_a_deleted_patient_is_made_again_after_its_tombstone(store: HapiStore) -> None:
    respx.get(f"{BASE}/Patient/p").respond(
        410, headers={"Location": f"{BASE}/Patient/p/_history/2"}, json=absent()
    )
    route = respx.post(f"{BASE}/")
    route.side_effect = [
        respx.MockResponse(409),
        respx.MockResponse(
            json={"entry": [{"response": {"status": "201", "etag": v}} for v in ("3", "5")]}
        ),
    ]

    result = await store.commit(study_transaction(STUDY, 4, PATIENT))

    assert result.versions == {"Patient/p": 3, "ImagingStudy/s": 5}
    sent = orjson.loads(route.calls.last.request.content)
    assert [entry["request"]["ifMatch"] for entry in sent["entry"]] == ['W/"2"', 'W/"4"']


@respx.mock
async def test_a_conflict_without_tombstones_is_told(store: HapiStore) -> None:
    respx.get(f"{BASE}/Patient/p").respond(json={**PATIENT, "meta": {"versionId": "1"}})
    route = respx.post(f"{BASE}/").respond(409)

    with pytest.raises(VersionConflict):
        await store.commit(study_transaction(STUDY, 3, PATIENT))

    assert route.call_count == 1


@respx.mock
async def test_reading_tells_present_deleted_and_never_there_apart(store: HapiStore) -> None:
    resource = {**STUDY, "meta": {"versionId": "12"}}
    respx.get(f"{BASE}/ImagingStudy/here").respond(json=resource)
    respx.get(f"{BASE}/ImagingStudy/deleted").respond(
        410, headers={"Location": f"{BASE}/ImagingStudy/deleted/_history/3"}, json=absent()
    )
    respx.get(f"{BASE}/ImagingStudy/never").respond(404, json=absent())

    assert await store.read("ImagingStudy", "here") == Found(resource, 12)
    assert await store.read("ImagingStudy", "deleted") == Found(None, 3)
    assert await store.read("ImagingStudy", "never") == Found(None, 0)


@respx.mock
async def test_a_page_of_another_server_does_not_pass_for_a_missing_resource(
    store: HapiStore,
) -> None:
    """A wrong address must not look like an empty archive: the study would start from nothing."""
    respx.get(f"{BASE}/ImagingStudy/s").respond(404, text="<html>no such page</html>")

    with pytest.raises(FhirUnavailable):
        await store.read("ImagingStudy", "s")


@respx.mock
async def test_an_identifier_is_escaped_in_the_search(store: HapiStore) -> None:
    """FHIR R4 §3.1.1.4.0.1: `$`, `,`, `|` and a backslash have a meaning in parameters."""
    route = respx.get(f"{BASE}/Patient").respond(json=found({"id": "a"}))

    assert await patient_found(store, KEY) == "Patient/a"
    asked = route.calls.last.request.url.params["identifier"]
    assert asked == "urn:x\\,y|a\\|b\\$\\\\"


@respx.mock
async def test_of_several_patients_an_active_one_is_taken(store: HapiStore) -> None:
    respx.get(f"{BASE}/Patient").respond(
        json=found({"id": "a", "active": False}, {"id": "c"}, {"id": "b", "active": True})
    )

    assert await patient_found(store, KEY) == "Patient/b"


@respx.mock
async def test_a_merged_patient_leads_to_the_one_that_replaces_it(store: HapiStore) -> None:
    respx.get(f"{BASE}/Patient").respond(
        json=found({"id": "a", "active": False, "link": replaced_by("Patient/b")})
    )
    for resource_id, target in [("b", "Patient/c"), ("c", "")]:
        respx.get(f"{BASE}/Patient/{resource_id}").respond(
            json={
                "resourceType": "Patient",
                "id": resource_id,
                "meta": {"versionId": "1"},
                "link": replaced_by(target) if target else [],
            }
        )

    assert await patient_found(store, KEY) == "Patient/c"


@pytest.mark.parametrize(
    "target", ["Patient/gone", "http://elsewhere.test/Patient/1", "Patient/a", "#contained", ""]
)
@respx.mock
async def test_a_merge_that_leads_nowhere_leaves_the_patient(store: HapiStore, target: str) -> None:
    patient = {"resourceType": "Patient", "id": "a", "link": replaced_by(target)}
    respx.get(f"{BASE}/Patient").respond(json=found(patient))
    respx.get(f"{BASE}/Patient/gone").respond(404, json=absent())
    respx.get(f"{BASE}/Patient/a").respond(json={**patient, "meta": {"versionId": "1"}})

    assert await patient_found(store, KEY) == "Patient/a"


@respx.mock
async def test_a_patient_whose_identifier_was_corrected_is_still_the_patient(
    store: HapiStore,
) -> None:
    """Else creating it under its computed id would conflict for ever."""
    made = patient_id(KEY.system, KEY.value)
    respx.get(f"{BASE}/Patient").respond(json=found())
    respx.get(f"{BASE}/Patient/{made}").respond(
        json={"resourceType": "Patient", "id": made, "meta": {"versionId": "2"}}
    )

    assert await patient_found(store, KEY) == f"Patient/{made}"


@respx.mock
async def test_a_patient_whom_nobody_knows_is_not_found(store: HapiStore) -> None:
    respx.get(f"{BASE}/Patient").respond(json=found())
    respx.get(url__startswith=f"{BASE}/Patient/").respond(404, json=absent())

    assert await store.find_patient(KEY) is None


@respx.mock
async def test_an_endpoint_that_is_there_is_not_written(store: HapiStore) -> None:
    endpoint = {"resourceType": "Endpoint", "id": "e", "address": "http://a"}
    respx.get(f"{BASE}/Endpoint/e").respond(
        json={**endpoint, "meta": {"versionId": "1"}, "managingOrganization": {"display": "x"}}
    )
    written = respx.put(f"{BASE}/Endpoint/e").respond(headers={"ETag": 'W/"2"'})

    await store.ensure_endpoint(endpoint)
    assert not written.called

    await store.ensure_endpoint({**endpoint, "address": "http://b"})
    assert orjson.loads(written.calls.last.request.content) == {
        **endpoint,
        "address": "http://b",
        "managingOrganization": {"display": "x"},
    }
    assert written.calls.last.request.headers["If-Match"] == 'W/"1"'


@respx.mock
async def test_ping_wants_the_answer_of_a_fhir_server(store: HapiStore) -> None:
    route = respx.get(f"{BASE}/Endpoint").respond(json={"resourceType": "Bundle"})
    await store.ping()

    route.respond(json={"status": "ok"})
    with pytest.raises(FhirUnavailable):
        await store.ping()


@pytest.mark.parametrize(
    "answer", [{"resourceType": "ImagingStudy"}, {"meta": {"versionId": "x"}}, [], None]
)
@respx.mock
async def test_a_server_without_versions_is_not_one_to_work_with(
    store: HapiStore, answer: Any
) -> None:
    respx.get(f"{BASE}/ImagingStudy/s").respond(json=answer)

    with pytest.raises(FhirUnavailable):
        await store.read("ImagingStudy", "s")


@respx.mock
async def test_a_deletion_without_a_version_is_not_guessed(store: HapiStore) -> None:
    respx.get(f"{BASE}/ImagingStudy/s").respond(410, json=absent())

    with pytest.raises(FhirUnavailable):
        await store.read("ImagingStudy", "s")


@respx.mock
async def test_a_rehearsal_that_succeeds_is_cleared_away_and_the_last(store: HapiStore) -> None:
    """A server that ignores If-Match must not be filled with patients who are nobody."""
    respx.get(f"{BASE}/Patient").respond(json=found())
    respx.get(url__startswith=f"{BASE}/Patient/").respond(404, json=absent())
    sent = respx.post(f"{BASE}/").respond(json={"entry": []})
    deleted = respx.delete(url__startswith=BASE).respond(204)

    await store.warm_up({"resourceType": "Endpoint", "id": "e"}, transactions=10)

    made = {
        entry["request"]["url"]
        for call in sent.calls
        for entry in orjson.loads(call.request.content)["entry"][:2]
    }
    assert sent.call_count == 2
    assert {
        str(call.request.url).removeprefix(f"{BASE}/").rstrip("?") for call in deleted.calls
    } == made


@respx.mock
async def test_rehearsals_are_undone_by_their_last_entry(store: HapiStore) -> None:
    respx.get(f"{BASE}/Patient").respond(json=found())
    respx.get(url__startswith=f"{BASE}/Patient/").respond(404, json=absent())
    sent = respx.post(f"{BASE}/").respond(409)

    await store.warm_up({"resourceType": "Endpoint", "id": "e"}, transactions=5)

    assert sent.call_count == 5
    last = orjson.loads(sent.calls.last.request.content)["entry"][-1]
    assert last["request"] == {"method": "PUT", "url": "Endpoint/e", "ifMatch": 'W/"0"'}


QUESTIONS = [patients_with(KEY), identified_by("Encounter", "urn:v", "9", most=3)]


def answers(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "batch-response", "entry": list(entries)}


def searched(*resources: dict[str, Any]) -> dict[str, Any]:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": each} for each in resources]}
    return {"response": {"status": "200 OK"}, "resource": bundle}


@respx.mock
async def test_several_questions_are_one_request(store: HapiStore) -> None:
    outcome = {"resourceType": "OperationOutcome"}
    route = respx.post(f"{BASE}/").respond(
        json=answers(searched(PATIENT), searched({"resourceType": "Encounter", "id": "e"}, outcome))
    )

    assert await store.ask(QUESTIONS) == [[PATIENT], [{"resourceType": "Encounter", "id": "e"}]]

    request = route.calls.last.request
    sent = orjson.loads(request.content)
    assert sent["type"] == "batch"
    urls = [httpx.URL(entry["request"]["url"]) for entry in sent["entry"]]
    assert [url.path for url in urls] == ["Patient", "Encounter"]
    assert urls[0].params["identifier"] == "urn:x\\,y|a\\|b\\$\\\\"
    assert request.headers["Cache-Control"] == "no-cache, no-store"


@respx.mock
async def test_a_question_that_is_refused_has_no_answer_and_the_others_have_theirs(
    store: HapiStore,
) -> None:
    respx.post(f"{BASE}/").respond(
        json=answers(searched(PATIENT), {"response": {"status": "403 Forbidden"}})
    )

    assert await store.ask(QUESTIONS) == [[PATIENT], None]


@pytest.mark.parametrize(
    "answer",
    [
        answers(searched()),
        answers(searched(), {"response": {"status": "503"}}),
        answers(searched(), {"response": {"status": "429 Too Many Requests"}}),
        answers(searched(), {}),
    ],
)
@respx.mock
async def test_an_answer_that_leaves_a_question_open_is_none(
    store: HapiStore, answer: dict[str, Any]
) -> None:
    respx.post(f"{BASE}/").respond(json=answer)

    with pytest.raises(FhirUnavailable):
        await store.ask(QUESTIONS)


@respx.mock
async def test_a_device_that_somebody_made_meanwhile_is_left_out(store: HapiStore) -> None:
    device = {"resourceType": "Device", "id": "d"}
    respx.get(f"{BASE}/Device/d").respond(json={**device, "meta": {"versionId": "1"}})
    route = respx.post(f"{BASE}/").respond(409)
    put = respx.put(f"{BASE}/ImagingStudy/s").respond(headers={"ETag": 'W/"8"'})

    result = await store.commit(study_transaction(STUDY, 7, None, new=[device]))

    assert result == CommitResult({"ImagingStudy/s": 8})
    assert (route.call_count, put.call_count) == (1, 1)


@respx.mock
async def test_what_is_written_whatever_is_there_is_not_guarded(store: HapiStore) -> None:
    entries = [{"response": {"status": "200 OK", "etag": tag}} for tag in ("4", "8")]
    route = respx.post(f"{BASE}/").respond(json={"entry": entries})
    report = {"resourceType": "DiagnosticReport", "id": "r"}

    result = await store.commit(study_transaction(STUDY, 7, None, written=[report]))

    assert result.versions == {"DiagnosticReport/r": 4, "ImagingStudy/s": 8}
    sent = orjson.loads(route.calls.last.request.content)
    assert [entry["request"].get("ifMatch") for entry in sent["entry"]] == [None, 'W/"7"']
