"""Warming up asks Elasticsearch what users ask, and leaves nothing behind."""

from collections.abc import AsyncIterator
from typing import Any, Protocol
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from app.index.mappings import index_mappings
from app.limits import Limits
from app.stores.elasticsearch import ElasticsearchIndex

pytestmark = pytest.mark.stack


class Stack(Protocol):
    elasticsearch_url: str


@pytest_asyncio.fixture
async def index(stack: Stack) -> AsyncIterator[ElasticsearchIndex]:
    store = ElasticsearchIndex(stack.elasticsearch_url, prefix=f"contract-{uuid4().hex[:8]}")
    yield store
    await store.close()


async def test_rehearsed_searches_find_rehearsed_documents_and_all_is_removed(
    index: ElasticsearchIndex, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    search = index.search

    async def counted(name: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await search(name, body)
        found.append(len(answer["hits"]["hits"]))
        return answer

    monkeypatch.setattr(index, "search", counted)

    await index.warm_up(index_mappings()["instances"], Limits(), rounds=3)

    assert max(found) == 3
    assert sum(map(bool, found)) > len(found) * 3 / 4
    async with httpx.AsyncClient(base_url=stack.elasticsearch_url, trust_env=False) as http:
        left = await http.get(f"/{index.alias('*')}/_alias")
    assert left.json() == {}
