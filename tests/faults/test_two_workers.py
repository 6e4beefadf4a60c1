"""Two Coregisters on the same stores take the same instances at the same time: each is stored once (P2)."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.server import STOPPED, Server, store, values

pytestmark = pytest.mark.stack

CLIENTS = 3  # of each worker
ROUNDS = 12


@pytest.fixture
def workers(stack: Stack, tmp_path: Path) -> Iterator[list[Server]]:
    """Two processes with the same indices and the same folder of objects."""
    one = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url)
    other = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url, index_prefix=one.index_prefix)
    one.start()
    other.start()
    yield [one, other]
    other.discard()
    one.discard()


def test_two_workers_store_the_same_study_without_losing_or_doubling(
    workers: list[Server],
) -> None:
    """Every client sends the same instances, in its own order, so that most are sent at once."""
    study = generate_uid()
    sent: dict[str, bytes] = {}
    for number in range(ROUNDS * 2):
        sop = generate_uid()
        sent[sop] = make_instance(
            StudyInstanceUID=study, SOPInstanceUID=sop, InstanceNumber=str(number)
        )
    answers: list[httpx.Response] = []

    def client(worker: Server, start: int) -> None:
        files = list(sent.values())
        files = files[start:] + files[:start]
        with httpx.Client(base_url=worker.base, timeout=90, trust_env=False) as http:
            answers.extend(
                send_until_answered(http, files[at : at + 2]) for at in range(0, len(files), 2)
            )

    threads = [
        threading.Thread(target=client, args=(worker, 4 * number))
        for worker in workers
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each.text for each in answers if each.status_code != httpx.codes.OK] == []
    assert len(answers) == 2 * CLIENTS * ROUNDS
    archive = Archive(
        workers[0].elasticsearch_url, workers[0].index_prefix, workers[0].fhir_url, workers[0].blobs
    )
    instances = assert_agreement(archive, studies=[study], stored=sent)
    assert instances.keys() == sent.keys()
    for worker in workers:
        with httpx.Client(base_url=worker.base, timeout=60, trust_env=False) as http:
            (row,) = http.get("/studies", params={"StudyInstanceUID": study}).json()
            assert values(row, "00201208") == [len(sent)]
        assert worker.stop() in STOPPED


def send_until_answered(http: httpx.Client, files: list[bytes]) -> httpx.Response:
    """Send; where others kept changing the study, send again as told."""
    for _ in range(10):
        answer = store(http, *files)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
    return answer
