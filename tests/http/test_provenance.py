"""Provenance: FHIR tells of everything that was stored and deleted, by whom and with which bytes."""

import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import httpx
import pytest
from fhir.resources.R4B.provenance import Provenance
from pydicom.uid import generate_uid

from app.fhir.provenance import DIGEST, DIGEST_OF_ALL, INSTANCES
from tests.agreement import assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.conftest import archive_of
from tests.server import Server, store

pytestmark = pytest.mark.stack

SECONDS = 60
QUICK = {
    "COREGISTER_LIMIT_PROVENANCE_QUIET_SECONDS": "0.2",
    "COREGISTER_LIMIT_PROVENANCE_INSTANCES": "4",
}


@pytest.fixture(scope="module")
def quick(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("provenance")
    running = Server(folder, stack.elasticsearch_url, stack.fhir_url, settings=QUICK)
    running.start()
    yield running
    running.discard()


@pytest.fixture
def sender(quick: Server) -> Iterator[httpx.Client]:
    headers = {"User-Agent": "Modality/7"}
    with httpx.Client(base_url=quick.base, timeout=60, trust_env=False, headers=headers) as http:
        yield http


def study_reference(study: str) -> str:
    return f"ImagingStudy/{uuid5(NAMESPACE_OID, study)}"


def search(fhir: httpx.Client, study: str) -> list[dict[str, Any]]:
    """Return the Provenances of a study that are there now, oldest first."""
    question = {"target": study_reference(study), "_sort": "_lastUpdated"}
    headers = {"Cache-Control": "no-cache"}
    answer = fhir.get("/Provenance", params=question, headers=headers)
    bundle = answer.raise_for_status().json()
    return [entry["resource"] for entry in bundle.get("entry", ())]


def provenances(fhir: httpx.Client, study: str, count: int = 1) -> list[dict[str, Any]]:
    """Return the Provenances of a study, oldest first, once there are so many."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = search(fhir, study)
        if len(found) >= count or time.monotonic() > deadline:
            assert len(found) == count
            for each in found:
                Provenance.model_validate(each)
            return found
        time.sleep(0.2)


def uids(resource: dict[str, Any]) -> set[str]:
    return {each["what"]["identifier"]["value"] for each in resource["entity"]}


def test_what_is_stored_has_a_provenance_with_digests_and_the_sender(
    sender: httpx.Client, fhir: httpx.Client
) -> None:
    study, uid = generate_uid(), generate_uid()
    data = make_instance(StudyInstanceUID=study, SOPInstanceUID=uid)

    assert store(sender, data).status_code == 200
    (resource,) = provenances(fhir, study)

    (target,) = resource["target"]
    assert target["reference"].startswith(study_reference(study))
    assert target["identifier"]["value"] == f"urn:oid:{study}"
    assert resource["activity"]["coding"][0]["code"] == "CREATE"
    assert [each["who"]["display"] for each in resource["agent"]] == ["Coregister", "Modality/7"]
    (entity,) = resource["entity"]
    assert entity["what"]["identifier"] == {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}
    assert entity["extension"] == [{"url": DIGEST, "valueString": sha256(data).hexdigest()}]


def test_what_comes_one_by_one_is_told_of_once_each(
    sender: httpx.Client, fhir: httpx.Client
) -> None:
    """In one Provenance or more: that depends on how fast it comes."""
    study, series = generate_uid(), generate_uid()
    sent = [generate_uid() for _ in range(3)]

    for uid in sent:
        data = make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=uid)
        assert store(sender, data).status_code == 200

    deadline = time.monotonic() + SECONDS
    told: list[str] = []
    while len(told) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.2)
        told = [uid for each in search(fhir, study) for uid in uids(each)]
    assert sorted(told) == sorted(f"urn:oid:{uid}" for uid in sent)


def test_of_many_instances_a_provenance_tells_the_number_and_one_digest(
    sender: httpx.Client, fhir: httpx.Client
) -> None:
    study, series = generate_uid(), generate_uid()
    sent = {
        uid: make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=uid)
        for uid in (generate_uid() for _ in range(6))
    }

    assert store(sender, *sent.values()).status_code == 200
    (resource,) = provenances(fhir, study)

    lines = sorted(f"{uid} {sha256(data).hexdigest()}\n" for uid, data in sent.items())
    (entity,) = resource["entity"]
    assert entity["what"]["identifier"]["value"] == f"urn:oid:{study}"
    assert {each["url"]: each for each in entity["extension"]} == {
        INSTANCES: {"url": INSTANCES, "valueUnsignedInt": 6},
        DIGEST_OF_ALL: {
            "url": DIGEST_OF_ALL,
            "valueString": sha256("".join(lines).encode()).hexdigest(),
        },
    }


def test_the_same_bytes_again_have_no_second_provenance(
    sender: httpx.Client, fhir: httpx.Client
) -> None:
    study = generate_uid()
    data = make_instance(StudyInstanceUID=study)
    assert store(sender, data).status_code == 200
    provenances(fhir, study)

    assert store(sender, data).status_code == 200
    time.sleep(2)

    provenances(fhir, study)


def test_what_is_deleted_has_a_provenance(sender: httpx.Client, fhir: httpx.Client) -> None:
    study, uid = generate_uid(), generate_uid()
    assert store(sender, make_instance(StudyInstanceUID=study, SOPInstanceUID=uid)).is_success
    provenances(fhir, study)

    assert sender.delete(f"/studies/{study}").is_success
    _, resource = provenances(fhir, study, 2)

    assert resource["activity"]["coding"][0]["code"] == "DELETE"
    assert uids(resource) == {f"urn:oid:{uid}"}
    assert resource["entity"][0]["role"] == "removal"


def test_after_a_power_cut_the_provenance_is_written(
    stack: Stack, fhir: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It was acknowledged, so it is told of: by whoever comes after."""
    folder = tmp_path_factory.mktemp("cut")
    patient = {"COREGISTER_LIMIT_PROVENANCE_QUIET_SECONDS": "600"}
    server = Server(folder, stack.elasticsearch_url, stack.fhir_url, settings=patient)
    study, uids_sent = generate_uid(), [generate_uid() for _ in range(3)]
    try:
        server.start()
        with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
            for uid in uids_sent:
                data = make_instance(StudyInstanceUID=study, SOPInstanceUID=uid)
                assert store(http, data).status_code == 200
        server.kill()
        assert provenances(fhir, study, 0) == []

        server.settings = QUICK
        server.start()
        found = provenances(fhir, study, 3)

        assert {each for one in found for each in uids(one)} == {f"urn:oid:{u}" for u in uids_sent}
        assert_agreement(archive_of(server))
        deadline = time.monotonic() + SECONDS
        while archive_of(server).documents("intents") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert archive_of(server).documents("intents") == {}
    finally:
        server.discard()


def test_without_provenance_nothing_is_written(
    stack: Stack, fhir: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("off")
    off = {**QUICK, "COREGISTER_PROVENANCE": "off"}
    server = Server(folder, stack.elasticsearch_url, stack.fhir_url, settings=off)
    study = generate_uid()
    try:
        server.start()
        with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
            assert store(http, make_instance(StudyInstanceUID=study)).status_code == 200
        assert server.stop() is not None
        assert provenances(fhir, study, 0) == []
        assert archive_of(server).documents("intents") == {}
    finally:
        server.discard()
