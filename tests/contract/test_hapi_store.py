"""The FHIR store against a real HAPI."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.errors import FhirUnavailable, LinkRefused, VersionConflict
from app.fhir.bundle import study_transaction
from app.fhir.commit_marks import CommitMarks, pending_commits
from app.fhir.endpoint import endpoint_resource
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import merge_imaging_study
from app.fhir.patient import PatientKey, patient_resource
from app.limits import Limits
from app.stores.hapi import HapiStore
from app.stores.http import http_client
from tests.unit.fhir.dicom_json import attributes, record

pytestmark = pytest.mark.stack

ENDPOINT = endpoint_resource("http://127.0.0.1:1/dicom-web")
SYSTEMS = IdentifierSystems("urn:test:patient", "urn:test:issuer:", "urn:test:accession")


@pytest.fixture
async def store(stack: Any) -> AsyncIterator[HapiStore]:
    opened = HapiStore(http_client(stack.fhir_url, timeout_seconds=30))
    await opened.ensure_endpoint(ENDPOINT)
    yield opened
    await opened.close()


@pytest.fixture
async def fhir(stack: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Another user of the FHIR server.

    While it is young HAPI may answer 409 to a lone deletion; this header has it try again by itself.
    """
    retry = {"X-Retry-On-Version-Conflict": "retry; max-retries=10"}
    async with httpx.AsyncClient(base_url=stack.fhir_url, timeout=30, headers=retry) as client:
        yield client


async def patient_found(store: HapiStore, key: PatientKey) -> str:
    """Return the reference of the Patient that the store finds."""
    found = await store.find_patient(key)
    assert found is not None
    return f"Patient/{found['id']}"


def new_key(value: str | None = None) -> PatientKey:
    return PatientKey("urn:test:patient", value or uuid4().hex)


def new_study_uid() -> str:
    return f"2.25.{uuid4().int}"


def new_patient(key: PatientKey) -> dict[str, Any]:
    named = attributes(PatientName={"Alphabetic": "Test^Contract"}, PatientSex="F")
    return patient_resource(named, key, SYSTEMS)


def study_of(
    uid: str,
    patient: str,
    *,
    previous: dict[str, Any] | None = None,
    numbers: range = range(1, 2),
    marks: CommitMarks | None = None,
) -> dict[str, Any]:
    return merge_imaging_study(
        previous,
        [record(number, study=uid) for number in numbers],
        patient=patient,
        endpoints=[f"Endpoint/{ENDPOINT['id']}"],
        limits=Limits(),
        systems=SYSTEMS,
        time_zone=None,
        commit=marks or CommitMarks(()),
    )


async def commit_new(store: HapiStore, uid: str, key: PatientKey) -> dict[str, Any]:
    patient = new_patient(key)
    study = study_of(uid, f"Patient/{patient['id']}")
    await store.commit(study_transaction(study, 0, patient))
    return study


async def test_a_committed_study_is_read_and_searched_at_once(
    store: HapiStore, fhir: httpx.AsyncClient
) -> None:
    """P1: also by somebody who asked the same question just before."""
    uid, key = new_study_uid(), new_key()
    question = {"identifier": f"urn:dicom:uid|urn:oid:{uid}"}
    assert (await fhir.get("/ImagingStudy", params=question)).json()["total"] == 0

    study = await commit_new(store, uid, key)

    assert (await fhir.get("/ImagingStudy", params=question)).json()["total"] == 1
    found = await store.read("ImagingStudy", study["id"])
    assert found.version == 1
    assert found.resource is not None
    assert {**study, "meta": None}.items() <= {**found.resource, "meta": None}.items()
    assert found.resource["meta"]["source"].startswith(study["meta"]["source"])
    assert await patient_found(store, key) == study["subject"]["reference"]


async def test_what_is_merged_into_what_was_read_counts_on(store: HapiStore) -> None:
    uid, key = new_study_uid(), new_key()
    study = await commit_new(store, uid, key)
    found = await store.read("ImagingStudy", study["id"])

    more = study_of(uid, "Patient/other", previous=found.resource, numbers=range(2, 4))
    result = await store.commit(study_transaction(more, found.version, None))

    assert result.versions == {f"ImagingStudy/{study['id']}": 2}
    after = await store.read("ImagingStudy", study["id"])
    assert after.resource is not None
    assert after.resource["numberOfInstances"] == 3
    assert after.resource["subject"] == study["subject"]


async def test_of_two_writers_after_one_version_one_conflicts(store: HapiStore) -> None:
    uid, key = new_study_uid(), new_key()
    study = await commit_new(store, uid, key)
    subject = study["subject"]["reference"]
    both = [study_of(uid, subject, previous=study, numbers=range(n, n + 1)) for n in (5, 6)]

    results = await asyncio.gather(
        *(store.commit(study_transaction(one, 1, None)) for one in both), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == [
        "CommitResult",
        "VersionConflict",
    ]


async def test_of_many_creators_of_one_patient_one_wins(store: HapiStore) -> None:
    """The race that conditional creates lose: afterwards there is one Patient and the winner's study."""
    key = new_key()
    patient = new_patient(key)
    studies = [study_of(new_study_uid(), f"Patient/{patient['id']}") for _ in range(6)]

    results = await asyncio.gather(
        *(store.commit(study_transaction(study, 0, patient)) for study in studies),
        return_exceptions=True,
    )

    won = [n for n, result in enumerate(results) if not isinstance(result, BaseException)]
    assert len(won) == 1
    assert {type(r) for n, r in enumerate(results) if n not in won} == {VersionConflict}
    for number, study in enumerate(studies):
        found = await store.read("ImagingStudy", study["id"])
        assert (found.resource is not None) == (number in won)


async def test_a_transaction_that_conflicts_leaves_nothing(store: HapiStore) -> None:
    uid = new_study_uid()
    study = await commit_new(store, uid, new_key())
    other = new_key()

    with pytest.raises(VersionConflict):
        await store.commit(study_transaction(study, 7, new_patient(other)))

    assert await store.find_patient(other) is None


async def test_a_deleted_study_goes_on_from_its_tombstone(
    store: HapiStore, fhir: httpx.AsyncClient
) -> None:
    uid, key = new_study_uid(), new_key()
    study = await commit_new(store, uid, key)
    (await fhir.delete(f"/ImagingStudy/{study['id']}")).raise_for_status()

    found = await store.read("ImagingStudy", study["id"])
    assert found.resource is None
    assert found.version == 2

    result = await store.commit(study_transaction(study, found.version, None))
    after = await store.read("ImagingStudy", study["id"])
    assert after.resource is not None
    assert result.versions == {f"ImagingStudy/{study['id']}": after.version}
    assert after.version > found.version


async def test_a_deleted_patient_is_made_again(store: HapiStore, fhir: httpx.AsyncClient) -> None:
    key = new_key()
    patient = new_patient(key)
    (await fhir.put(f"/Patient/{patient['id']}", json=patient)).raise_for_status()
    (await fhir.delete(f"/Patient/{patient['id']}")).raise_for_status()
    assert await store.find_patient(key) is None

    study = await commit_new(store, new_study_uid(), key)

    assert await patient_found(store, key) == study["subject"]["reference"]


async def test_a_merged_patient_leads_to_its_replacement(
    store: HapiStore, fhir: httpx.AsyncClient
) -> None:
    key, kept = new_key(), f"kept-{uuid4().hex}"
    (
        await fhir.put(f"/Patient/{kept}", json={"resourceType": "Patient", "id": kept})
    ).raise_for_status()
    merged = new_patient(key) | {
        "active": False,
        "link": [{"type": "replaced-by", "other": {"reference": f"Patient/{kept}"}}],
    }
    (await fhir.put(f"/Patient/{merged['id']}", json=merged)).raise_for_status()

    assert await patient_found(store, key) == f"Patient/{kept}"


@pytest.mark.parametrize("value", ["a|b", "a,b", "a$b", "a\\b", "Müller 7", "%20&=+#", "v" * 300])
async def test_a_patient_is_found_by_any_identifier(store: HapiStore, value: str) -> None:
    key = new_key(f"{value}{uuid4().hex}")

    study = await commit_new(store, new_study_uid(), key)

    assert await patient_found(store, key) == study["subject"]["reference"]


async def test_marks_survive_the_server(store: HapiStore) -> None:
    uid, key = new_study_uid(), new_key()
    patient = new_patient(key)
    study = study_of(uid, f"Patient/{patient['id']}", marks=CommitMarks(("c1", "c2")))
    await store.commit(study_transaction(study, 0, patient))

    found = await store.read("ImagingStudy", study["id"])

    assert found.resource is not None
    assert pending_commits(found.resource) == ("c1", "c2")


async def test_a_study_that_the_server_refuses_is_refused_without_quoting_it(
    store: HapiStore,
) -> None:
    study = study_of(new_study_uid(), "Patient/nobody-of-that-name") | {"started": "SECRET"}

    with pytest.raises(LinkRefused) as caught:
        await store.commit(study_transaction(study, 0, None))

    assert "SECRET" not in str(caught.value)
    assert (await store.read("ImagingStudy", study["id"])).version == 0


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    store = HapiStore(http_client("http://127.0.0.1:9/fhir", timeout_seconds=2))

    with pytest.raises(FhirUnavailable) as caught:
        await store.ping()
    await store.close()

    assert caught.value.retry_after


async def test_an_address_beside_the_fhir_base_is_unavailable(stack: Any) -> None:
    store = HapiStore(http_client(stack.fhir_url.rpartition("/")[0], timeout_seconds=10))

    with pytest.raises(FhirUnavailable):
        await store.ping()
    with pytest.raises(FhirUnavailable):
        await store.read("ImagingStudy", "any")
    await store.close()


async def test_a_server_that_is_there_answers_the_ping(store: HapiStore) -> None:
    await store.ping()


async def test_warming_up_leaves_nothing_behind(store: HapiStore, fhir: httpx.AsyncClient) -> None:
    await store.warm_up(ENDPOINT, transactions=4)

    for kind in ("Patient", "ImagingStudy"):
        question = {"identifier": "urn:coregister:warm-up|"}
        assert (await fhir.get(f"/{kind}", params=question)).json()["total"] == 0


async def test_an_endpoint_is_made_once_by_many(store: HapiStore) -> None:
    endpoint = endpoint_resource(f"http://127.0.0.1:2/{uuid4().hex}")

    await asyncio.gather(*(store.ensure_endpoint(endpoint) for _ in range(4)))

    assert (await store.read("Endpoint", endpoint["id"])).version == 1


async def test_a_study_is_deleted_at_the_version_that_was_read_and_at_no_other(
    store: HapiStore,
) -> None:
    """HAPI ignores If-Match of a DELETE; the version in the URL is what guards it."""
    uid, key = new_study_uid(), new_key()
    study = await commit_new(store, uid, key)
    more = study_of(uid, study["subject"]["reference"], previous=study, numbers=range(5, 6))
    result = await store.commit(study_transaction(more, 1, None))
    (current,) = result.versions.values()

    with pytest.raises(VersionConflict):
        await store.delete("ImagingStudy", study["id"], 1)
    assert (await store.read("ImagingStudy", study["id"])).version == current
    await store.delete("ImagingStudy", study["id"], current)

    gone = await store.read("ImagingStudy", study["id"])
    assert gone.resource is None
    assert gone.version > current
    again = await store.commit(study_transaction(study, gone.version, None))
    assert again.versions[f"ImagingStudy/{study['id']}"] > gone.version
