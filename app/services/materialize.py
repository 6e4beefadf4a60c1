"""Stores corrected instances anew with what is shown of them, where it has to be in the objects themselves.

Strategy: the corrected object is written to the spool, judged by the gate and stored as a new version by the
ordinary write path, so a crash leaves nothing half done and the version before stays. It takes the place of the
very version that it was made of and of no other; what others changed meanwhile is looked at again. What is done
has no correction any more: doing it again finds nothing to do, and going on after a crash finds the rest.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from app import __version__
from app.dicom.object_changes import ObjectChanges
from app.errors import (
    CoregisterError,
    DuplicateInstance,
    NotFound,
    StoreUnavailable,
    Unencodable,
    VersionConflict,
)
from app.limits import Limits
from app.services.intake import Intake, Spooled
from app.services.retrieve import Located, Retrieve
from app.services.store_study import StoreStudy
from app.services.tombstones import Target
from app.stores.blob_store import BlobStore

GROUP_INSTANCES = 100
ROUNDS = 3  # for instances that others changed, or brought, meanwhile
GROUP_BYTES = 256 * 1024 * 1024  # of the spool, unless a single instance is larger

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Progress:
    """How far it is."""

    instances: int = 0  # that have a correction
    done: dict[str, None] = field(default_factory=dict)  # SOP Instance UIDs, in their order
    failed: dict[str, CoregisterError] = field(default_factory=dict)  # by SOP Instance UID
    finished: bool = False


class Materialize:
    """The verb behind `$materialize`."""

    def __init__(
        self,
        *,
        retrieve: Retrieve,
        store: StoreStudy,
        blobs: BlobStore,
        threads: Executor,
        limits: Limits,
    ) -> None:
        """Read by `retrieve`, write by `store`."""
        self._retrieve = retrieve
        self._store = store
        self._blobs = blobs
        self._threads = threads
        self._limits = limits
        self._running: dict[Target, tuple[asyncio.Task[None], Progress]] = {}

    async def materialize(self, target: Target) -> Progress:
        """Store the corrected instances of a target anew; return how far that is after a while.

        It goes on until it is finished, and who asks meanwhile is told of the same work. Raises NotFound, and
        the error of an instance where not one could be stored.
        """
        if target not in self._running:
            progress = Progress()
            task = asyncio.create_task(self._work(target, progress))
            self._running[target] = task, progress
            task.add_done_callback(lambda done: self._end(target, done))
        task, progress = self._running[target]
        await asyncio.wait([task], timeout=self._limits.materialize_seconds)
        if not task.done():
            return progress
        task.result()
        if progress.failed and not progress.done:
            raise next(iter(progress.failed.values()))
        return progress

    async def close(self) -> None:
        """Give up what is under way; asking again goes on with it."""
        tasks = [task for task, _ in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, target: Target, task: asyncio.Task[None]) -> None:
        del self._running[target]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("materializing_failed", error=type(error).__name__)

    async def _work(self, target: Target, progress: Progress) -> None:
        left = await self._corrected(target)
        for _ in range(ROUNDS if left else 0):
            progress.instances = len(progress.done) + len(progress.failed) + len(left)
            for group in _groups(left):
                await self._check_room(group)
                await self._store_group(group, progress)
            try:
                now = await self._corrected(target)
            except NotFound:  # deleted meanwhile
                now = []
            left = [each for each in now if each.sop_instance_uid not in progress.failed]
            if not left:
                break
        for each in left:
            progress.failed[each.sop_instance_uid] = VersionConflict(
                "Others kept changing the instance.", retry_after=1
            )
        progress.finished = True
        log.info("materialized", instances=len(progress.done), failed=len(progress.failed))

    async def _corrected(self, target: Target) -> list[Located]:
        found = await self._retrieve.instances(target)
        async with aclosing(found.pages) as pages:
            return [each async for page in pages for each in page if each.correction is not None]

    async def _check_room(self, group: Sequence[Located]) -> None:
        free = await self._store.free_bytes()
        needed = 2 * sum(located.size for located in group)  # in the spool, and stored
        if free is not None and free - needed < self._limits.free_disk_bytes:
            raise StoreUnavailable("The disk has no room for new versions.", retry_after=60)

    async def _store_group(self, group: Sequence[Located], progress: Progress) -> None:
        intake = Intake(self._blobs.spool_folder, self._limits, self._threads)
        try:
            copied = [each for each in group if await self._copy(each, intake, progress)]
            received = [
                replace(item, restates=located.version, rejects=())
                if isinstance(item, Spooled)
                else item
                for located, item in zip(copied, await intake.finish(), strict=True)
            ]
            outcomes = await self._store.store(received, group[0].study_instance_uid)
        finally:
            await intake.discard()
        for located, outcome in zip(copied, outcomes, strict=True):
            if outcome.error is None:
                progress.done[located.sop_instance_uid] = None
            elif not isinstance(outcome.error, DuplicateInstance):  # somebody was quicker
                progress.failed[located.sop_instance_uid] = outcome.error

    async def _copy(self, located: Located, intake: Intake, progress: Progress) -> bool:
        """Write a corrected copy to the spool; tell whether there can be one."""
        if located.correction is None:
            raise ValueError("only a corrected instance is copied")
        changes = ObjectChanges.materialized(located.correction, __version__)
        try:
            whole = await self._retrieve.whole(located, changes)
        except (NotFound, Unencodable) as error:
            progress.failed[located.sop_instance_uid] = error
            return False
        intake.begin()
        async for chunk in self._retrieve.stream_values(whole):
            await intake.write(chunk)
        await intake.end()
        return True


def _groups(instances: Sequence[Located]) -> list[list[Located]]:
    groups: list[list[Located]] = []
    size = 0
    for located in instances:
        size += located.size
        if not groups or len(groups[-1]) >= GROUP_INSTANCES or size > GROUP_BYTES:
            groups.append([])
            size = located.size
        groups[-1].append(located)
    return groups
