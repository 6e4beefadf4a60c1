"""Reads a study for whoever writes it next, and clears up first what others have left in it."""

import asyncio
import time
from collections.abc import Sequence

from app.services.compare import KNOWN_FIELDS, compare
from app.services.intents import INTENTS, from_source
from app.services.link import StudyLinker
from app.services.ownership import Ownership
from app.services.redo import Redo
from app.services.snapshot import INSTANCES, VERSIONS, Snapshot, Snapshots
from app.services.submission import StudyState, Waiting
from app.stores.elasticsearch import ElasticsearchIndex


class StudyReader:
    """The reading half of a commit."""

    def __init__(
        self,
        index: ElasticsearchIndex,
        snapshots: Snapshots,
        linker: StudyLinker,
        redo: Redo,
        ownership: Ownership,
    ) -> None:
        """Finish what others began through `redo`, settle what they edited through `ownership`."""
        self._index = index
        self._snapshots = snapshots
        self._linker = linker
        self._redo = redo
        self._ownership = ownership

    async def read(self, study: StudyState) -> Snapshot:
        """Read the study, after the commits in it are indexed; finish those of somebody who died."""
        if study.indexing:
            await asyncio.wait(study.indexing)
        recovered = False
        while True:
            # read again after each round: while one commit was waited for, others may have been linked
            snapshot = await self._snapshots.read(study.study_instance_uid)
            marks = [m for m in self._linker.marks(snapshot) if m not in study.confirmed]
            if not marks:
                snapshot = await self._ownership.settle(snapshot, recovered=recovered)
                if snapshot.imaging_study is not None:
                    study.read_at = time.monotonic()
                return snapshot
            found = await self._index.get_many(INTENTS, marks)
            for mark in marks:
                intent = from_source(mark, found[mark]) if mark in found else None
                if intent is not None and intent.deed is None:
                    snapshot = await self._redo.finish(intent, snapshot)
                    recovered = True
                study.confirmed.add(mark)

    async def refresh(self, study: StudyState, group: Sequence[Waiting]) -> None:
        """See that the snapshot is there, and look instances up where others may have come before."""
        if any(waiting.submission.again for waiting in group):
            study.snapshot = None  # what an attempt before has left is found by its mark
        if study.snapshot is None:
            study.snapshot = await self.read(study)
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
