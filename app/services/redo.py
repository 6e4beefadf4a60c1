"""Finishes what another worker, or an earlier run of this one, had begun."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from app.dicom.instance import ByteRange, StoredInstance
from app.dicom.rejection_note import rejected_by
from app.errors import IndexUnavailable, NotFound, VersionConflict
from app.limits import Limits
from app.services.intake import Prepared, prepare
from app.services.intents import (
    INTENTS,
    IntendedInstance,
    Intent,
    Worker,
    new_correction,
    to_source,
)
from app.services.link import StudyLinker
from app.services.overlay import Overlay
from app.services.provenance import Provenances
from app.services.reconcile import Reconcile
from app.services.remove import Removal
from app.services.replace import put_versions
from app.services.snapshot import (
    INSTANCES,
    VERSIONS,
    Snapshot,
    Snapshots,
    advance,
    links_of,
    writes_of,
)
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
        provenances: Provenances,
        removal: Removal,
        reconcile: Reconcile,
        linker: StudyLinker,
        overlay: Overlay,
    ) -> None:
        """Act as `worker`."""
        self._overlay = overlay
        self._provenances = provenances
        self._linker = linker
        self._reconcile = reconcile
        self._index = index
        self._lane = lane
        self._blobs = blobs
        self._snapshots = snapshots
        self._threads = threads
        self._limits = limits
        self._worker = worker
        self._removal = removal

    async def read(self, intent: Intent) -> tuple[Prepared, ...] | None:
        """Return the intent's instances, or None where a blob never became durable."""
        try:
            return tuple([await self._read(intent, item) for item in intent.instances])
        except NotFound:
            return None

    async def _read(self, intent: Intent, item: IntendedInstance) -> Prepared:
        found = await self.read_again(item.to_stored(intent.study_instance_uid))
        return replace(found, restates=intent.restates)

    async def read_again(self, stored: StoredInstance) -> Prepared:
        """Return an instance that is in the blob store. Raises NotFound, BlobsUnavailable."""
        (data,) = await self._blobs.read(stored.blob_key, [ByteRange(0, stored.size)])
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, prepare, data, stored, self._limits)

    async def finish(self, intent: Intent, snapshot: Snapshot) -> Snapshot:
        """Index the instances of a commit that FHIR has; return the study with them.

        Raises IndexUnavailable, and VersionConflict where the worker that began it is alive and slow.
        """
        if intent.worker != self._worker and not await self._left_alone(intent):
            return await self._snapshots.read(snapshot.study_instance_uid)
        if intent.corrects is not None:
            after = await self._overlay.follow_subject(snapshot)
            self._provenances.settle_soon(intent, after.version)
            log.info("correction_finished", intent=intent.id)
            return after
        if intent.removed:
            uids = [each.sop_instance_uid for each in intent.removed]
            await self._linker.reports_again(snapshot, removed=uids)
            after = await self._removal.index(snapshot, intent.removed)
            if await self._removal.clear(after):
                after = await self._snapshots.read(snapshot.study_instance_uid)
            await self._provenances.settle(intent, after.version, again=True)
            log.info("removal_finished", intent=intent.id, instances=len(intent.removed))
            return after
        return await self._finish_storing(intent, snapshot)

    async def _finish_storing(self, intent: Intent, snapshot: Snapshot) -> Snapshot:
        prepared = await self.read(intent)
        imaging_study = snapshot.imaging_study
        if prepared is None or imaging_study is None:
            log.error("intent_blob_missing", intent=intent.id)
            return snapshot
        series = {item.stored.record.series_instance_uid for item in prepared}
        snapshot = await self._snapshots.with_series(snapshot, series)
        prepared = await self._not_past(prepared)
        if not prepared:
            await self._index.bulk([Write("delete", INTENTS, intent.id)])
            return snapshot
        reconciled = self._reconcile.decide(snapshot.own_patient, prepared, snapshot.shown_patient)
        prepared = tuple(
            item
            for item in prepared
            if item.stored.record.sop_instance_uid not in reconciled.inconsistent
        )
        if not prepared:  # the policy has changed since
            log.warning("intent_inconsistent", intent=intent.id)
            return snapshot
        subject = imaging_study["subject"]["reference"]
        patient = await self._linker.patient(snapshot, subject, reconciled.own)
        missing, other = await self._missing(prepared)
        replaced = other if intent.replace else []
        shown = await patient.shown(missing, replaced, self._limits)
        links = links_of(imaging_study, snapshot.version)
        await self._linker.reports_again(snapshot, missing, replaced)
        await put_versions(self._index, self._lane, shown.replaced, links)
        after = advance(snapshot, imaging_study, snapshot.version, prepared, self._limits, patient)
        writes = writes_of(after, shown.added, shown.replaced)
        if reconciled.moves:  # recovery does that, in its next turn
            uid = intent.study_instance_uid
            follows = new_correction(uid, subject, worker=self._worker, lease_seconds=0)
            writes.append(Write("create", INTENTS, follows.id, to_source(follows)))
        results = await self._lane.write(writes)
        if any(result.failed for result in results):
            raise IndexUnavailable("Elasticsearch refused a write.", retry_after=5)
        if not any(rejected_by(item.stored.record) for item in prepared):
            # a rejection note has more to do: recovery does it, and removes the intent then
            await self._provenances.settle(intent, after.version, again=True)
        log.info("intent_finished", intent=intent.id, instances=len(missing))
        return after

    async def _not_past(self, prepared: Sequence[Prepared]) -> tuple[Prepared, ...]:
        """Return the instances without versions that were replaced or deleted since."""
        versions = [item.stored.version for item in prepared]
        past = await self._index.get_many(VERSIONS, versions, fields=["version"])
        return tuple(item for item in prepared if item.stored.version not in past)

    async def _missing(self, prepared: Sequence[Prepared]) -> tuple[list[Prepared], list[Prepared]]:
        """Return the instances that the index lacks, and those that it has with other bytes."""
        uids = [item.stored.record.sop_instance_uid for item in prepared]
        known = await self._index.get_many(INSTANCES, uids, fields=["sha256"])
        digests = {uid: document["sha256"] for uid, document in known.items()}
        missing, other = [], []
        for uid, item in zip(uids, prepared, strict=True):
            if uid not in digests:
                missing.append(item)
            elif digests[uid] != item.stored.sha256:
                other.append(item)
        return missing, other

    async def _left_alone(self, intent: Intent) -> bool:
        """Wait for another worker to finish; True where it never will."""
        for _ in range(POLLS):
            if intent.abandoned(self._worker, datetime.now(UTC)):
                return True
            await asyncio.sleep(POLL_SECONDS)
            found = await self._index.get_many(INTENTS, [intent.id], fields=["lease_until", "deed"])
            if "deed" in found.get(intent.id, {"deed": None}):
                return False
        raise VersionConflict("Another worker is still storing into this study.", retry_after=2)
