"""Links instances into their study: one FHIR transaction and one index write for all that wait.

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
from collections.abc import Sequence
from dataclasses import dataclass, field

import stamina
import structlog

from app.errors import CoregisterError, IndexUnavailable, LinkRefused, VersionConflict
from app.services.intake import Prepared
from app.services.intents import INTENTS, Intent, from_source
from app.services.link import StudyLinker
from app.services.listing import Listing
from app.services.redo import Redo
from app.services.snapshot import INSTANCES, Snapshot, Snapshots, writes_of
from app.stores.elasticsearch import ElasticsearchIndex, Write
from app.stores.lane import Lane

CONFLICT_TRIES = 12
CONFLICT_PAUSE_SECONDS = 0.05
GROUP_INSTANCES = 500
INDEX_TRIES = 6
STUDIES_KEPT = 64  # studies whose last version stays in memory for the next commit

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """Instances of one study whose blobs and intent are durable."""

    intent: Intent
    instances: tuple[Prepared, ...]
    again: bool = False  # it may have been committed before: look the instances up
    known_at: float = 0.0  # time.monotonic() when its instances were found to be new

    @property
    def sop_instance_uids(self) -> list[str]:
        """Return the UIDs of its instances."""
        return [prepared.stored.record.sop_instance_uid for prepared in self.instances]


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit found besides: instances that another writer had brought meanwhile."""

    identical: frozenset[str] = frozenset()  # SOP Instance UIDs, same bytes
    different: frozenset[str] = frozenset()  # SOP Instance UIDs, other bytes


@dataclass(eq=False, slots=True)
class _Waiting:
    submission: Submission
    done: asyncio.Future[Committed]
    found: Committed = field(default_factory=Committed)

    @property
    def added(self) -> list[Prepared]:
        """Return the instances that are really new."""
        skip = self.found.identical | self.found.different
        return [
            prepared
            for prepared in self.submission.instances
            if prepared.stored.record.sop_instance_uid not in skip
        ]

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # a requester that went away must not cause a warning

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(self.found)


@dataclass(eq=False, slots=True)
class _Study:
    """What this process knows of a study that it writes."""

    study_instance_uid: str
    waiting: list[_Waiting] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    indexing: set[asyncio.Task[None]] = field(default_factory=set)
    rest: asyncio.TimerHandle | None = None  # runs while the study may have come to rest
    snapshot: Snapshot | None = None
    confirmed: set[str] = field(default_factory=set)  # commits whose index write is done
    read_at: float = 0.0  # time.monotonic() when commits of others were last taken over

    @property
    def idle(self) -> bool:
        """Tell whether nothing is under way."""
        return not (self.task or self.waiting or self.indexing or self.rest)


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
    ) -> None:
        """Write the index through `lane`."""
        self._index = index
        self._lane = lane
        self._snapshots = snapshots
        self._linker = linker
        self._redo = redo
        self._listing = listing
        self._studies: OrderedDict[str, _Study] = OrderedDict()
        self._closing = False

    async def commit(self, submission: Submission) -> Committed:
        """Link and index the instances; on return both can be read by anybody.

        Raises LinkRefused, VersionConflict, FhirUnavailable, IndexUnavailable; then the intent tells
        whoever recovers what to do.
        """
        uid = submission.intent.study_instance_uid
        study = self._studies.setdefault(uid, _Study(uid))
        self._studies.move_to_end(uid)
        waiting = _Waiting(submission, asyncio.get_running_loop().create_future())
        study.waiting.append(waiting)
        if study.task is None:
            study.task = asyncio.create_task(self._work(study))
        return await asyncio.shield(waiting.done)

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

    async def _work(self, study: _Study) -> None:
        try:
            while study.waiting:
                group = _take_group(study)
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
            study = self._studies.setdefault(uid, _Study(uid))
            if study.idle:
                study.task = asyncio.create_task(self._list(study))

    def _await_rest(self, study: _Study) -> None:
        """See to it that the study lists its instances when no commit comes for a while."""
        if study.rest is not None:
            study.rest.cancel()
            study.rest = None
        if self._listing.due(study.snapshot) and not self._closing:
            loop = asyncio.get_running_loop()
            study.rest = loop.call_later(self._listing.quiet_seconds, self._come_to_rest, study)

    def _come_to_rest(self, study: _Study) -> None:
        study.rest = None
        if study.task is None:
            study.task = asyncio.create_task(self._list(study))

    async def _list(self, study: _Study) -> None:
        """List the instances; whatever prevents it now, a later commit or restart tries again."""
        if study.indexing:
            await asyncio.wait(study.indexing)
        try:
            snapshot = study.snapshot or await self._read(study)
            study.snapshot = await self._listing.write(snapshot, frozenset(study.confirmed))
        except Exception as error:  # noqa: BLE001 - or the study would never be written again
            study.snapshot = None
            log.warning("listing_postponed", error=type(error).__name__)
        await self._work(study)

    async def _commit_group(self, study: _Study, group: Sequence[_Waiting]) -> None:
        try:
            await self._link(study, group)
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
        added = [prepared for waiting in group for prepared in waiting.added]
        if snapshot is None or not added:
            for waiting in group:
                waiting.succeed()
            return
        task = asyncio.create_task(self._write_index(study, group, writes_of(snapshot, added)))
        study.indexing.add(task)
        task.add_done_callback(study.indexing.discard)

    async def _link(self, study: _Study, group: Sequence[_Waiting]) -> None:
        """Bring the group's new instances into the ImagingStudy; afterwards `snapshot` has them."""
        for attempt in range(CONFLICT_TRIES):
            await self._refresh(study, group)
            added = [prepared for waiting in group for prepared in waiting.added]
            if not added:
                return
            snapshot = study.snapshot
            if snapshot is None:
                raise RuntimeError("a refreshed study has a snapshot")
            marks = [waiting.submission.intent.id for waiting in group if waiting.added]
            try:
                study.snapshot = await self._linker.link(
                    snapshot, added, marks=marks, confirmed=frozenset(study.confirmed)
                )
            except VersionConflict:
                study.snapshot = None
                await asyncio.sleep(CONFLICT_PAUSE_SECONDS * attempt * random.random())  # noqa: S311
                continue
            study.confirmed &= set(self._linker.marks(study.snapshot))
            return
        raise VersionConflict("Other writers kept changing the study.", retry_after=1)

    async def _refresh(self, study: _Study, group: Sequence[_Waiting]) -> None:
        """See that the snapshot is there, and look instances up where others may have come before."""
        if any(waiting.submission.again for waiting in group):
            study.snapshot = None  # what an attempt before has left is found by its mark
        if study.snapshot is None:
            study.snapshot = await self._read(study)
        for waiting in group:
            if waiting.submission.known_at <= study.read_at:
                waiting.found = await self._look_up(waiting.submission)
        study.snapshot = await self._snapshots.with_series(
            study.snapshot,
            (
                prepared.stored.record.series_instance_uid
                for waiting in group
                for prepared in waiting.added
            ),
        )

    async def _read(self, study: _Study) -> Snapshot:
        """Read the study, after the commits in it are indexed; finish those of somebody who died."""
        if study.indexing:
            await asyncio.wait(study.indexing)
        while True:
            # read again after each round: while one commit was waited for, others may have been linked
            snapshot = await self._snapshots.read(study.study_instance_uid)
            marks = [m for m in self._linker.marks(snapshot) if m not in study.confirmed]
            if not marks:
                if snapshot.imaging_study is not None:
                    study.read_at = time.monotonic()
                return snapshot
            found = await self._index.get_many(INTENTS, marks)
            for mark in marks:
                if mark in found:
                    snapshot = await self._redo.finish(from_source(mark, found[mark]), snapshot)
                study.confirmed.add(mark)

    async def _look_up(self, submission: Submission) -> Committed:
        known = await self._index.get_many(
            INSTANCES, submission.sop_instance_uids, fields=["sha256"]
        )
        digests = {
            prepared.stored.record.sop_instance_uid: prepared.stored.sha256
            for prepared in submission.instances
        }
        identical = frozenset(uid for uid in known if known[uid]["sha256"] == digests[uid])
        return Committed(identical, frozenset(known) - identical)

    async def _write_index(
        self, study: _Study, group: Sequence[_Waiting], writes: Sequence[Write]
    ) -> None:
        try:
            await self._insist(writes)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            log.warning("index_write_failed", error=type(error).__name__)
            study.snapshot = None
            for waiting in group:
                waiting.fail(error)
            return
        for waiting in group:
            study.confirmed.add(waiting.submission.intent.id)
            waiting.succeed()

    async def _insist(self, writes: Sequence[Write]) -> None:
        """Write, and try again: the study is linked already, so giving up leaves work for recovery."""
        left = list(writes)
        async for attempt in stamina.retry_context(
            on=IndexUnavailable, attempts=INDEX_TRIES, timeout=None, wait_initial=0.1, wait_max=3.0
        ):
            with attempt:
                results = await self._lane.write(left)
                left = [w for w, r in zip(left, results, strict=True) if r.failed]
                if left:
                    raise IndexUnavailable("Elasticsearch refused a write.", retry_after=5)

    def _make_room(self) -> None:
        """Let go of the studies that were written longest ago."""
        surplus = len(self._studies) - STUDIES_KEPT
        for uid, study in list(self._studies.items())[: max(surplus, 0)]:
            if study.idle:
                del self._studies[uid]


def _take_group(study: _Study) -> list[_Waiting]:
    """Take what waits, up to the size of one transaction but at least one submission."""
    total = count = 0
    while count < len(study.waiting) and total < GROUP_INSTANCES:
        total += len(study.waiting[count].submission.instances)
        count += 1
    group, study.waiting = study.waiting[:count], study.waiting[count:]
    return group
