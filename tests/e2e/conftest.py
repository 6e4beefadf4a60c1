from collections.abc import Iterator

import pytest

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.server import STOPPED, Server


@pytest.fixture(scope="session")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Coregister for the clients of others."""
    running = Server(
        tmp_path_factory.mktemp("e2e"), stack.elasticsearch_url, stack.fhir_url,
        settings={"COREGISTER_LIMIT_CHANGES_SECONDS": "1"},  # what changes in FHIR is seen soon
    )  # fmt: skip
    running.start()
    try:
        yield running
        assert running.stop() in STOPPED
        assert_agreement(
            Archive(stack.elasticsearch_url, running.index_prefix, stack.fhir_url, running.blobs),
            orphan_blobs=True,  # of what the clients deleted, until its time of grace is over
        )
    finally:
        running.discard()
