"""Coregister is killed at random moments while clients store and delete; all agrees (P1, P2)."""

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
from tests.faults.test_delete_faults import instance, path_of
from tests.server import STOPPED, Server, store

SECONDS = float(os.environ.get("COREGISTER_TEST_CRASH_SECONDS", "20"))
SEED = int(os.environ.get("COREGISTER_TEST_SEED", "20240229"))
CLIENTS = 6
STUDIES = 3

pytestmark = [pytest.mark.stack, pytest.mark.timeout(SECONDS * 4 + 300)]


@dataclass
class Load:
    """Clients that store into a few studies and delete from them, whatever happens to the server."""

    base: str
    studies: list[str]
    over: threading.Event = field(default_factory=threading.Event)
    stored: dict[str, bytes] = field(default_factory=dict)  # acknowledged, and never asked to go
    deleted: set[str] = field(default_factory=set)  # acknowledged
    refused: list[str] = field(default_factory=list)  # answers that nothing excuses

    def client(self, seed: int) -> None:
        """Store two instances, delete one of them, and again."""
        chance = random.Random(seed)
        series = generate_uid()
        with httpx.Client(base_url=self.base, timeout=20, trust_env=False) as http:
            while not self.over.is_set():
                study = chance.choice(self.studies)
                (keep, data), (drop, other) = (instance(study, series) for _ in range(2))
                if not self._store(http, [data, other]):
                    continue
                self.stored[keep] = data
                if self._delete(http, path_of(other)):
                    self.deleted.add(drop)

    def _store(self, http: httpx.Client, files: list[bytes]) -> bool:
        try:
            answer = store(http, *files)
        except httpx.TransportError:
            self.over.wait(0.1)
            return False
        if answer.status_code not in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE):
            self.refused.append(f"store {answer.status_code}: {answer.text}")
        return answer.status_code == httpx.codes.OK

    def _delete(self, http: httpx.Client, path: str) -> bool:
        while not self.over.is_set():
            try:
                answer = http.delete(path)
            except httpx.TransportError:
                self.over.wait(0.1)
                continue
            if answer.status_code in (httpx.codes.NO_CONTENT, httpx.codes.GONE):
                return True
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                self.refused.append(f"delete {answer.status_code}: {answer.text}")
                return False
            self.over.wait(0.2)
        return False


@pytest.fixture
def server(stack: Stack, tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url)
    running.start()
    yield running
    running.discard()


def test_what_was_stored_and_deleted_survives_kills_at_random_moments(server: Server) -> None:
    chance = random.Random(SEED)
    load = Load(server.base, [generate_uid() for _ in range(STUDIES)])
    clients = [threading.Thread(target=load.client, args=(SEED + n,)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.1, 2.0))
            server.kill()
            server.start()
    finally:
        load.over.set()
        for client in clients:
            client.join()

    assert load.refused == []
    assert load.stored
    assert load.deleted
    server.kill()
    server.start()  # clears up once more, and stays
    archive = Archive(server.elasticsearch_url, server.index_prefix, server.fhir_url, server.blobs)
    instances = assert_agreement(
        archive, studies=load.studies, stored=load.stored, orphan_blobs=True
    )
    assert not instances.keys() & load.deleted
    assert server.stop() in STOPPED
