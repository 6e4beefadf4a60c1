"""Stores the instances of one STOW request: durable, linked in FHIR and findable, or refused.

The order of the steps is the promise (docs/architecture.md): look up, blobs and intent, FHIR, index, answer.
"""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import structlog

from app.dicom.instance import Finding
from app.dicom.rejection_note import RejectedInstance
from app.errors import (
    BadInstance,
    CoregisterError,
    DuplicateInstance,
    StoreUnavailable,
    StudyMismatch,
    VersionConflict,
)
from app.limits import Limits
from app.services.claims import Claims
from app.services.commit import StudyCommits
from app.services.copies import drop_copies
from app.services.intake import RECORDS_KEPT, Intake, Prepared, Refused, Spooled, reread
from app.services.intents import Intent, Worker, new_intent
from app.services.journal import Journal
from app.services.known import Known, KnownInstances
from app.services.metadata_intake import MetadataIntake
from app.services.reject import Rejections
from app.services.submission import Submission
from app.stores.blob_store import BlobStore, Upload
from app.stores.elasticsearch import ElasticsearchIndex

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
        journal: Journal,
        blobs: BlobStore,
        commits: StudyCommits,
        claims: Claims,
        threads: Executor,
        limits: Limits,
        worker: Worker,
        rejections: Rejections,
        replace_duplicates: bool = False,
        strict: bool = False,
    ) -> None:
        """Write intents through `journal`; `strict` refuses values that are not as their VRs ask.

        With `replace_duplicates` other bytes of a known instance become its new version.
        """
        self._rejections = rejections
        self._replace_duplicates = replace_duplicates
        self._strict = strict
        self._index = index
        self._known = KnownInstances(index, replace_duplicates=replace_duplicates)
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
        return Intake(self._blobs.spool_folder, self._limits, self._threads, strict=self._strict)

    def metadata_intake(self) -> MetadataIntake:
        """Return a place for the metadata and bulk data of a new request."""
        return MetadataIntake(self._blobs.spool_folder, self._limits, self._threads)

    async def free_bytes(self) -> int | None:
        """Return the room left for incoming objects, in bytes."""
        return await self._blobs.free_bytes()

    async def store(
        self, received: Sequence[Spooled | Refused], study_instance_uid: str | None = None
    ) -> list[InstanceOutcome]:
        """Store what came in; return the outcome of each part, in order.

        `study_instance_uid` is the study of the URL, if it names one (PS3.18 §10.5.1). Raises StoreUnavailable
        or VersionConflict when nothing could be stored and that was one cause of it. What was begun is
        brought to its end even if the caller goes away.
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
        outcomes = [self._judge(item, study_instance_uid) for item in received]
        good = [
            (position, item)
            for position, item in enumerate(received)
            if isinstance(item, Spooled) and outcomes[position].error is None
        ]
        # rejection notes last: what they refer to may come with the same request
        for part in (
            [each for each in good if not self._rejected([each[1]])],
            [each for each in good if self._rejected([each[1]])],
        ):
            for start in range(0, len(part), RECORDS_KEPT):
                chunk = part[start : start + RECORDS_KEPT]
                errors = await self._store_chunk([item for _, item in chunk])
                for (position, _), error in zip(chunk, errors, strict=True):
                    outcomes[position] = replace(outcomes[position], error=error)
        _raise_if_unavailable(outcomes)
        return outcomes

    def _judge(self, item: Spooled | Refused, study_instance_uid: str | None) -> InstanceOutcome:
        outcome = _judged(item, study_instance_uid)
        if isinstance(item, Spooled) and outcome.error is None:
            most = self._limits.rejected_instances
            if len(self._rejected([item])) > most:
                error = BadInstance(
                    f"A rejection note may refer to {most} instances (limit rejected_instances)."
                )
                return replace(outcome, error=error)
        return outcome

    def _rejected(self, items: Iterable[Spooled]) -> tuple[RejectedInstance, ...]:
        return self._rejections.effective(each for item in items for each in item.rejects)

    async def _store_chunk(self, items: Sequence[Spooled]) -> list[CoregisterError | None]:
        """Store some instances; return the error of each, or None."""
        first = {item.sop_instance_uid: item for item in reversed(items)}
        rejected = {each.sop_instance_uid for each in self._rejected(first.values())}
        async with self._claims.hold(first.keys() | rejected):
            known_at = time.monotonic()
            try:
                known = await self._known.look_up(first)
            except CoregisterError as error:
                return [error for _ in items]
            new: dict[str, list[Spooled]] = defaultdict(list)
            for item in first.values():
                if known.to_store(item):
                    new[item.study_instance_uid].append(item)
            results = await asyncio.gather(
                *(self._store_new(group, known_at, known) for group in new.values())
            )
            errors = {uid: error for result in results for uid, error in result.items()}
            # whoever sends a note again that is stored may have got no answer
            errors |= await self._reject(
                [item for uid, item in first.items() if uid not in errors and known.has(item)]
            )
        brought = {item.sop_instance_uid: item for group in new.values() for item in group}
        return [
            errors.get(uid)
            if (item.sha256 == brought[uid].sha256 if uid in brought else known.has(item))
            else self._duplicate()
            for uid, item in ((item.sop_instance_uid, item) for item in items)
        ]

    async def _reject(self, items: Sequence[Spooled]) -> dict[str, CoregisterError]:
        """Delete what rejection notes refer to; return the error of each note where that failed."""
        try:
            await self._rejections.carry_out(self._rejected(items))
        except CoregisterError as error:
            return {item.sop_instance_uid: error for item in items if item.rejects}
        return {}

    async def _store_new(
        self, items: Sequence[Spooled], known_at: float, known: Known
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
            replace=self._replace_duplicates,
            replaces=known.versions(uids),
        )
        again = not known.removing.isdisjoint(uids)
        submission = Submission(
            intent, tuple(prepared), again=again, known_at=0.0 if again else known_at
        )
        try:
            await self._make_durable(items, prepared, intent)
        except CoregisterError as error:
            await self._undo(intent)
            return dict.fromkeys(uids, error)
        try:
            found = await self._commits.commit(submission)
        except CoregisterError as error:
            if not isinstance(error, StoreUnavailable):
                await self._undo(intent)  # FHIR refused: nothing was linked
            return dict.fromkeys(uids, error)
        errors: dict[str, CoregisterError | None] = dict.fromkeys(uids)
        errors |= {uid: self._duplicate() for uid in found.different}
        failed = await self._reject(
            [item for item in items if errors[item.sop_instance_uid] is None]
        )
        if failed:
            return errors | failed  # the intent stays: recovery rejects what this could not
        if found.identical or found.different:
            self._keep(asyncio.create_task(self._finish(intent)))
        else:
            self._journal.strike_soon(intent)
        return errors

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
            self._blobs.put(uploads), self._journal.note(intent), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _undo(self, intent: Intent) -> None:
        """Remove the traces of an attempt that was not linked; what stays, recovery removes."""
        try:
            await self._blobs.delete(item.blob_key for item in intent.instances)
            await self._journal.strike(intent)
        except CoregisterError as error:
            log.warning("undo_left_to_recovery", intent=intent.id, error=type(error).__name__)

    async def _finish(self, intent: Intent) -> None:
        """Remove the objects of instances that another writer had brought, and the intent."""
        try:
            await drop_copies(self._index, self._blobs, intent)
            await self._journal.strike(intent)
        except CoregisterError as error:
            log.warning("finish_left_to_recovery", intent=intent.id, error=type(error).__name__)

    def _duplicate(self) -> DuplicateInstance:
        said = "This SOP Instance UID is stored already with other bytes."
        if self._replace_duplicates:
            said = (
                "This SOP Instance UID is in this request with other bytes, or stored already in "
                "another series or study: a new version stays where the old one is."
            )
        return DuplicateInstance(said, attributes=("00080018",))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _judged(item: Spooled | Refused, study_instance_uid: str | None) -> InstanceOutcome:
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


def _raise_if_unavailable(outcomes: Sequence[InstanceOutcome]) -> None:
    """Raise the error of a store where it kept the whole request out: sending all of it again helps.

    What else was wrong with single parts is told then (PS3.18 §10.5.3: 503 where nothing could be stored).
    """
    if any(outcome.error is None for outcome in outcomes):
        return
    for outcome in outcomes:
        if isinstance(outcome.error, StoreUnavailable | VersionConflict):
            raise outcome.error
