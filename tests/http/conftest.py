from collections.abc import Iterator
from typing import Protocol

import httpx
import pytest

from tests.server import Server


class Stack(Protocol):
    elasticsearch_url: str
    fhir_url: str


@pytest.fixture(scope="session")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Coregister for all HTTP tests that do not harm it."""
    running = Server(tmp_path_factory.mktemp("server"), stack.elasticsearch_url, stack.fhir_url)
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, timeout=60) as http:
        yield http


@pytest.fixture
def fhir(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.fhir_url, timeout=60) as http:
        yield http
