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
from collections.abc import Sequence

import structlog

from app.errors import CoregisterError, LinkRefused, VersionConflict
from app.services.compare import KNOWN_FIELDS, Committed, compare
from app.services.index_writes import insist
from app.services.intents import INTENTS, from_source
from app.services.link import StudyLinker
from app.services.listing import Listing
from app.services.redo import Redo
from app.services.remove import Removal
from app.services.replace import put_versions
from app.services.snapshot import (
    INSTANCES,
    VERSIONS,
    Snapshot,
    Snapshots,
    links_of,
    writes_of,
)
from app.services.submission import StudyState, Submission, Waiting
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.lane import Lane

CONFLICT_TRIES = 12
CONFLICT_PAUSE_SECONDS = 0.05
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
    ) -> None:
        """Write the index through `lane`."""
        self._index = index
        self._lane = lane
        self._snapshots = snapshots
        self._linker = linker
        self._redo = redo
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
            while study.waiting:
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
            snapshot = study.snapshot or await self._read(study)
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
                waiting.succeed()
            return
        task = asyncio.create_task(self._write_index(study, group, snapshot))
        study.indexing.add(task)
        task.add_done_callback(study.indexing.discard)

    async def _link(self, study: StudyState, group: Sequence[Waiting]) -> None:
        """Bring the group's new instances into the ImagingStudy; afterwards `snapshot` has them."""
        for attempt in range(CONFLICT_TRIES):
            await self._refresh(study, group)
            added = [prepared for waiting in group for prepared in waiting.added]
            replaced = [prepared for waiting in group for prepared in waiting.replaced]
            if not added and not replaced:
                return
            snapshot = study.snapshot
            if snapshot is None:
                raise RuntimeError("a refreshed study has a snapshot")
            marks = [waiting.submission.intent.id for waiting in group if waiting.brings]
            try:
                study.snapshot = await self._linker.link(
                    snapshot,
                    added,
                    replaced=replaced,
                    marks=marks,
                    confirmed=frozenset(study.confirmed),
                )
            except VersionConflict:
                await self._give_way(study, attempt)
                continue
            study.confirmed &= set(self._linker.marks(study.snapshot))
            return
        raise VersionConflict("Other writers kept changing the study.", retry_after=1)

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
            before = study.snapshot or await self._read(study)
            try:
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
        await asyncio.sleep(CONFLICT_PAUSE_SECONDS * attempt * random.random())  # noqa: S311

    async def _refresh(self, study: StudyState, group: Sequence[Waiting]) -> None:
        """See that the snapshot is there, and look instances up where others may have come before."""
        if any(waiting.submission.again for waiting in group):
            study.snapshot = None  # what an attempt before has left is found by its mark
        if study.snapshot is None:
            study.snapshot = await self._read(study)
        await self._look_up(
            [
                waiting
                for waiting in group
                if waiting.submission.known_at <= study.read_at
                or waiting.submission.intent.replaces
            ]
        )
        study.snapshot = await self._snapshots.with_series(
            study.snapshot,
            (
                prepared.stored.record.series_instance_uid
                for waiting in group
                for prepared in (*waiting.added, *waiting.replaced)
            ),
        )

    async def _read(self, study: StudyState) -> Snapshot:
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

    async def _look_up(self, late: Sequence[Waiting]) -> None:
        """Note what another writer may have brought meanwhile, with one question for all of them."""
        uids = [uid for waiting in late for uid in waiting.submission.sop_instance_uids]
        known = await self._index.get_many(INSTANCES, uids, fields=KNOWN_FIELDS)
        # what was stored long ago may have been replaced or deleted since
        versions = [
            prepared.stored.version
            for waiting in late
            if waiting.submission.again
            for prepared in waiting.submission.instances
        ]
        past = set(await self._index.get_many(VERSIONS, versions, fields=["version"]))
        for waiting in late:
            submission = waiting.submission
            waiting.found = compare(
                submission.intent, submission.instances, known, past, again=submission.again
            )

    async def _write_index(
        self, study: StudyState, group: Sequence[Waiting], snapshot: Snapshot
    ) -> None:
        added = [prepared for waiting in group for prepared in waiting.added]
        replaced = [prepared for waiting in group for prepared in waiting.replaced]
        try:
            if replaced and snapshot.imaging_study is not None:
                links = links_of(snapshot.imaging_study, snapshot.version)
                await put_versions(self._index, self._lane, replaced, links)
            await insist(self._lane, writes_of(snapshot, added, replaced))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            log.warning("index_write_failed", error=type(error).__name__)
            study.snapshot = None
            for waiting in group:
                waiting.fail(error)
            return
        for waiting in group:
            study.confirmed.add(waiting.submission.intent.id)
            waiting.succeed()

    def _make_room(self) -> None:
        """Let go of the studies that were written longest ago."""
        surplus = len(self._studies) - STUDIES_KEPT
        for uid, study in list(self._studies.items())[: max(surplus, 0)]:
            if study.idle:
                del self._studies[uid]
