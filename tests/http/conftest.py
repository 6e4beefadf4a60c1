from collections.abc import Iterator

import httpx
import pytest

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import SENTINEL
from tests.server import STOPPED, Server

SENTINELS = (SENTINEL.split("^")[0], "Sentinel", "<script>")


@pytest.fixture(scope="session")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Coregister for all HTTP tests that do not harm it.

    When all have run, its stores agree and no name of a patient is in its log.
    """
    running = Server(tmp_path_factory.mktemp("server"), stack.elasticsearch_url, stack.fhir_url)
    running.start()
    try:
        yield running
        assert running.stop() in STOPPED
        assert_agreement(archive_of(running))
        text = running.log.read_text()
        assert [each for each in SENTINELS if each in text] == []
    finally:
        running.discard()


@pytest.fixture
def archive(server: Server) -> Archive:
    return archive_of(server)


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        yield http


@pytest.fixture
def fhir(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.fhir_url, timeout=60, trust_env=False) as http:
        yield http


def archive_of(server: Server) -> Archive:
    """Return the stores of a server."""
    return Archive(server.elasticsearch_url, server.index_prefix, server.fhir_url, server.blobs)
