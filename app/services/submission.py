"""What waits to be written into a study, and what is known of the study meanwhile."""

import asyncio
from dataclasses import dataclass, field

from app.services.compare import Committed
from app.services.intake import Prepared
from app.services.intents import Intent
from app.services.snapshot import Snapshot

GROUP_INSTANCES = 500


@dataclass(frozen=True, slots=True)
class Submission:
    """Instances of one study whose blobs and intent are durable; or an intent to remove some."""

    intent: Intent
    instances: tuple[Prepared, ...] = ()
    again: bool = False  # it may have been committed before: look the instances up
    known_at: float = 0.0  # time.monotonic() when its instances were found to be new

    @property
    def sop_instance_uids(self) -> list[str]:
        """Return the UIDs of its instances."""
        return [prepared.stored.record.sop_instance_uid for prepared in self.instances]


@dataclass(eq=False, slots=True)
class Waiting:
    """A submission, and who waits for it."""

    submission: Submission
    done: asyncio.Future[Committed]
    found: Committed = field(default_factory=Committed)

    @property
    def added(self) -> list[Prepared]:
        """Return the instances that are really new."""
        return self._not_in(self.found.identical | self.found.different | self.found.replaced)

    @property
    def replaced(self) -> list[Prepared]:
        """Return the instances that are new versions."""
        if not self.found.replaced:
            return []
        return self._not_in(frozenset(self.submission.sop_instance_uids) - self.found.replaced)

    @property
    def brings(self) -> bool:
        """Tell whether anything of it changes the study."""
        return bool(self.added or self.found.replaced)

    def fail(self, error: BaseException) -> None:
        """Tell who waits that it was not done."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # a requester that went away must not cause a warning

    def succeed(self) -> None:
        """Tell who waits that it is done."""
        if not self.done.done():
            self.done.set_result(self.found)

    def _not_in(self, skip: frozenset[str]) -> list[Prepared]:
        return [
            prepared
            for prepared in self.submission.instances
            if prepared.stored.record.sop_instance_uid not in skip
        ]


@dataclass(eq=False, slots=True)
class StudyState:
    """What this process knows of a study that it writes."""

    study_instance_uid: str
    waiting: list[Waiting] = field(default_factory=list)
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

    def take_group(self) -> list[Waiting]:
        """Take what waits, up to the size of one transaction but at least one submission.

        What stores and what removes are not mixed, and keep their order.
        """
        total = count = 0
        removes = bool(self.waiting[0].submission.intent.removed)
        while count < len(self.waiting) and total < GROUP_INSTANCES:
            submission = self.waiting[count].submission
            if bool(submission.intent.removed) is not removes:
                break
            total += len(submission.instances) + len(submission.intent.removed)
            count += 1
        group, self.waiting = self.waiting[:count], self.waiting[count:]
        return group
