"""Deleting beside others who store, delete and list, and with stores that fail: nothing is lost (P1, P2)."""

import hashlib
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.faults.proxy import Mode, Proxy
from tests.faults.test_stores_down import (
    BUDGET,
    MARGIN,
    SETTINGS,
    assert_told_to_come_again,
    wait_until_used_again,
)
from tests.server import STOPPED, Server, store, values

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SR = "1.2.840.10008.5.1.4.1.1.88.11"
TRIES = 30


def instance(study: str, series: str | None = None) -> tuple[str, bytes]:
    sop = generate_uid()
    overrides: dict[str, Any] = {} if series is None else {"SeriesInstanceUID": series}
    data = make_instance(
        StudyInstanceUID=study,
        SOPInstanceUID=sop,
        SOPClassUID=SR,
        PatientID=f"beside-{study[-10:]}",
        PixelData=None,
        Rows=None,
        **overrides,
    )
    return sop, data


def path_of(data: bytes) -> str:
    dataset = pydicom.dcmread(BytesIO(data))
    return (
        f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )


def insist_on_delete(http: httpx.Client, path: str) -> int:
    """Delete; where others kept changing the study, do so again as told."""
    for _ in range(TRIES):
        answer = http.delete(path)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
    return answer.status_code


def insist_on_store(http: httpx.Client, *files: bytes) -> int:
    for _ in range(TRIES):
        answer = store(http, *files)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
    return answer.status_code


# ---- beside others


@pytest.fixture
def workers(stack: Stack, tmp_path: Path) -> Iterator[list[Server]]:
    """Two processes with the same stores, which list the instances of a study whenever they can."""
    settings = {
        "COREGISTER_LIMIT_FHIR_INSTANCES_AT_ONCE": "1",
        "COREGISTER_LIMIT_FHIR_LISTING_SECONDS": "0.05",
        "COREGISTER_DUPLICATES": "replace",
    }
    one = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url, settings)
    other = Server(
        tmp_path, stack.elasticsearch_url, stack.fhir_url, settings, index_prefix=one.index_prefix
    )
    one.start()
    other.start()
    yield [one, other]
    other.discard()
    one.discard()


def archive_of(server: Server) -> Archive:
    return Archive(server.elasticsearch_url, server.index_prefix, server.fhir_url, server.blobs)


def together(*works: threading.Thread) -> None:
    for work in works:
        work.start()
    for work in works:
        work.join()


def test_storing_and_deleting_in_one_study_from_two_workers_lose_nothing(
    workers: list[Server],
) -> None:
    study, series = generate_uid(), [generate_uid() for _ in range(3)]
    kept: dict[str, bytes] = {}
    deleted: list[str] = []
    wrong: list[str] = []

    def client(worker: Server, number: int) -> None:
        with httpx.Client(base_url=worker.base, timeout=90, trust_env=False) as http:
            for turn in range(8):
                (keep, data), (drop, other) = (
                    instance(study, series[(number + turn + n) % 3]) for n in range(2)
                )
                if insist_on_store(http, data, other) != httpx.codes.OK:
                    wrong.append("store")
                if insist_on_delete(http, path_of(other)) != httpx.codes.NO_CONTENT:
                    wrong.append("delete")
                kept[keep] = data
                deleted.append(drop)

    together(
        *(
            threading.Thread(target=client, args=(worker, number))
            for worker in workers
            for number in range(3)
        )
    )

    assert wrong == []
    instances = assert_agreement(archive_of(workers[0]), studies=[study], stored=kept)
    assert instances.keys() == kept.keys()
    assert not instances.keys() & set(deleted)


def test_a_deleted_study_keeps_what_was_stored_into_it_meanwhile(workers: list[Server]) -> None:
    """Each instance is either deleted with the study, or stored after that and there: never in between."""
    study = generate_uid()
    before = dict(instance(study) for _ in range(10))
    acknowledged: dict[str, bytes] = {}
    statuses: list[int] = []
    with httpx.Client(base_url=workers[0].base, timeout=90, trust_env=False) as http:
        assert insist_on_store(http, *before.values()) == httpx.codes.OK

    def storing(worker: Server) -> None:
        with httpx.Client(base_url=worker.base, timeout=90, trust_env=False) as http:
            for _ in range(10):
                sop, data = instance(study)
                if insist_on_store(http, data) == httpx.codes.OK:
                    acknowledged[sop] = data

    def deleting() -> None:
        with httpx.Client(base_url=workers[1].base, timeout=90, trust_env=False) as http:
            statuses.append(insist_on_delete(http, f"/studies/{study}"))

    together(
        *(threading.Thread(target=storing, args=(worker,)) for worker in workers),
        threading.Thread(target=deleting),
    )

    assert statuses == [httpx.codes.NO_CONTENT]
    assert len(acknowledged) == 20
    instances = assert_agreement(archive_of(workers[0]), studies=[study])
    assert not instances.keys() & before.keys()
    tombstones = archive_of(workers[0]).former_versions().values()
    assert {each["sop_instance_uid"] for each in tombstones} >= before.keys()
    accounted = instances.keys() | {each["sop_instance_uid"] for each in tombstones}
    assert accounted >= acknowledged.keys()


def test_two_who_delete_the_same_at_once_delete_it_once(workers: list[Server]) -> None:
    study = generate_uid()
    files = dict(instance(study) for _ in range(6))
    statuses: list[int] = []
    with httpx.Client(base_url=workers[0].base, timeout=90, trust_env=False) as http:
        assert insist_on_store(http, *files.values()) == httpx.codes.OK
    target = path_of(next(iter(files.values())))

    def deleting(worker: Server) -> None:
        with httpx.Client(base_url=worker.base, timeout=90, trust_env=False) as http:
            statuses.append(insist_on_delete(http, target))

    together(
        *(threading.Thread(target=deleting, args=(worker,)) for worker in workers for _ in range(3))
    )

    assert set(statuses) <= {httpx.codes.NO_CONTENT, httpx.codes.GONE}
    assert httpx.codes.NO_CONTENT in statuses
    resource = archive_of(workers[0]).imaging_study(study)
    assert resource is not None
    assert resource["numberOfInstances"] == 5
    assert_agreement(archive_of(workers[0]), studies=[study])


def test_of_versions_that_come_at_once_none_is_lost(workers: list[Server]) -> None:
    study, series, sop = generate_uid(), generate_uid(), generate_uid()
    acknowledged: dict[str, bytes] = {}
    wrong: list[int] = []

    def version(number: int) -> bytes:
        return make_instance(
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            SOPInstanceUID=sop,
            InstanceNumber=number,
            PatientID=f"beside-{study[-10:]}",
        )

    def storing(worker: Server, first: int) -> None:
        with httpx.Client(base_url=worker.base, timeout=90, trust_env=False) as http:
            for number in range(first, first + 4):
                data = version(number)
                status = insist_on_store(http, data)
                if status != httpx.codes.OK:
                    wrong.append(status)
                acknowledged[hashlib.sha256(data).hexdigest()] = data

    together(
        *(
            threading.Thread(target=storing, args=(worker, 100 * client + 10 * number))
            for number, worker in enumerate(workers)
            for client in range(3)
        )
    )

    assert wrong == []
    assert_agreement(archive_of(workers[0]), studies=[study])
    path = path_of(version(0))
    with httpx.Client(base_url=workers[0].base, timeout=90, trust_env=False) as http:
        listed = http.get(f"{path}/versions").json()
        assert [each["current"] for each in listed].count(True) == 1
        assert {each["sha256"] for each in listed} == acknowledged.keys()
        for each in listed:
            answer = http.get(
                f"{path}/versions/{each['version']}", headers={"Accept": "application/dicom"}
            )
            assert answer.content == acknowledged[each["sha256"]]


# ---- stores that fail


@pytest.fixture(scope="module")
def server(
    stack: Stack, proxies: dict[str, Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A Coregister whose stores can be made to fail; started anew in the end, everything agrees."""
    running = Server(
        tmp_path_factory.mktemp("deleting"),
        proxies["elasticsearch"].url,
        proxies["fhir"].url,
        SETTINGS,
    )
    running.start()
    try:
        yield running
        assert running.stop() in STOPPED
        running.start()
        assert_agreement(past_the_proxies(stack, running))
        assert running.stop() in STOPPED
    finally:
        for proxy in proxies.values():
            proxy.become(Mode.PASS)
        running.discard()


def past_the_proxies(stack: Stack, server: Server) -> Archive:
    return Archive(stack.elasticsearch_url, server.index_prefix, stack.fhir_url, server.blobs)


@pytest.mark.parametrize("which", ["elasticsearch", "fhir"])
@pytest.mark.parametrize(
    ("mode", "after"),
    [(Mode.REFUSE, 0), (Mode.BLACK_HOLE, 0), (Mode.RESET, 0), (Mode.RESET, 90)],
    ids=["refuses", "hangs", "resets", "breaks off its answer"],
)
def test_a_store_that_fails_means_503_and_a_safe_second_try(
    stack: Stack, server: Server, proxies: dict[str, Proxy], which: str, mode: Mode, after: int
) -> None:
    study = generate_uid()
    files = dict(instance(study) for _ in range(3))
    path = path_of(next(iter(files.values())))
    archive = past_the_proxies(stack, server)
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        assert store(http, *files.values()).status_code == httpx.codes.OK
        proxies[which].become(mode, after=after)
        begun = time.monotonic()
        answer = http.delete(path)
        took = time.monotonic() - begun
        proxies[which].become(Mode.PASS)

        assert_told_to_come_again(answer)
        assert took < BUDGET + MARGIN
        wait_until_used_again(http)
        if mode is not Mode.RESET:  # there the store may have done what it did not get to tell
            assert http.get(path).status_code == httpx.codes.OK
            (row,) = http.get("/studies", params={"StudyInstanceUID": study}).json()
            assert values(row, "00201208") == [3]
            resource = archive.imaging_study(study)
            assert resource is not None
            assert resource["numberOfInstances"] == 3

        assert insist_on_delete(http, path) in (httpx.codes.NO_CONTENT, httpx.codes.GONE)
        assert http.get(path).status_code == httpx.codes.GONE
        (row,) = http.get("/studies", params={"StudyInstanceUID": study}).json()
        assert values(row, "00201208") == [2]
        resource = archive.imaging_study(study)
        assert resource is not None
        assert resource["numberOfInstances"] == 2
        assert store(http, *files.values()).status_code == httpx.codes.OK
        (row,) = http.get("/studies", params={"StudyInstanceUID": study}).json()
        assert values(row, "00201208") == [3]
