"""The FHIR server is killed under load and comes back: nothing acknowledged is lost or doubled (P1, P2)."""

import threading
from pathlib import Path

import httpx
import psutil
import pytest

from app.local.state import StackFolder
from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.contract.test_stack_survives import SMALL, started
from tests.faults.test_writers_at_once import (
    EACH,
    SETTINGS,
    STUDIES,
    WRITERS,
    Load,
    assert_one_of_each,
    wait_for,
    write,
)
from tests.server import STOPPED, Server

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def test_a_fhir_server_that_is_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    """On a stack of its own, whose supervisor starts the server again."""
    folder = StackFolder(tmp_path / "stack")
    with started(folder, SMALL) as state:
        stack = Stack(state.services["elasticsearch"].url, state.services["fhir"].url, folder.path)
        worker = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url, SETTINGS)
        worker.start()
        try:
            load = stored_meanwhile(worker, state.marks()["fhir"].pid)

            assert len(load.acknowledged) == WRITERS * STUDIES * EACH
            assert httpx.codes.SERVICE_UNAVAILABLE in load.answers
            assert folder.read().services["fhir"].restarts == 1
            assert worker.stop() in STOPPED
            worker.start()  # it clears up what was not acknowledged
            archive = Archive(
                stack.elasticsearch_url, worker.index_prefix, stack.fhir_url, worker.blobs
            )
            assert_agreement(archive, studies=load.studies, stored=load.acknowledged)
            assert_one_of_each(stack, load)
        finally:
            worker.kill()


def stored_meanwhile(worker: Server, fhir_pid: int) -> Load:
    """Return what all writers have stored, the FHIR server killed when they had a quarter of it."""
    load = Load()
    writers = [
        threading.Thread(target=write, args=(load, [worker], number)) for number in range(WRITERS)
    ]
    for thread in writers:
        thread.start()
    wait_for(load, WRITERS * STUDIES * EACH // 4)
    psutil.Process(fhir_pid).kill()
    for thread in writers:
        thread.join()
    return load
