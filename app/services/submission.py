"""What waits to be written into a study, and what is known of the study meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from app.dicom.correction import Correction
from app.services.compare import Committed
from app.services.intake import Prepared
from app.services.intents import INTENTS, Intent, new_correction, to_source
from app.services.reconcile import Reconciled
from app.services.snapshot import Snapshot
from app.services.study_patient import corrected_findings
from app.stores.elasticsearch import Write

GROUP_INSTANCES = 500
LEASE_SECONDS = 300.0  # of the correction of a whole study


@dataclass(frozen=True, slots=True)
class Submission:
    """Instances of one study whose blobs and intent are durable; or an intent to remove some."""

    intent: Intent
    instances: tuple[Prepared, ...] = ()
    again: bool = False  # it may have been committed before: look the instances up
    known_at: float = 0.0  # time.monotonic() when its instances were found to be new
    until: float = 0.0  # time.monotonic() until when a store that fails is tried again for it

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
        found = self.found
        return self._not_in(
            found.identical | found.different | found.replaced | found.inconsistent.keys()
        )

    @property
    def replaced(self) -> list[Prepared]:
        """Return the instances that are new versions."""
        if not self.found.replaced:
            return []
        replaced = self.found.replaced - self.found.inconsistent.keys()
        return self._not_in(frozenset(self.submission.sop_instance_uids) - replaced)

    @property
    def brings(self) -> bool:
        """Tell whether anything of it changes the study."""
        return bool(self.added or self.replaced)

    def reconcile_anew(self) -> None:
        """Forget what was decided of instances whose patient is not the study's."""
        if self.found.inconsistent or self.found.findings:
            self.found = replace(self.found, inconsistent={}, findings={}, moves=False)

    def take(self, reconciled: Reconciled) -> None:
        """Note what was decided of these instances."""
        if reconciled.inconsistent or reconciled.findings:
            uids = frozenset(self.submission.sop_instance_uids)
            self.found = replace(
                self.found,
                inconsistent={u: t for u, t in reconciled.inconsistent.items() if u in uids},
                findings={u: f for u, f in reconciled.findings.items() if u in uids},
                moves=reconciled.moves and not uids.isdisjoint(reconciled.findings),
            )

    def follow(self, snapshot: Snapshot) -> list[Write]:
        """Return the note that the study's other instances have to follow to another patient, if they have."""
        if not self.found.moves or snapshot.imaging_study is None:
            return []
        follows = new_correction(
            snapshot.study_instance_uid,
            snapshot.imaging_study["subject"]["reference"],
            worker=self.submission.intent.worker,
            lease_seconds=LEASE_SECONDS,
        )
        self.found = replace(self.found, follows=follows)
        return [Write("create", INTENTS, follows.id, to_source(follows))]

    def take_corrections(self, corrections: Mapping[str, Correction]) -> set[str]:
        """Note what is shown otherwise than these instances say; return the tags that FHIR contradicts.

        What was decided of an instance by its study was noted before.
        """
        mine = corrections.keys() & self.submission.sop_instance_uids if corrections else ()
        findings = dict(self.found.findings)
        tags: set[str] = set()
        for uid in mine:
            known = {finding.tag for finding in findings.get(uid, ())}
            new = [each for each in corrected_findings(corrections[uid]) if each.tag not in known]
            findings[uid] = (*findings.get(uid, ()), *new)
            tags |= {each.tag for each in new}
        if tags:
            self.found = replace(self.found, findings=findings)
        return tags

    def fail(self, error: BaseException) -> None:
        """Tell who waits that it was not done."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # a requester that went away must not cause a warning

    def succeed(self, version: int) -> None:
        """Tell who waits that it is done, and which version of the ImagingStudy has it."""
        if not self.done.done():
            self.done.set_result(replace(self.found, version=version))

    def _not_in(self, skip: frozenset[str]) -> list[Prepared]:
        return [
            prepared
            for prepared in self.submission.instances
            if prepared.stored.record.sop_instance_uid not in skip
        ]


@dataclass(frozen=True, slots=True)
class Job:
    """Work on a study that is done between its commits, and who waits for it."""

    work: Callable[[Snapshot, frozenset[str]], Awaitable[Snapshot | None]]
    done: asyncio.Future[None]


@dataclass(eq=False, slots=True)
class StudyState:
    """What this process knows of a study that it writes."""

    study_instance_uid: str
    waiting: list[Waiting] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    indexing: set[asyncio.Task[None]] = field(default_factory=set)
    rest: asyncio.TimerHandle | None = None  # runs while the study may have come to rest
    snapshot: Snapshot | None = None
    confirmed: set[str] = field(default_factory=set)  # commits whose index write is done
    read_at: float = 0.0  # time.monotonic() when commits of others were last taken over

    @property
    def idle(self) -> bool:
        """Tell whether nothing is under way."""
        return not (self.task or self.waiting or self.jobs or self.indexing or self.rest)

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
