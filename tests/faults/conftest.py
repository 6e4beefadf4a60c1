from collections.abc import Iterator

import pytest

from tests.conftest import Stack
from tests.faults.proxy import Proxy


@pytest.fixture(scope="module")
def proxies(stack: Stack) -> Iterator[dict[str, Proxy]]:
    """A proxy before each store that is a server."""
    found = {"elasticsearch": Proxy(stack.elasticsearch_url), "fhir": Proxy(stack.fhir_url)}
    yield found
    for proxy in found.values():
        proxy.close()
