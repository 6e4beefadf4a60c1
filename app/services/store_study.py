"""Stores the instances of one STOW request: durable, linked in FHIR and findable, or refused.

The order of the steps is the promise (docs/architecture.md): look up, blobs and intent, FHIR, index, answer.
"""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import structlog

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
from app.services.compare import Committed
from app.services.copies import drop_copies
from app.services.correct import Correct
from app.services.intake import RECORDS_KEPT, Intake, Prepared, Refused, Spooled, reread
from app.services.intents import Intent, Worker, new_intent
from app.services.journal import Journal
from app.services.known import Known, KnownInstances
from app.services.metadata_intake import MetadataIntake
from app.services.outcome import InstanceOutcome, Stored, problems_of
from app.services.patience import patiently, retried
from app.services.problems import Problems
from app.services.provenance import Provenances
from app.services.reconcile import refusal
from app.services.reject import Rejections
from app.services.submission import Submission
from app.stores.blob_store import BlobStore, Upload
from app.stores.elasticsearch import ElasticsearchIndex

LEASE_GRACE_SECONDS = 30.0

log = structlog.get_logger(__name__)


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
        problems: Problems,
        correct: Correct,
        provenances: Provenances,
        replace_duplicates: bool = False,
        strict: bool = False,
    ) -> None:
        """Write intents through `journal`; `strict` refuses values that are not as their VRs ask.

        With `replace_duplicates` other bytes of a known instance become its new version.
        """
        self._rejections = rejections
        self._problems = problems
        self._correct = correct
        self._provenances = provenances
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
        seconds = self._limits.store_seconds
        until = time.monotonic() + min(self._limits.store_retry_seconds, seconds / 2)
        task = asyncio.create_task(self._store(received, study_instance_uid, until))
        self._keep(task)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(task)
        except TimeoutError as exc:
            error = StoreUnavailable(
                "Storing took longer than the limit store_seconds.", retry_after=10
            )
            for uid in {each.study_instance_uid for each in received if isinstance(each, Spooled)}:
                self._note(InstanceOutcome(None, None, uid, error=error))
            raise error from exc

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._background:
            await asyncio.wait(self._background)

    async def _store(
        self,
        received: Sequence[Spooled | Refused],
        study_instance_uid: str | None,
        until: float,
    ) -> list[InstanceOutcome]:
        outcomes = [self._judge(item, study_instance_uid) for item in received]
        good = [
            (position, item)
            for position, item in enumerate(received)
            if isinstance(item, Spooled) and outcomes[position].error is None
        ]
        found: dict[int, Stored] = {}
        # rejection notes last: what they refer to may come with the same request
        for part in (
            [each for each in good if not self._rejected([each[1]])],
            [each for each in good if self._rejected([each[1]])],
        ):
            for start in range(0, len(part), RECORDS_KEPT):
                chunk = part[start : start + RECORDS_KEPT]
                results = await self._store_chunk([item for _, item in chunk], until)
                for (position, _), stored in zip(chunk, results, strict=True):
                    if stored.error is not None or stored.findings:
                        found[position] = stored
        for position, stored in found.items():
            outcomes[position] = replace(outcomes[position], error=stored.error)
        for outcome in outcomes:
            self._note(outcome, study_instance_uid or "")
        for position, stored in found.items():  # who found that has noted it
            known = outcomes[position]
            outcomes[position] = replace(known, findings=known.findings + stored.findings)
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

    def _note(self, outcome: InstanceOutcome, study_instance_uid: str = "") -> None:
        if outcome.error is None and not outcome.findings:
            return
        for record in problems_of(outcome, study_instance_uid):
            self._problems.note(record)

    async def _store_chunk(self, items: Sequence[Spooled], until: float) -> list[Stored]:
        """Store some instances; return what became of each."""
        first: dict[str, Spooled] = {}
        for item in items:  # the order of the request says which patient comes first
            first.setdefault(item.sop_instance_uid, item)
        rejected = {each.sop_instance_uid for each in self._rejected(first.values())}
        async with self._claims.hold(first.keys() | rejected):
            known_at = time.monotonic()
            try:
                known = await patiently(
                    lambda: self._known.look_up(first), until=until, note=self._noter(items[0])
                )
            except CoregisterError as error:
                return [Stored(error) for _ in items]
            new: dict[str, list[Spooled]] = defaultdict(list)
            for item in first.values():
                if known.to_store(item):
                    new[item.study_instance_uid].append(item)
            results = await asyncio.gather(
                *(self._store_new(group, known_at, known, until) for group in new.values())
            )
            stored = {uid: each for result in results for uid, each in result.items()}
            # whoever sends a note again that is stored may have got no answer
            stored |= await self._reject(
                [item for uid, item in first.items() if uid not in stored and known.has(item)]
            )
        brought = {item.sop_instance_uid: item for group in new.values() for item in group}
        return [
            stored.get(uid, Stored())
            if (item.sha256 == brought[uid].sha256 if uid in brought else known.has(item))
            else Stored(self._duplicate())
            for uid, item in ((item.sop_instance_uid, item) for item in items)
        ]

    async def _reject(self, items: Sequence[Spooled]) -> dict[str, Stored]:
        """Delete what rejection notes refer to; return the error of each note where that failed."""
        try:
            await self._rejections.carry_out(self._rejected(items))
        except CoregisterError as error:
            return {item.sop_instance_uid: Stored(error) for item in items if item.rejects}
        return {}

    async def _store_new(
        self, items: Sequence[Spooled], known_at: float, known: Known, until: float
    ) -> dict[str, Stored]:
        """Store new instances of one study; return what became of each SOP Instance UID."""
        uids = [item.sop_instance_uid for item in items]
        study_instance_uid = items[0].study_instance_uid
        prepared = [await self._prepared(item) for item in items]
        restates = any(item.restates is not None for item in items)
        intent = new_intent(
            uuid.uuid4().hex,
            study_instance_uid,
            [each.stored for each in prepared],
            worker=self._worker,
            lease_seconds=self._limits.store_seconds + LEASE_GRACE_SECONDS,
            replace=self._replace_duplicates or restates,
            restates=restates,
            replaces=known.versions(uids),
        )
        again = not known.removing.isdisjoint(uids)
        submission = Submission(
            intent,
            tuple(prepared),
            again=again,
            known_at=0.0 if again else known_at,
            until=until,
        )
        try:
            await self._make_durable(items, prepared, intent, until)
        except CoregisterError as error:
            await self._undo(intent)
            return dict.fromkeys(uids, Stored(error))
        try:
            found = await self._commits.commit(submission)
        except CoregisterError as error:
            if not isinstance(error, StoreUnavailable):
                await self._undo(intent)  # FHIR refused: nothing was linked
            return dict.fromkeys(uids, Stored(error))
        if found.follows is not None:
            self._keep(asyncio.create_task(self._follow(found.follows)))
        stored = {uid: Stored(findings=found.findings.get(uid, ())) for uid in uids}
        stored |= {uid: Stored(self._duplicate()) for uid in found.different}
        stored |= {uid: Stored(refusal(tags)) for uid, tags in found.inconsistent.items()}
        failed = await self._reject(
            [item for item in items if stored[item.sop_instance_uid].error is None]
        )
        if failed:
            return stored | failed  # the intent stays: recovery rejects what this could not
        if found.identical or found.different or found.inconsistent:
            self._keep(asyncio.create_task(self._finish(intent, found)))
        else:
            self._provenances.settle_soon(intent, found.version)
        return stored

    async def _prepared(self, item: Spooled) -> Prepared:
        prepared = item.prepared
        if prepared is None:
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._threads, reread, item, self._limits)
        return prepared if item.restates is None else replace(prepared, restates=True)

    async def _make_durable(
        self, items: Sequence[Spooled], prepared: Sequence[Prepared], intent: Intent, until: float
    ) -> None:
        """See that the blobs and the intent outlive a power cut; both at once, either may be first."""
        uploads = [
            Upload(item.path, each.stored.blob_key)
            for item, each in zip(items, prepared, strict=True)
        ]
        results = await asyncio.gather(
            self._blobs.put(uploads),
            patiently(lambda: self._journal.note(intent), until=until, note=self._noter(items[0])),
            return_exceptions=True,
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

    async def _follow(self, correction: Intent) -> None:
        """Show what a study had as it is shown from now on."""
        try:
            await self._correct.finish(correction)
        except CoregisterError as error:
            log.warning("following_left_to_recovery", error=type(error).__name__)

    async def _finish(self, intent: Intent, found: Committed) -> None:
        """Remove the objects of instances that another writer had brought, and settle the intent."""
        try:
            await drop_copies(self._index, self._blobs, intent)
            await self._provenances.settle(intent, found.version, found.not_brought)
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

    def _noter(self, item: Spooled) -> Callable[[StoreUnavailable], None]:
        return lambda error: self._problems.note(retried(item.study_instance_uid, error))

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
