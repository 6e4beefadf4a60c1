"""An index that was made for another mapping is recognised before anything is read from it or written to it."""

from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any, Protocol
from uuid import uuid4

import pytest
import pytest_asyncio

from app.errors import ConfigurationError
from app.index.mappings import index_mappings
from app.stores.elasticsearch import ElasticsearchIndex

pytestmark = pytest.mark.stack


class Stack(Protocol):
    elasticsearch_url: str


@pytest_asyncio.fixture
async def index(stack: Stack) -> AsyncIterator[ElasticsearchIndex]:
    store = ElasticsearchIndex(stack.elasticsearch_url, prefix=f"contract-{uuid4().hex[:8]}")
    yield store
    await store.drop()
    await store.close()


def earlier(definitions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the definitions as a version before had them."""
    changed = deepcopy(definitions)
    changed["instances"]["version"] -= 1
    return changed


async def test_index_of_another_version_is_refused_by_name(index: ElasticsearchIndex) -> None:
    await index.ensure(earlier(index_mappings()), shards=1, replicas=0)

    with pytest.raises(ConfigurationError, match=r"-instances-\d+ was made by another version"):
        await index.ensure(index_mappings(), shards=1, replicas=0)


async def test_index_of_this_version_is_used_again(index: ElasticsearchIndex) -> None:
    await index.ensure(index_mappings(), shards=1, replicas=0)

    await index.ensure(index_mappings(), shards=1, replicas=0)
