"""Deletes a study, a series or an instance: unlinked in FHIR and found no more when the answer goes out.

The order of the steps is the write path's: claim, intent, FHIR, index, answer. The objects stay in the blob
store for a while (`app.services.sweep`), and a tombstone tells that they were there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from app.errors import CoregisterError, StoreUnavailable
from app.limits import Limits
from app.services.claims import Claims
from app.services.commit import StudyCommits
from app.services.intents import Intent, RemovedInstance, Worker, new_removal
from app.services.journal import Journal
from app.services.patience import failed
from app.services.problems import Problems
from app.services.provenance import Provenances
from app.services.snapshot import INSTANCES
from app.services.submission import Submission
from app.services.tombstones import Target, Tombstones
from app.stores.elasticsearch import ElasticsearchIndex

PAGE = 5_000
LEASE_GRACE_SECONDS = 30.0
FIELDS = ["study_instance_uid", "series_instance_uid", "sop_instance_uid", "version"]

log = structlog.get_logger(__name__)


class DeleteStudy:
    """The verb behind DELETE, and behind rejection notes."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        journal: Journal,
        commits: StudyCommits,
        claims: Claims,
        tombstones: Tombstones,
        limits: Limits,
        worker: Worker,
        provenances: Provenances,
        problems: Problems,
    ) -> None:
        """Act as `worker`; note in `problems` what fails."""
        self._problems = problems
        self._provenances = provenances
        self._index = index
        self._journal = journal
        self._commits = commits
        self._claims = claims
        self._tombstones = tombstones
        self._limits = limits
        self._worker = worker
        self._background: set[asyncio.Task[Any]] = set()

    async def delete(self, target: Target) -> int:
        """Delete what the target holds; return how many instances that were.

        What was begun is brought to its end even if the caller goes away. Raises NotFound, Gone,
        StoreUnavailable, VersionConflict, LinkRefused.
        """
        task = asyncio.create_task(self._delete(target))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        try:
            async with asyncio.timeout(self._limits.store_seconds):
                return await asyncio.shield(task)
        except TimeoutError as exc:
            raise StoreUnavailable(
                "Deleting took longer than the limit store_seconds.", retry_after=10
            ) from exc

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._background:
            await asyncio.wait(self._background)

    async def _delete(self, target: Target) -> int:
        uids = await self._held_by(target)
        async with self._claims.hold(uids):
            deleted = await self.delete_claimed(uids, target.holds)
        if not deleted:
            raise await self._tombstones.absence(target)
        log.info("deleted", instances=deleted)
        return deleted

    async def delete_claimed(
        self, uids: Sequence[str], wanted: Callable[[str, str, str], bool]
    ) -> int:
        """Delete those of the instances that are `wanted` (study, series, instance); return how many.

        The caller has claimed the SOP Instance UIDs. Raises as `delete` does, but for what is not there.
        """
        found = await self._index.get_many(INSTANCES, uids, fields=FIELDS)
        removed: dict[str, list[RemovedInstance]] = defaultdict(list)
        for uid, source in found.items():
            series = source["series_instance_uid"]
            if wanted(source["study_instance_uid"], series, uid):
                removed[source["study_instance_uid"]].append(
                    RemovedInstance(uid, series, source["version"])
                )
        results = await asyncio.gather(
            *(self._remove(uid, each) for uid, each in removed.items()), return_exceptions=True
        )
        for result in results:  # only when each has come to its end
            if isinstance(result, BaseException):
                raise result
        return sum(len(each) for each in removed.values())

    async def _remove(self, study_instance_uid: str, removed: Sequence[RemovedInstance]) -> None:
        intent = new_removal(
            study_instance_uid,
            removed,
            worker=self._worker,
            lease_seconds=self._limits.store_seconds + LEASE_GRACE_SECONDS,
        )
        await self._journal.note(intent)
        try:
            found = await self._commits.commit(Submission(intent))
        except StoreUnavailable as error:
            # it may be linked: recovery, or the next request for the study, finds out
            self._problems.note(failed(study_instance_uid, error))
            raise
        except CoregisterError:
            await self._finish(self._journal.strike(intent), intent)
            raise
        await self._finish(self._provenances.settle(intent, found.version), intent)

    async def _finish(self, work: Awaitable[None], intent: Intent) -> None:
        try:
            await work
        except CoregisterError as error:
            log.warning("finish_left_to_recovery", intent=intent.id, error=type(error).__name__)

    async def _held_by(self, target: Target) -> list[str]:
        """Return the SOP Instance UIDs of a target's instances, as a search finds them now."""
        if target.sop_instance_uid is not None:
            return [target.sop_instance_uid]
        terms = [{"term": {"study_instance_uid": target.study_instance_uid}}]
        if target.series_instance_uid is not None:
            terms.append({"term": {"series_instance_uid": target.series_instance_uid}})
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {"bool": {"filter": terms}},
            "sort": [{"order": "asc"}],
            "_source": False,
            "track_total_hits": False,
        }
        uids: list[str] = []
        while True:
            hits = (await self._index.search(INSTANCES, body))["hits"]["hits"]
            uids += [hit["_id"] for hit in hits]
            if len(hits) < PAGE:
                return uids
            body["search_after"] = hits[-1]["sort"]
