"""Links instances into their study, and takes them out: one FHIR write and one index write for all that wait.

Strategy (group commit): each study has at most one task that writes it. It takes every submission that
waits for the study, merges them into the ImagingStudy with one transaction guarded by the resource's
version, hands the index write over, and goes on with the next group while that write is under way. So the
cost of a transaction is shared, and thousands of single-instance requests do not rewrite the resource
thousands of times.

Crash safety: the ImagingStudy carries the ids of the commits whose index write is not confirmed yet. Whoever
reads it afresh looks for the intents of those commits and finishes them first; an intent that is not marked
there was never linked. Counts in the index come from the ImagingStudy, never from adding up, so doing
something twice changes nothing.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import count
from typing import Any

import structlog

from app.errors import CoregisterError, LinkRefused, StoreUnavailable, VersionConflict
from app.services.compare import Committed
from app.services.index_writes import insist
from app.services.link import StudyLinker
from app.services.listing import Listing
from app.services.ownership import Ownership
from app.services.patience import retried
from app.services.problems import Problems
from app.services.reconcile import Reconcile, records_of
from app.services.redo import Redo
from app.services.remove import Removal
from app.services.replace import put_versions
from app.services.snapshot import Snapshot, Snapshots, links_of, writes_of
from app.services.study_patient import mismatches
from app.services.study_reader import StudyReader
from app.services.submission import Job, StudyState, Submission, Waiting
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.lane import Lane

CONFLICT_TRIES = 12
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.5
STUDIES_KEPT = 64  # studies whose last version stays in memory for the next commit

log = structlog.get_logger(__name__)


class StudyCommits:
    """Writes studies, each by one task at a time."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        lane: Lane,
        snapshots: Snapshots,
        linker: StudyLinker,
        redo: Redo,
        listing: Listing,
        removal: Removal,
        reconcile: Reconcile,
        ownership: Ownership,
        problems: Problems,
    ) -> None:
        """Write the index through `lane`; note in `problems` what is tried again."""
        self._reader = StudyReader(index, snapshots, linker, redo, ownership)
        self._reconcile = reconcile
        self._problems = problems
        self._index = index
        self._lane = lane
        self._linker = linker
        self._listing = listing
        self._removal = removal
        self._studies: OrderedDict[str, StudyState] = OrderedDict()
        self._closing = False

    async def commit(self, submission: Submission) -> Committed:
        """Link and index the instances; on return both can be read by anybody.

        Raises LinkRefused, VersionConflict, FhirUnavailable, IndexUnavailable; then the intent tells
        whoever recovers what to do.
        """
        uid = submission.intent.study_instance_uid
        study = self._studies.setdefault(uid, StudyState(uid))
        self._studies.move_to_end(uid)
        waiting = Waiting(submission, asyncio.get_running_loop().create_future())
        study.waiting.append(waiting)
        if study.task is None:
            study.task = asyncio.create_task(self._work(study))
        return await asyncio.shield(waiting.done)

    async def exclusively(
        self,
        study_instance_uid: str,
        work: Callable[[Snapshot, frozenset[str]], Awaitable[Snapshot | None]],
    ) -> None:
        """Do `work` on a study while nobody else in this process writes it.

        It gets the study as the stores have it now, and the commits whose marks may be taken out. It writes
        what it likes, guarded by the study's version, and returns the study as it left it, or None where
        that has to be read. Where another process was quicker (VersionConflict), it is done again with what
        that left. Raises what the work raises.
        """
        study = self._studies.setdefault(study_instance_uid, StudyState(study_instance_uid))
        self._studies.move_to_end(study_instance_uid)
        job = Job(work, asyncio.get_running_loop().create_future())
        study.jobs.append(job)
        if study.task is None:
            study.task = asyncio.create_task(self._work(study))
        await asyncio.shield(job.done)

    def beside(
        self, study_instance_uid: str, mark: str, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        """Do work on a study's documents beside its further commits; from `exclusively`, which returns then.

        Whoever reads the study anew waits for it. Once it is done the commit `mark` counts as confirmed.
        """
        study = self._studies.setdefault(study_instance_uid, StudyState(study_instance_uid))

        async def confirmed() -> None:
            await work
            study.confirmed.add(mark)

        task = asyncio.create_task(confirmed())
        study.indexing.add(task)
        task.add_done_callback(study.indexing.discard)
        return task

    async def _carry_out(self, study: StudyState, job: Job) -> None:
        try:
            await self._try_job(study, job)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
            study.snapshot = None
            job.done.set_exception(error)
            job.done.exception()  # who waited may be gone
        else:
            job.done.set_result(None)

    async def _try_job(self, study: StudyState, job: Job) -> None:
        for attempt in range(CONFLICT_TRIES):
            try:
                before = await self._reader.read(study)
                study.snapshot = await job.work(before, frozenset(study.confirmed))
            except VersionConflict:
                await self._give_way(study, attempt)
                continue
            return
        raise VersionConflict("Other writers kept changing the study.", retry_after=1)

    async def close(self) -> None:
        """Wait for what is under way."""
        self._closing = True
        for study in self._studies.values():
            if study.rest is not None:
                study.rest.cancel()
        while busy := [
            task
            for study in self._studies.values()
            for task in (study.task, *study.indexing)
            if task is not None
        ]:
            await asyncio.wait(busy)

    async def _work(self, study: StudyState) -> None:
        try:
            while study.waiting or study.jobs:
                if study.jobs:
                    await self._carry_out(study, study.jobs.pop(0))
                    continue
                group = study.take_group()
                try:
                    await self._commit_group(study, group)
                except Exception as error:
                    log.exception("commit_failed")
                    study.snapshot = None
                    for waiting in group:
                        waiting.fail(error)
        finally:
            study.task = None
            self._await_rest(study)
            self._make_room()

    async def list_overdue(self) -> None:
        """List the instances of studies that a worker left unlisted. Raises IndexUnavailable."""
        for uid in await self._listing.overdue():
            study = self._studies.setdefault(uid, StudyState(uid))
            if study.idle:
                study.task = asyncio.create_task(self._list(study))

    def _await_rest(self, study: StudyState) -> None:
        """See to it that the study lists its instances when no commit comes for a while."""
        if study.rest is not None:
            study.rest.cancel()
            study.rest = None
        if self._listing.due(study.snapshot) and not self._closing:
            loop = asyncio.get_running_loop()
            study.rest = loop.call_later(self._listing.quiet_seconds, self._come_to_rest, study)

    def _come_to_rest(self, study: StudyState) -> None:
        study.rest = None
        if study.task is None:
            study.task = asyncio.create_task(self._list(study))

    async def _list(self, study: StudyState) -> None:
        """List the instances; whatever prevents it now, a later commit or restart tries again."""
        if study.indexing:
            await asyncio.wait(study.indexing)
        try:
            snapshot = study.snapshot or await self._reader.read(study)
            study.snapshot = await self._listing.write(snapshot, frozenset(study.confirmed))
        except Exception as error:  # noqa: BLE001 - or the study would never be written again
            study.snapshot = None
            log.warning("listing_postponed", error=type(error).__name__)
        await self._work(study)

    async def _commit_group(self, study: StudyState, group: Sequence[Waiting]) -> None:
        removes = bool(group[0].submission.intent.removed)
        try:
            await (self._remove(study, group) if removes else self._link(study, group))
        except LinkRefused as error:
            study.snapshot = None
            if len(group) == 1:
                group[0].fail(error)
                return
            for waiting in group:  # one of them is to blame; the others must not suffer
                await self._commit_group(study, [waiting])
            return
        except CoregisterError as error:
            study.snapshot = None
            for waiting in group:
                waiting.fail(error)
            return
        snapshot = study.snapshot
        if removes or snapshot is None or not any(waiting.brings for waiting in group):
            for waiting in group:
                waiting.succeed(0 if snapshot is None else snapshot.version)
            return
        task = asyncio.create_task(self._write_index(study, group, snapshot))
        study.indexing.add(task)
        task.add_done_callback(study.indexing.discard)

    async def _link(self, study: StudyState, group: Sequence[Waiting]) -> None:
        """Bring the group's new instances into the ImagingStudy; afterwards `snapshot` has them."""
        until = max(waiting.submission.until for waiting in group)
        doubt: StoreUnavailable | None = None  # it may have been done all the same
        for attempt in count(1):
            try:
                await self._try_to_link(study, group)
            except (VersionConflict, LinkRefused) as error:
                in_time = attempt < CONFLICT_TRIES or time.monotonic() < until
                if isinstance(error, LinkRefused) or not in_time:
                    raise doubt or error from error  # in doubt nothing must be undone
            except StoreUnavailable as error:
                doubt = error
                if time.monotonic() > until:
                    raise
                self._problems.note(retried(study.study_instance_uid, error))
            else:
                return
            await self._give_way(study, attempt)

    async def _try_to_link(self, study: StudyState, group: Sequence[Waiting]) -> None:
        await self._reader.refresh(study, group)
        snapshot = study.snapshot
        if snapshot is None:
            raise RuntimeError("a refreshed study has a snapshot")
        for waiting in group:
            waiting.reconcile_anew()
        brought = [each for waiting in group for each in (*waiting.added, *waiting.replaced)]
        reconciled = self._reconcile.decide(snapshot.own_patient, brought, snapshot.shown_patient)
        for waiting in group:
            waiting.take(reconciled)
        added = [prepared for waiting in group for prepared in waiting.added]
        replaced = [prepared for waiting in group for prepared in waiting.replaced]
        if not added and not replaced:
            return
        study.snapshot = await self._linker.link(
            snapshot,
            added,
            replaced=replaced,
            reconciled=reconciled,
            marks=[waiting.submission.intent.id for waiting in group if waiting.brings],
            confirmed=frozenset(study.confirmed),
        )
        study.confirmed &= set(self._linker.marks(study.snapshot))
        for record in (*records_of(reconciled, brought), *self._linker.without_form(brought)):
            self._problems.note(record)

    async def _remove(self, study: StudyState, group: Sequence[Waiting]) -> None:
        """Take the group's instances out, in FHIR and in the index; nothing else is done meanwhile.

        What an earlier attempt had linked is finished by reading the study; what it had not is not done.
        """
        intents = [w.submission.intent for w in group if not w.submission.again]
        for attempt in range(CONFLICT_TRIES):
            if study.indexing:
                await asyncio.wait(study.indexing)
            if len(intents) < len(group):
                study.snapshot = None
            try:
                before = study.snapshot or await self._reader.read(study)
                after = await self._removal.unlink(
                    before, intents, confirmed=frozenset(study.confirmed)
                )
            except VersionConflict:
                await self._give_way(study, attempt)
                continue
            study.snapshot = None  # until the index has followed
            if after is not None:
                removed = [each for intent in intents for each in intent.removed]
                after = await self._removal.index(after, removed)
                study.confirmed |= {intent.id for intent in intents}
                study.confirmed &= set(self._linker.marks(after))
            cleared = await self._removal.clear(after or before)
            study.snapshot = None if cleared else (after or before)
            return
        raise VersionConflict("Other writers kept changing the study.", retry_after=1)

    async def _give_way(self, study: StudyState, attempt: int) -> None:
        """Forget what is known of the study, which somebody else has changed, and wait a little."""
        study.snapshot = None
        longest = min(PAUSE_SECONDS * attempt, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(longest * random.random())  # noqa: S311

    async def _write_index(
        self, study: StudyState, group: Sequence[Waiting], snapshot: Snapshot
    ) -> None:
        added = [prepared for waiting in group for prepared in waiting.added]
        replaced = [prepared for waiting in group for prepared in waiting.replaced]
        try:
            shown = await self._linker.shown(snapshot, added, replaced)
            if replaced and snapshot.imaging_study is not None:
                links = links_of(snapshot.imaging_study, snapshot.version)
                await put_versions(self._index, self._lane, shown.replaced, links)
            writes = writes_of(snapshot, shown.added, shown.replaced)
            writes += [each for waiting in group for each in waiting.follow(snapshot)]
            await insist(self._lane, writes)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            log.warning("index_write_failed", error=type(error).__name__)
            study.snapshot = None
            for waiting in group:
                waiting.fail(error)
            return
        mismatching = {t for waiting in group for t in waiting.take_corrections(shown.corrections)}
        for record in mismatches(study.study_instance_uid, mismatching):
            self._problems.note(record)
        for waiting in group:
            study.confirmed.add(waiting.submission.intent.id)
            waiting.succeed(snapshot.version)

    def _make_room(self) -> None:
        """Let go of the studies that were written longest ago."""
        surplus = len(self._studies) - STUDIES_KEPT
        for uid, study in list(self._studies.items())[: max(surplus, 0)]:
            if study.idle:
                del self._studies[uid]
