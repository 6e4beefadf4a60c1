"""What every test may ask for."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from app.local.ports import Ports
from app.local.provision import provide
from app.local.stack import launch, make_startable, plan_services, take_down, wait_until_ready
from app.local.state import Phase, StackFolder, StackState
from app.settings import LocalSettings

RUNNING_STACK = "COREGISTER_TEST_STACK"


@dataclass(frozen=True, slots=True)
class Stack:
    """Real servers for the tests marked `stack`."""

    elasticsearch_url: str
    fhir_url: str
    data: Path


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Elasticsearch and HAPI on free ports with their own data, once for the whole run.

    COREGISTER_TEST_STACK names the data folder of a stack that runs already, to use that instead.
    """
    running = os.environ.get(RUNNING_STACK)
    if running:
        yield _addresses(StackFolder(Path(running).resolve()))
        return
    folder = StackFolder(tmp_path_factory.mktemp("stack"))
    settings = LocalSettings(elasticsearch_memory="512m", fhir_memory="768m")
    make_startable(folder)
    services = plan_services(provide(settings, Console()), folder, Ports.free(), settings)
    supervisor = launch(folder, services, start_seconds=settings.start_seconds, attached=True)
    try:
        wait_until_ready(folder, supervisor, _ignore)
        yield _addresses(folder)
    finally:
        take_down(folder)
        supervisor.communicate()


def _addresses(folder: StackFolder) -> Stack:
    state = folder.read()
    assert state.phase is Phase.READY, f"no stack is ready on {folder.path}"
    return Stack(
        elasticsearch_url=state.services["elasticsearch"].url,
        fhir_url=state.services["fhir"].url,
        data=folder.path,
    )


def _ignore(_: StackState) -> None:
    pass
