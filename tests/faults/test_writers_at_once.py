"""Many writers, the same studies of the same new patients, a failing FHIR server: nothing is lost or doubled.

The promises P1 and P2 under all of it at once: random conflicts, errors, timeouts and lost answers of the FHIR
server, a time in which it is down, and a worker that is killed and started again.
"""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.faults.flaky_fhir import Fault, FlakyFhir
from tests.server import STOPPED, Server, store

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

WRITERS, STUDIES, PATIENTS, EACH = 8, 20, 5, 2
SEED = 20_261
STORE_TIMEOUT, BUDGET, RETRIES = 3.0, 20.0, 6.0  # seconds
MARGIN = 10.0  # for a busy machine
SETTINGS = {
    "COREGISTER_STORE_TIMEOUT_SECONDS": str(STORE_TIMEOUT),
    "COREGISTER_LIMIT_STORE_SECONDS": str(BUDGET),
    "COREGISTER_LIMIT_STORE_RETRY_SECONDS": str(RETRIES),
}


@pytest.fixture
def fhir(stack: Stack) -> Iterator[FlakyFhir]:
    proxy = FlakyFhir(stack.fhir_url, seed=SEED, late_seconds=STORE_TIMEOUT + 1)
    yield proxy
    proxy.close()


@pytest.fixture
def workers(stack: Stack, fhir: FlakyFhir, tmp_path: Path) -> Iterator[list[Server]]:
    """Two processes with the same indices and the same folder of objects."""
    one = Server(tmp_path, stack.elasticsearch_url, fhir.url, SETTINGS)
    other = Server(
        tmp_path, stack.elasticsearch_url, fhir.url, SETTINGS, index_prefix=one.index_prefix
    )
    one.start()
    other.start()
    yield [one, other]
    fhir.failing = fhir.down = False
    other.discard()
    one.discard()


@dataclass
class Load:
    """What is to be stored, and what was acknowledged."""

    patients: list[str] = field(
        default_factory=lambda: [generate_uid()[-16:] for _ in range(PATIENTS)]
    )
    studies: list[str] = field(default_factory=lambda: [generate_uid() for _ in range(STUDIES)])
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    slowest: float = 0.0
    answers: list[int] = field(default_factory=list)

    def files(self, writer: int) -> list[tuple[str, bytes]]:
        """Return what a writer stores, in an order of its own: some of each study, in two series."""
        files: list[tuple[str, bytes]] = []
        for number, study in enumerate(self.studies):
            for each in range(EACH):
                sop = generate_uid()
                data = make_instance(
                    StudyInstanceUID=study,
                    SeriesInstanceUID=f"{study[:55]}.{each + 1}",
                    SOPInstanceUID=sop,
                    PatientID=self.patients[number % PATIENTS],
                    PatientName=f"Writers^{number % PATIENTS}",
                    AccessionNumber=f"W{number}",
                )
                files.append((sop, data))
        random.Random(SEED + writer).shuffle(files)
        return files


def write(load: Load, workers: list[Server], writer: int) -> None:
    """Store one file after the other; each is sent again until it is acknowledged."""
    with httpx.Client(timeout=BUDGET + MARGIN, trust_env=False) as http:
        for sop, data in load.files(writer):
            for attempt in range(60):
                worker = workers[(writer + attempt) % len(workers)]
                begun = time.monotonic()
                try:
                    answer = store(http, data, path=f"{worker.base}/studies")
                except httpx.TransportError:  # it was killed
                    time.sleep(0.3)
                    continue
                load.slowest = max(load.slowest, time.monotonic() - begun)
                load.answers.append(answer.status_code)
                if answer.status_code == httpx.codes.OK:
                    load.acknowledged[sop] = data
                    break
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
                time.sleep(0.2)


class Watch:
    """Reads the studies from the FHIR server itself while they are written."""

    def __init__(self, fhir_url: str, load: Load) -> None:
        self._fhir_url = fhir_url
        self._load = load
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.wrong: list[str] = []
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        last: dict[str, tuple[int, int]] = {}
        with httpx.Client(base_url=self._fhir_url, timeout=30, trust_env=False) as http:
            while not self._over.is_set():
                for study in self._load.studies:
                    found = imaging_studies(http, study)
                    if len(found) > 1:
                        self.wrong.append(f"{len(found)} ImagingStudies of {study}")
                    for each in found:
                        now = int(each["meta"]["versionId"]), each["numberOfInstances"]
                        before = last.get(study, (0, 0))
                        if now < before or now[1] < before[1]:
                            self.wrong.append(f"{study}: {before} and then {now}")
                        last[study] = now
                        self.looks += 1
                time.sleep(0.2)


def imaging_studies(http: httpx.Client, study: str) -> list[dict[str, Any]]:
    return resources(http, "ImagingStudy", f"urn:dicom:uid|urn:oid:{study}")


def resources(http: httpx.Client, kind: str, identifier: str) -> list[dict[str, Any]]:
    params = {"identifier": identifier}
    bundle = http.get(f"/{kind}", params=params, headers={"Cache-Control": "no-cache"}).json()
    return [entry["resource"] for entry in bundle.get("entry", ())]


def test_eight_writers_and_a_failing_fhir_server_lose_and_double_nothing(
    stack: Stack, fhir: FlakyFhir, workers: list[Server]
) -> None:
    load = Load()
    writers = [
        threading.Thread(target=write, args=(load, workers, number)) for number in range(WRITERS)
    ]
    fhir.failing = True
    with Watch(stack.fhir_url, load) as watch:
        for thread in writers:
            thread.start()
        wait_for(load, WRITERS * STUDIES * EACH // 4)
        workers[0].kill()
        workers[0].start(ready=False)
        wait_for(load, WRITERS * STUDIES * EACH // 2)
        fhir.down = True
        time.sleep(2.0)
        fhir.down = False
        for thread in writers:
            thread.join()
    fhir.failing = False

    assert watch.wrong == []
    assert watch.looks > STUDIES
    assert len(load.acknowledged) == WRITERS * STUDIES * EACH
    assert load.slowest < BUDGET + MARGIN
    assert set(fhir.faults) == set(Fault)
    for worker in workers:
        worker.wait_until_ready()
        assert worker.stop() in STOPPED
    workers[0].start()  # it clears up what was left
    archive = Archive(
        stack.elasticsearch_url, workers[0].index_prefix, stack.fhir_url, workers[0].blobs
    )
    assert_agreement(archive, studies=load.studies, stored=load.acknowledged, orphan_blobs=True)
    assert_one_of_each(stack, load)
    assert_recorded(workers[0])


def wait_for(load: Load, acknowledged: int) -> None:
    deadline = time.monotonic() + 240
    while len(load.acknowledged) < acknowledged:
        assert time.monotonic() < deadline, f"{len(load.acknowledged)} of {acknowledged}"
        time.sleep(0.05)


def assert_one_of_each(stack: Stack, load: Load) -> None:
    """Assert that each patient and each study is there once, with exact counts and a history that grows."""
    with httpx.Client(base_url=stack.fhir_url, timeout=30, trust_env=False) as http:
        for patient in load.patients:
            found = resources(http, "Patient", f"urn:coregister:patient-id|{patient}")
            assert len(found) == 1
        for study in load.studies:
            (resource,) = imaging_studies(http, study)
            assert resource["numberOfInstances"] == WRITERS * EACH
            assert resource["numberOfSeries"] == EACH
            counts = history(http, resource["id"])
            assert counts == sorted(counts)


def history(http: httpx.Client, resource_id: str) -> list[int]:
    """Return the counts of all versions of an ImagingStudy, by version."""
    bundle = http.get(f"/ImagingStudy/{resource_id}/_history", params={"_count": "500"}).json()
    versions = {
        int(entry["resource"]["meta"]["versionId"]): entry["resource"]["numberOfInstances"]
        for entry in bundle["entry"]
    }
    assert sorted(versions) == list(range(1, len(versions) + 1))
    return [versions[number] for number in sorted(versions)]


def assert_recorded(worker: Server) -> None:
    """Assert that an operator can see what was tried again."""
    answer = httpx.get(
        f"{worker.root}/errors", params={"kind": "transient-retry"}, timeout=30, trust_env=False
    ).json()
    assert answer["total"] > 0
    assert {each["kind"] for each in answer["errors"]} == {"transient-retry"}
