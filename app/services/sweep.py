"""Removes the objects of deleted instances when their time is over, and tombstones that have outlived theirs.

Strategy: a deleted version's document says when it was deleted. A worker leases those that are due by
writing so into them, under guard, so that of two workers one gets each; if it dies, the lease ends and another
takes over. Objects are removed before it is noted that they are: doing so twice does no harm.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from app.index.versions import outlived_tombstones, removable_bytes
from app.limits import Limits
from app.services.snapshot import INSTANCES, VERSIONS
from app.stores.blob_store import BlobStore
from app.stores.elasticsearch import ElasticsearchIndex, Guard, Write

PAGE = 500
LEASE_SECONDS = 120.0

log = structlog.get_logger(__name__)


class Sweep:
    """What deleting leaves for later."""

    def __init__(self, index: ElasticsearchIndex, blobs: BlobStore, limits: Limits) -> None:
        """Remove objects from `blobs` as `index` says."""
        self._index = index
        self._blobs = blobs
        self._limits = limits

    async def run_once(self) -> int:
        """Remove what is due; return how many objects that were. Raises StoreUnavailable."""
        swept = 0
        while found := await self._lease():
            await self._remove(found)
            swept += len(found)
        await self._forget()
        if swept:
            log.info("swept", objects=swept)
        return swept

    async def _lease(self) -> list[dict[str, Any]]:
        """Return documents of versions whose bytes are due; nobody else removes them meanwhile."""
        now = datetime.now(UTC)
        body = {
            "size": PAGE,
            "query": removable_bytes(self._limits, now),
            "sort": [{"deleted_at": "asc"}],
            "seq_no_primary_term": True,
        }
        hits = (await self._index.search(VERSIONS, body))["hits"]["hits"]
        until = (now + timedelta(seconds=LEASE_SECONDS)).isoformat()
        leased = [{**hit["_source"], "lease_until": until} for hit in hits]
        results = await self._index.bulk(
            [
                Write("index", VERSIONS, hit["_id"], document, guard=_guard(hit))
                for hit, document in zip(hits, leased, strict=True)
            ]
        )
        return [d for d, result in zip(leased, results, strict=True) if result.failure is None]

    async def _remove(self, versions: Sequence[Mapping[str, Any]]) -> None:
        uids = list({version["sop_instance_uid"] for version in versions})
        current = await self._index.get_many(INSTANCES, uids, fields=["blob_key"])
        # it cannot be, but an object that is served must not go whatever a tombstone says
        served = {document["blob_key"] for document in current.values()}
        keys = [v["blob_key"] for v in versions if v["blob_key"] not in served]
        await self._blobs.delete(keys)
        now = datetime.now(UTC).isoformat()
        await self._index.bulk(
            [
                Write("index", VERSIONS, v["version"], {**_unleased(v), "removed_at": now})
                for v in versions
            ]
        )

    async def _forget(self) -> None:
        """Remove tombstones that have outlived their time, and whose objects are gone."""
        while True:
            body = {
                "size": PAGE,
                "query": outlived_tombstones(self._limits, datetime.now(UTC)),
                "_source": False,
            }
            hits = (await self._index.search(VERSIONS, body))["hits"]["hits"]
            await self._index.bulk([Write("delete", VERSIONS, hit["_id"]) for hit in hits])
            if len(hits) < PAGE:
                return


def _guard(hit: Mapping[str, Any]) -> Guard:
    return Guard(hit["_seq_no"], hit["_primary_term"])


def _unleased(version: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in version.items() if name != "lease_until"}
