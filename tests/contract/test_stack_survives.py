"""The embedded stack keeps what it acknowledged, and leaves nothing running behind."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from rich.console import Console

from app.local.ports import Ports
from app.local.provision import provide
from app.local.stack import launch, make_startable, plan_services, take_down, wait_until_ready
from app.local.state import Phase, StackFolder, StackState
from app.settings import LocalSettings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

WRITES = 60
PATIENCE_SECONDS = 60
SMALL = LocalSettings(elasticsearch_memory="384m", fhir_memory="640m")
# nobody listens there: whatever were still missing on a later start would fail it
OFFLINE = SMALL.model_copy(update={"maven_repository": "http://127.0.0.1:9"})


@contextmanager
def started(folder: StackFolder, settings: LocalSettings) -> Iterator[StackState]:
    """Run a stack of real servers on this folder, on ports of its own."""
    make_startable(folder)
    services = plan_services(provide(settings, Console()), folder, Ports.free(), settings)
    supervisor = launch(folder, services, start_seconds=settings.start_seconds, attached=True)
    try:
        yield wait_until_ready(folder, supervisor, lambda _: None)
    finally:
        take_down(folder)
        supervisor.communicate()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30, trust_env=False) as client:
        yield client


def index_document(http: httpx.Client, state: StackState, number: int) -> None:
    url = f"{state.services['elasticsearch'].url}/survivors/_doc/{number}"
    http.put(url, json={"number": number}).raise_for_status()


def put_patient(http: httpx.Client, state: StackState, number: int) -> None:
    resource = {"resourceType": "Patient", "id": f"survivor-{number}"}
    url = f"{state.services['fhir'].url}/Patient/survivor-{number}"
    http.put(url, json=resource).raise_for_status()


def kill_all(state: StackState) -> None:
    """End every process of the stack at once, without a chance to say goodbye."""
    processes = [psutil.Process(mark.pid) for mark in state.marks().values()]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)


def ended_by_themselves(state: StackState) -> bool:
    """Return whether every process is gone in time, without anybody killing it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(mark.process() for mark in state.marks().values()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_acknowledged_writes_survive_and_no_process_does(
    tmp_path: Path, http: httpx.Client
) -> None:
    """Everything is killed right after the last answer; later, only the supervisor is."""
    folder = StackFolder(tmp_path)
    with started(folder, SMALL) as state:
        for number in range(WRITES):
            index_document(http, state, number)
            put_patient(http, state, number)
        kill_all(folder.read())
        assert folder.read().phase is Phase.STOPPED

    with started(folder, OFFLINE) as state:
        elasticsearch = state.services["elasticsearch"].url
        fhir = state.services["fhir"].url
        for number in range(WRITES):
            document = http.get(f"{elasticsearch}/survivors/_doc/{number}")
            patient = http.get(f"{fhir}/Patient/survivor-{number}")

            assert document.json()["_source"] == {"number": number}
            assert patient.json()["id"] == f"survivor-{number}"

        psutil.Process(state.marks()["supervisor"].pid).kill()
        assert ended_by_themselves(state)
