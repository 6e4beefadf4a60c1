"""Finishes what another worker, or an earlier run of this one, had begun."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime

import structlog

from app.dicom.instance import ByteRange
from app.errors import IndexUnavailable, NotFound, VersionConflict
from app.limits import Limits
from app.services.intake import Prepared, prepare
from app.services.intents import INTENTS, IntendedInstance, Intent, Worker
from app.services.snapshot import INSTANCES, Snapshot, Snapshots, advance, writes_of
from app.stores.blob_store import BlobStore
from app.stores.elasticsearch import ElasticsearchIndex, Write
from app.stores.lane import Lane

POLL_SECONDS = 0.1
POLLS = 50

log = structlog.get_logger(__name__)


class Redo:
    """Reads intended instances back from the blob store, and indexes those that FHIR has already."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        lane: Lane,
        blobs: BlobStore,
        snapshots: Snapshots,
        threads: Executor,
        limits: Limits,
        worker: Worker,
    ) -> None:
        """Act as `worker`."""
        self._index = index
        self._lane = lane
        self._blobs = blobs
        self._snapshots = snapshots
        self._threads = threads
        self._limits = limits
        self._worker = worker

    async def read(self, intent: Intent) -> tuple[Prepared, ...] | None:
        """Return the intent's instances, or None where a blob never became durable."""
        try:
            return tuple([await self._read(intent, item) for item in intent.instances])
        except NotFound:
            return None

    async def _read(self, intent: Intent, item: IntendedInstance) -> Prepared:
        (data,) = await self._blobs.read(item.blob_key, [ByteRange(0, item.size)])
        stored = item.to_stored(intent.study_instance_uid)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, prepare, data, stored, self._limits)

    async def finish(self, intent: Intent, snapshot: Snapshot) -> Snapshot:
        """Index the instances of a commit that FHIR has; return the study with them.

        Raises IndexUnavailable, and VersionConflict where the worker that began it is alive and slow.
        """
        if intent.worker != self._worker and not await self._left_alone(intent):
            return await self._snapshots.read(snapshot.study_instance_uid)
        prepared = await self.read(intent)
        imaging_study = snapshot.imaging_study
        if prepared is None or imaging_study is None:
            log.error("intent_blob_missing", intent=intent.id)
            return snapshot
        series = {item.stored.record.series_instance_uid for item in prepared}
        snapshot = await self._snapshots.with_series(snapshot, series)
        missing = await self._missing(prepared)
        after = advance(snapshot, imaging_study, snapshot.version, prepared, self._limits)
        results = await self._lane.write(writes_of(after, missing))
        if any(result.failed for result in results):
            raise IndexUnavailable("Elasticsearch refused a write.", retry_after=5)
        await self._index.bulk([Write("delete", INTENTS, intent.id)])
        log.info("intent_finished", intent=intent.id, instances=len(missing))
        return after

    async def _missing(self, prepared: Sequence[Prepared]) -> list[Prepared]:
        uids = [item.stored.record.sop_instance_uid for item in prepared]
        known = await self._index.get_many(INSTANCES, uids, fields=["version"])
        return [p for p in prepared if p.stored.record.sop_instance_uid not in known]

    async def _left_alone(self, intent: Intent) -> bool:
        """Wait for another worker to finish; True where it never will."""
        for _ in range(POLLS):
            if intent.abandoned(self._worker, datetime.now(UTC)):
                return True
            await asyncio.sleep(POLL_SECONDS)
            if not await self._index.get_many(INTENTS, [intent.id], fields=["lease_until"]):
                return False
        raise VersionConflict("Another worker is still storing into this study.", retry_after=2)
