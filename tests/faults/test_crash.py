"""Coregister is killed at random moments under load; what it acknowledged is there, all agrees (P1, P2)."""

import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.server import STOPPED, Server, store, values

SECONDS = float(os.environ.get("COREGISTER_TEST_CRASH_SECONDS", "20"))
SEED = int(os.environ.get("COREGISTER_TEST_SEED", "20240229"))
CLIENTS = 8
STUDIES = 5
RETRIED = 0.5  # how often a client that got no answer sends the same again

pytestmark = [pytest.mark.stack, pytest.mark.timeout(SECONDS * 4 + 300)]


@dataclass
class Load:
    """Clients that store into a few studies, whatever happens to the server."""

    base: str
    studies: list[tuple[str, list[str]]]  # Study Instance UID, its Series Instance UIDs
    over: threading.Event = field(default_factory=threading.Event)
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    unanswered: dict[str, bytes] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)  # answers that nothing excuses

    def client(self, seed: int) -> None:
        """Send until it is over."""
        chance = random.Random(seed)
        again: dict[str, bytes] = {}
        with httpx.Client(base_url=self.base, timeout=20, trust_env=False) as http:
            while not self.over.is_set():
                batch = again or self._batch(chance)
                again = {}
                try:
                    answer = store(http, *batch.values())
                except httpx.TransportError:
                    self.unanswered |= batch
                    again = batch if chance.random() < RETRIED else {}
                    self.over.wait(0.1)
                    continue
                if answer.status_code == httpx.codes.OK:
                    self.acknowledged |= batch
                elif answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                    self.unanswered |= batch
                    again = batch
                    self.over.wait(0.2)
                else:
                    self.refused.append(f"{answer.status_code}: {answer.text}")

    def _batch(self, chance: random.Random) -> dict[str, bytes]:
        batch: dict[str, bytes] = {}
        for _ in range(chance.randint(1, 4)):
            study, series = chance.choice(self.studies)
            sop = generate_uid()
            batch[sop] = make_instance(
                StudyInstanceUID=study,
                SeriesInstanceUID=chance.choice(series),
                SOPInstanceUID=sop,
                PatientID=f"killed-{study[-12:]}",
                PixelData=None,
                Rows=None,
                SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11",
            )
        return batch


@pytest.fixture
def server(stack: Stack, tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url)
    running.start()
    yield running
    running.discard()


def test_what_was_acknowledged_survives_kills_at_random_moments(server: Server) -> None:
    chance = random.Random(SEED)
    load = Load(
        server.base,
        [(generate_uid(), [generate_uid() for _ in range(2)]) for _ in range(STUDIES)],
    )
    clients = [
        threading.Thread(target=load.client, args=(SEED + number,)) for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    kills = 0
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.1, 2.0))
            server.kill()
            server.start()
            kills += 1
    finally:
        load.over.set()
        for client in clients:
            client.join()

    assert load.refused == []
    assert kills >= 2
    assert len(load.acknowledged) > CLIENTS
    server.kill()
    server.start()  # clears up once more, and stays
    archive = Archive(server.elasticsearch_url, server.index_prefix, server.fhir_url, server.blobs)
    instances = assert_agreement(
        archive,
        studies=[study for study, _ in load.studies],
        stored=load.acknowledged,
        orphan_blobs=True,
    )
    assert instances.keys() <= load.acknowledged.keys() | load.unanswered.keys()
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        assert_served(http, load)
        left = {sop: d for sop, d in load.unanswered.items() if sop not in load.acknowledged}
        if left:
            assert store(http, *left.values()).status_code == httpx.codes.OK
    assert_agreement(archive, stored=load.acknowledged | load.unanswered, orphan_blobs=True)
    assert server.stop() in STOPPED


def assert_served(http: httpx.Client, load: Load) -> None:
    """Assert that clients are told the same: each acknowledged instance once, byte for byte."""
    found: list[str] = []
    for study, _ in load.studies:
        offset = 0
        while rows := page(http, study, offset):
            found += [values(row, "00080018")[0] for row in rows]
            offset += len(rows)
    assert len(found) == len(set(found))
    assert set(found) >= load.acknowledged.keys()
    for sop in random.Random(SEED).sample(sorted(load.acknowledged), k=8):
        (row,) = http.get("/instances", params={"SOPInstanceUID": sop}).json()
        url = values(row, "00081190")[0]
        part = http.get(url, headers={"Accept": "application/dicom"})
        assert part.content == load.acknowledged[sop]


def page(http: httpx.Client, study: str, offset: int) -> list[dict[str, object]]:
    answer = http.get(f"/studies/{study}/instances", params={"limit": 500, "offset": offset})
    if answer.status_code == httpx.codes.NO_CONTENT:
        return []
    rows: list[dict[str, object]] = answer.raise_for_status().json()
    return rows
