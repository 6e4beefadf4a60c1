"""Objects of deleted instances are removed once, when due, by whoever has the lease."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.errors import BlobsUnavailable
from app.index.mappings import index_mappings
from app.limits import Limits
from app.services.snapshot import INSTANCES, VERSIONS
from app.services.sweep import Sweep
from app.stores.elasticsearch import ElasticsearchIndex, Write
from tests.conftest import Stack

pytestmark = pytest.mark.stack

NOW = datetime.now(UTC)
LIMITS = Limits(deleted_bytes_seconds=60, tombstone_seconds=3600)


class Objects:
    """A blob store that notes what is removed from it."""

    def __init__(self, *, down: bool = False) -> None:
        self.removed: list[str] = []
        self.down = down

    async def delete(self, keys: Iterable[str]) -> None:
        if self.down:
            raise BlobsUnavailable("down")
        await asyncio.sleep(0.01)
        self.removed += keys


@pytest.fixture
async def index(stack: Stack) -> AsyncIterator[ElasticsearchIndex]:
    opened = ElasticsearchIndex(stack.elasticsearch_url, prefix=f"t{uuid4().hex[:10]}")
    wanted = {
        name: each for name, each in index_mappings().items() if name in (INSTANCES, VERSIONS)
    }
    await opened.ensure(wanted, shards=1, replicas=0)
    yield opened
    await opened.drop()
    await opened.close()


def version(name: str, **fields: Any) -> Write:
    source = {
        "study_instance_uid": "1.2", "series_instance_uid": "1.2.1", "sop_instance_uid": f"1.{name}",
        "version": name, "blob_key": f"key-{name}", "stored_at": NOW.isoformat(), **fields,
    }  # fmt: skip
    return Write("index", VERSIONS, name, source)


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def sweep(index: ElasticsearchIndex, objects: Objects) -> Sweep:
    blobs: Any = objects
    return Sweep(index, blobs, LIMITS)


async def left(index: ElasticsearchIndex) -> dict[str, Any]:
    hits = (await index.search(VERSIONS, {"size": 2_000}))["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


async def test_only_what_is_due_and_free_is_removed(index: ElasticsearchIndex) -> None:
    await index.bulk(
        [
            version("due", deleted_at=ago(120)),
            version("fresh", deleted_at=ago(5)),
            version("replaced", replaced_at=ago(9_999)),
            version("leased", deleted_at=ago(120), lease_until=ago(-60)),
            version("forsaken", deleted_at=ago(120), lease_until=ago(10)),
            version("outlived", deleted_at=ago(9_999)),
        ]
    )
    objects = Objects()
    await sweep(index, objects).run_once()

    assert sorted(objects.removed) == ["key-due", "key-forsaken", "key-outlived"]
    found = await left(index)
    assert found.keys() == {"due", "fresh", "replaced", "leased", "forsaken"}
    assert "removed_at" in found["due"]
    await sweep(index, objects).run_once()
    assert len(objects.removed) == 3


async def test_two_workers_share_the_work(index: ElasticsearchIndex) -> None:
    await index.bulk([version(f"v{n}", deleted_at=ago(120)) for n in range(1_200)])
    objects = [Objects(), Objects()]
    await asyncio.gather(*(sweep(index, each).run_once() for each in objects))

    removed = [key for each in objects for key in each.removed]
    assert len(removed) == len(set(removed)) == 1_200


async def test_what_could_not_be_removed_is_tried_again_when_the_lease_is_over(
    index: ElasticsearchIndex,
) -> None:
    await index.bulk([version("v", deleted_at=ago(120))])
    with pytest.raises(BlobsUnavailable):
        await sweep(index, Objects(down=True)).run_once()
    objects = Objects()
    await sweep(index, objects).run_once()
    assert objects.removed == []
    document = (await left(index))["v"]
    await index.bulk([Write("index", VERSIONS, "v", {**document, "lease_until": ago(1)})])
    await sweep(index, objects).run_once()
    assert objects.removed == ["key-v"]


async def test_an_object_that_is_served_is_never_removed(index: ElasticsearchIndex) -> None:
    served = {"blob_key": "key-v", "sop_instance_uid": "1.v"}
    await index.bulk([version("v", deleted_at=ago(120)), Write("index", INSTANCES, "1.v", served)])
    objects = Objects()
    await sweep(index, objects).run_once()
    assert objects.removed == []
