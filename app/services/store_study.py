"""Stores the instances of one STOW request: durable, linked in FHIR and findable, or refused.

The order of the steps is the promise (docs/architecture.md): look up, blobs and intent, FHIR, index, answer.
"""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import structlog

from app.dicom.instance import Finding
from app.errors import (
    CoregisterError,
    DuplicateInstance,
    IndexUnavailable,
    StoreUnavailable,
    StudyMismatch,
)
from app.limits import Limits
from app.services.claims import Claims
from app.services.commit import StudyCommits, Submission
from app.services.copies import drop_copies
from app.services.intake import RECORDS_KEPT, Intake, Prepared, Refused, Spooled, reread
from app.services.intents import INTENTS, Intent, Worker, new_intent, to_source
from app.services.snapshot import INSTANCES
from app.stores.blob_store import BlobStore, Upload
from app.stores.elasticsearch import ElasticsearchIndex, Write
from app.stores.lane import Lane, Lookup

LEASE_GRACE_SECONDS = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InstanceOutcome:
    """What became of one part of the request."""

    sop_class_uid: str | None
    sop_instance_uid: str | None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    error: CoregisterError | None = None
    findings: tuple[Finding, ...] = ()


class StoreStudy:
    """The verb behind STOW-RS."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        journal: Lane,
        blobs: BlobStore,
        commits: StudyCommits,
        claims: Claims,
        threads: Executor,
        limits: Limits,
        worker: Worker,
    ) -> None:
        """Write intents through `journal`."""
        self._index = index
        self._known = Lookup(index, INSTANCES, fields=["sha256"])
        self._journal = journal
        self._blobs = blobs
        self._commits = commits
        self._claims = claims
        self._threads = threads
        self._limits = limits
        self._worker = worker
        self._background: set[asyncio.Task[Any]] = set()

    def intake(self) -> Intake:
        """Return a place for the parts of a new request."""
        return Intake(self._blobs.spool_folder, self._limits, self._threads)

    async def free_bytes(self) -> int | None:
        """Return the room left for incoming objects, in bytes."""
        return await self._blobs.free_bytes()

    async def store(
        self, received: Sequence[Spooled | Refused], study_instance_uid: str | None = None
    ) -> list[InstanceOutcome]:
        """Store what came in; return the outcome of each part, in order.

        `study_instance_uid` is the study of the URL, if it names one (PS3.18 §10.5.1). Raises StoreUnavailable
        when nothing could be stored because a store behind is down. What was begun is brought to its end
        even if the caller goes away.
        """
        task = asyncio.create_task(self._store(received, study_instance_uid))
        self._keep(task)
        try:
            async with asyncio.timeout(self._limits.store_seconds):
                return await asyncio.shield(task)
        except TimeoutError as exc:
            raise StoreUnavailable(
                "Storing took longer than the limit store_seconds.", retry_after=10
            ) from exc

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._background:
            await asyncio.wait(self._background)

    async def _store(
        self, received: Sequence[Spooled | Refused], study_instance_uid: str | None
    ) -> list[InstanceOutcome]:
        outcomes = [_judge(item, study_instance_uid) for item in received]
        good = [
            (position, item)
            for position, item in enumerate(received)
            if isinstance(item, Spooled) and outcomes[position].error is None
        ]
        for start in range(0, len(good), RECORDS_KEPT):
            chunk = good[start : start + RECORDS_KEPT]
            errors = await self._store_chunk([item for _, item in chunk])
            for (position, _), error in zip(chunk, errors, strict=True):
                outcomes[position] = replace(outcomes[position], error=error)
        _raise_if_all_unavailable(outcomes)
        return outcomes

    async def _store_chunk(self, items: Sequence[Spooled]) -> list[CoregisterError | None]:
        """Store some instances; return the error of each, or None."""
        first = {item.sop_instance_uid: item for item in reversed(items)}
        async with self._claims.hold(first):
            known_at = time.monotonic()
            try:
                known = await self._known.get(list(first))
            except CoregisterError as error:
                return [error for _ in items]
            new: dict[str, list[Spooled]] = defaultdict(list)
            for uid, item in first.items():
                if uid not in known:
                    new[item.study_instance_uid].append(item)
            results = await asyncio.gather(
                *(self._store_new(group, known_at) for group in new.values())
            )
        errors = {uid: error for result in results for uid, error in result.items()}
        digests = {uid: item.sha256 for uid, item in first.items()}
        digests |= {uid: source["sha256"] for uid, source in known.items()}
        return [
            errors.get(item.sop_instance_uid)
            if item.sha256 == digests[item.sop_instance_uid]
            else _duplicate()
            for item in items
        ]

    async def _store_new(
        self, items: Sequence[Spooled], known_at: float
    ) -> dict[str, CoregisterError | None]:
        """Store new instances of one study; return the error of each SOP Instance UID."""
        uids = [item.sop_instance_uid for item in items]
        study_instance_uid = items[0].study_instance_uid
        prepared = [await self._prepared(item) for item in items]
        intent = new_intent(
            uuid.uuid4().hex,
            study_instance_uid,
            [each.stored for each in prepared],
            worker=self._worker,
            lease_seconds=self._limits.store_seconds + LEASE_GRACE_SECONDS,
        )
        try:
            await self._make_durable(items, prepared, intent)
        except CoregisterError as error:
            await self._undo(intent)
            return dict.fromkeys(uids, error)
        try:
            found = await self._commits.commit(
                Submission(intent, tuple(prepared), known_at=known_at)
            )
        except CoregisterError as error:
            if not isinstance(error, StoreUnavailable):
                await self._undo(intent)  # FHIR refused: nothing was linked
            return dict.fromkeys(uids, error)
        copies = bool(found.identical or found.different)
        self._keep(asyncio.create_task(self._finish(intent, copies=copies)))
        return {uid: _duplicate() if uid in found.different else None for uid in uids}

    async def _prepared(self, item: Spooled) -> Prepared:
        if item.prepared is not None:
            return item.prepared
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, reread, item, self._limits)

    async def _make_durable(
        self, items: Sequence[Spooled], prepared: Sequence[Prepared], intent: Intent
    ) -> None:
        """See that the blobs and the intent outlive a power cut; both at once, either may be first."""
        uploads = [
            Upload(item.path, each.stored.blob_key)
            for item, each in zip(items, prepared, strict=True)
        ]
        results = await asyncio.gather(
            self._blobs.put(uploads), self._note(intent), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _note(self, intent: Intent) -> None:
        """Write the intent. Raises IndexUnavailable, also where the index is there and refuses it."""
        write = Write("create", INTENTS, intent.id, to_source(intent))
        for result in await self._journal.write([write]):
            if result.failed:
                raise IndexUnavailable("Elasticsearch refused a write.", retry_after=5)

    async def _undo(self, intent: Intent) -> None:
        """Remove the traces of an attempt that was not linked; what stays, recovery removes."""
        try:
            await self._blobs.delete(item.blob_key for item in intent.instances)
            await self._journal.write([Write("delete", INTENTS, intent.id)])
        except CoregisterError as error:
            log.warning("undo_left_to_recovery", intent=intent.id, error=type(error).__name__)

    async def _finish(self, intent: Intent, *, copies: bool) -> None:
        """Remove the intent, and the objects of instances that another writer had brought."""
        try:
            if copies:
                await drop_copies(self._index, self._blobs, intent)
            await self._journal.write([Write("delete", INTENTS, intent.id)])
        except CoregisterError as error:
            log.warning("finish_left_to_recovery", intent=intent.id, error=type(error).__name__)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _duplicate() -> DuplicateInstance:
    return DuplicateInstance(
        "This SOP Instance UID is stored already with other bytes.", attributes=("00080018",)
    )


def _judge(item: Spooled | Refused, study_instance_uid: str | None) -> InstanceOutcome:
    if isinstance(item, Refused):
        return InstanceOutcome(item.sop_class_uid, item.sop_instance_uid, error=item.error)
    error = None
    if study_instance_uid is not None and item.study_instance_uid != study_instance_uid:
        error = StudyMismatch(
            "The instance's Study Instance UID is not the one in the URL.", attributes=("0020000D",)
        )
    return InstanceOutcome(
        item.sop_class_uid,
        item.sop_instance_uid,
        item.study_instance_uid,
        item.series_instance_uid,
        error,
        item.findings,
    )


def _raise_if_all_unavailable(outcomes: Sequence[InstanceOutcome]) -> None:
    errors = [outcome.error for outcome in outcomes]
    if errors and all(isinstance(error, StoreUnavailable) for error in errors):
        raise next(error for error in errors if error is not None)
