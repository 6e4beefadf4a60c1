"""Clears up what a crash left: intents of workers that are gone are finished or undone."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from app.dicom.rejection_note import RejectedInstance, rejected_by
from app.errors import CoregisterError, LinkRefused
from app.services.claims import Claims
from app.services.commit import StudyCommits
from app.services.copies import drop_copies
from app.services.correct import Correct
from app.services.intake import Prepared
from app.services.intents import INTENTS, Intent, Worker, from_source
from app.services.patience import failed
from app.services.problems import Problems
from app.services.provenance import Provenances
from app.services.redo import Redo
from app.services.reject import Rejections
from app.services.submission import Submission
from app.services.sweep import Sweep
from app.stores.blob_store import BlobStore
from app.stores.elasticsearch import ElasticsearchIndex, Write

PERIOD_SECONDS = 15.0
PAGE = 200

log = structlog.get_logger(__name__)


class Recovery:
    """Looks for abandoned intents, at start and on a timer."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        blobs: BlobStore,
        commits: StudyCommits,
        redo: Redo,
        claims: Claims,
        rejections: Rejections,
        sweep: Sweep,
        correct: Correct,
        provenances: Provenances,
        problems: Problems,
        worker: Worker,
    ) -> None:
        """Act as `worker`; note in `problems` what cannot be cleared up for the moment."""
        self._problems = problems
        self._provenances = provenances
        self._index = index
        self._blobs = blobs
        self._commits = commits
        self._redo = redo
        self._claims = claims
        self._rejections = rejections
        self._sweep = sweep
        self._correct = correct
        self._worker = worker

    async def run_forever(self) -> None:
        """Recover again and again; a store that is down is tried next time."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.run_once()
                await self._commits.list_overdue()
                await self._sweep.run_once()
            except CoregisterError as error:
                log.warning("recovery_postponed", error=type(error).__name__)

    async def run_once(self) -> int:
        """Clear up all abandoned intents; return how many there were. Raises IndexUnavailable."""
        cleared = 0
        after: list[str] | None = None
        while True:
            body = {"size": PAGE, "sort": [{"lease_until": "asc"}]}
            if after is not None:
                body["search_after"] = after
            hits = (await self._index.search(INTENTS, body))["hits"]["hits"]
            for hit in hits:
                intent = from_source(hit["_id"], hit["_source"])
                if intent.abandoned(self._worker, datetime.now(UTC)):
                    await self._clear(intent)
                    cleared += 1
            if len(hits) < PAGE:
                return cleared
            after = hits[-1]["sort"]

    async def _clear(self, intent: Intent) -> None:
        if intent.deed is not None:
            self._provenances.take_over([intent], each_alone=True)
            return
        try:
            if intent.corrects is not None:
                await self._correct.finish(intent)
                return
            prepared = await self._redo.read(intent)
            notes = [rejected_by(each.stored.record) for each in prepared or ()]
            rejected = self._rejections.effective(each for note in notes for each in note)
            uids = {*intent.sop_instance_uids, *(each.sop_instance_uid for each in rejected)}
            async with self._claims.hold(uids):
                await self._finish_or_undo(intent, prepared, rejected)
        except CoregisterError as error:
            # the others must not wait for this one; it is tried again next time
            log.warning("intent_postponed", intent=intent.id, error=type(error).__name__)
            self._problems.note(failed(intent.study_instance_uid, error))

    async def _finish_or_undo(
        self,
        intent: Intent,
        prepared: tuple[Prepared, ...] | None,
        rejected: Sequence[RejectedInstance],
    ) -> None:
        if prepared is not None:
            found = await self._commits.commit(Submission(intent, prepared, again=True))
            try:
                await self._rejections.carry_out(rejected)
            except LinkRefused:  # as the sender was told; trying again would end in the same
                log.warning("rejection_refused", intent=intent.id)
        await drop_copies(self._index, self._blobs, intent)
        if prepared is None:
            await self._index.bulk([Write("delete", INTENTS, intent.id)])
            log.info("intent_undone", intent=intent.id)
        else:
            await self._provenances.settle(intent, found.version, found.not_brought, again=True)
            log.info("intent_recovered", intent=intent.id, instances=len(prepared))
