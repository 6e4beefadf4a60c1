"""Group commit: many requests for one study share a transaction; failures reach whom they concern."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.dicom.instance import InstanceRecord, StoredInstance
from app.errors import FhirUnavailable, LinkRefused, VersionConflict
from app.fhir.identifiers import IdentifierSystems
from app.services.commit import StudyCommits
from app.services.compare import Committed
from app.services.intake import Prepared
from app.services.intents import Intent, Worker
from app.services.problems import ProblemRecord
from app.services.reconcile import Reconcile
from app.services.snapshot import Snapshot
from app.services.study_patient import Shown
from app.services.submission import Submission
from app.settings import Settings
from app.stores.elasticsearch import Write, WriteResult

STUDY = "1.2.3"
WORKER = Worker("host", 1, 0.0)


@dataclass
class World:
    """Fakes of everything behind a commit, and what they were asked."""

    version: int = 0
    known: dict[str, str] = field(default_factory=dict)  # SOP Instance UID -> digest, in the index
    transactions: list[list[str]] = field(default_factory=list)
    reads: int = 0
    fail: Callable[[list[str]], None] = lambda uids: None  # noqa: ARG005
    noted: list[ProblemRecord] = field(default_factory=list)

    async def read(self, study_instance_uid: str) -> Snapshot:
        self.reads += 1
        resource = {"id": "x", "subject": {"reference": "Patient/p"}} if self.version else None
        return Snapshot(study_instance_uid, resource, self.version)

    async def settle(self, snapshot: Snapshot, **_: Any) -> Snapshot:
        return snapshot

    async def with_series(self, snapshot: Snapshot, series: Any) -> Snapshot:
        wanted = dict.fromkeys(series)
        return replace(snapshot, series={**wanted, **snapshot.series})

    async def link(self, before: Snapshot, added: Sequence[Prepared], **_: Any) -> Snapshot:
        uids = [prepared.stored.record.sop_instance_uid for prepared in added]
        await asyncio.sleep(0.01)
        self.fail(uids)
        if before.version != self.version:
            raise VersionConflict("stale")
        self.version += 1
        self.transactions.append(uids)
        resource = {"id": "x", "subject": {"reference": "Patient/p"}}
        return replace(
            before, imaging_study=resource, version=self.version, study={}, series={"1.2.3.4": {}}
        )

    async def shown(
        self, _: Snapshot, added: Sequence[Prepared], replaced: Sequence[Prepared]
    ) -> Shown:
        return Shown(added, replaced, {})

    def without_form(self, _: Any) -> tuple[ProblemRecord, ...]:
        return ()

    def marks(self, _: Snapshot) -> tuple[str, ...]:
        return ()

    def due(self, _: Snapshot | None) -> bool:
        return False

    async def get_many(self, name: str, ids: Sequence[str], **_: Any) -> dict[str, Any]:
        if name != "instances":
            return {}
        return {
            uid: {"sha256": self.known[uid], "version": "other"} for uid in ids if uid in self.known
        }

    async def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        await asyncio.sleep(0.01)
        for write in writes:
            if write.index == "instances" and write.source is not None:
                self.known[write.id] = write.source["sha256"]
        return [WriteResult(200) for _ in writes]

    def commits(self) -> StudyCommits:
        fake: Any = self
        return StudyCommits(
            index=fake,
            lane=fake,
            snapshots=fake,
            linker=fake,
            redo=fake,
            listing=fake,
            removal=fake,
            reconcile=Reconcile("first-wins", IdentifierSystems.from_settings(Settings())),
            ownership=fake,
            problems=fake,
        )

    def note(self, record: ProblemRecord) -> None:
        self.noted.append(record)


def submission(number: int, digest: str = "d", *, again: bool = False) -> Submission:
    record = InstanceRecord(STUDY, "1.2.3.4", f"1.9.{number}", "1.2.840", "1.2", {})
    stored = StoredInstance(record, f"key-{number}", 1, digest, "v", "2026-01-01T00:00:00Z")
    intent = Intent(f"intent-{number}", STUDY, WORKER, "2026-01-01T00:00:00+00:00", ())
    return Submission(intent, (Prepared(stored, {"sha256": digest}),), again)


async def test_requests_that_wait_share_a_transaction() -> None:
    """P7: cost follows the number of commits, not of requests."""
    world = World()
    commits = world.commits()
    await asyncio.gather(*(commits.commit(submission(n)) for n in range(100)))

    assert len(world.transactions) <= 3
    assert sorted(uid for group in world.transactions for uid in group) == sorted(world.known)
    assert len(world.known) == 100


async def test_a_commit_returns_only_when_the_index_has_it() -> None:
    """P1: linked and findable, both."""
    world = World()
    await world.commits().commit(submission(1))
    assert "1.9.1" in world.known


async def test_the_study_is_read_once_while_nobody_else_changes_it() -> None:
    world = World()
    commits = world.commits()
    for number in range(5):
        await commits.commit(submission(number))
    assert world.reads == 1


async def test_a_conflict_makes_it_read_and_try_again() -> None:
    world = World()
    commits = world.commits()
    await commits.commit(submission(1))
    world.version += 1  # another writer
    await commits.commit(submission(2))

    assert world.reads == 2
    assert world.known.keys() == {"1.9.1", "1.9.2"}


async def test_what_another_writer_stored_meanwhile_is_not_stored_twice() -> None:
    world = World()
    commits = world.commits()
    await commits.commit(submission(1))
    world.version += 1
    world.known |= {"1.9.2": "d", "1.9.3": "other"}

    second = await commits.commit(submission(2))
    third = await commits.commit(submission(3, again=True))

    assert replace(second, version=0) == Committed(identical=frozenset({"1.9.2"}))
    assert replace(third, version=0) == Committed(different=frozenset({"1.9.3"}))
    assert world.transactions == [["1.9.1"]]


async def test_a_refused_instance_does_not_take_its_neighbours_with_it() -> None:
    world = World()

    def refuse(uids: list[str]) -> None:
        if "1.9.13" in uids:
            raise LinkRefused("no")

    world.fail = refuse
    commits = world.commits()
    results = await asyncio.gather(
        *(commits.commit(submission(n)) for n in range(20)), return_exceptions=True
    )

    assert [n for n, result in enumerate(results) if isinstance(result, LinkRefused)] == [13]
    assert len(world.known) == 19


async def test_a_server_that_is_down_fails_those_who_wait_and_not_those_who_come_later() -> None:
    world = World()

    def down(_: list[str]) -> None:
        raise FhirUnavailable("down")

    world.fail = down
    commits = world.commits()
    results = await asyncio.gather(
        *(commits.commit(submission(n)) for n in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, FhirUnavailable) for result in results)
    assert world.known == {}

    world.fail = lambda _: None
    await commits.commit(submission(9))
    assert world.known.keys() == {"1.9.9"}


async def test_a_server_that_fails_for_the_moment_is_tried_again_and_that_is_recorded() -> None:
    """And the study is read anew each time: what was not answered may have been done."""
    world = World()
    times = iter(range(10))

    def down_twice(_: list[str]) -> None:
        if next(times) < 2:
            raise FhirUnavailable("The FHIR server answers 503.")

    world.fail = down_twice
    await world.commits().commit(replace(submission(1), until=time.monotonic() + 60))

    assert world.known.keys() == {"1.9.1"}
    assert world.reads == 3
    assert [each.kind for each in world.noted] == ["transient-retry"] * 2


@pytest.mark.parametrize("later", [VersionConflict("stale"), LinkRefused("no")])
async def test_what_may_have_been_done_is_never_called_undone(later: Exception) -> None:
    """Whoever hears of a conflict or a refusal removes the objects; FHIR may have the instance."""
    world = World()
    until = time.monotonic() + 0.2
    first = True

    def fail(_: list[str]) -> None:
        nonlocal first
        if first:
            first = False
            raise FhirUnavailable("The FHIR server does not answer.")
        raise later

    world.fail = fail
    with pytest.raises(FhirUnavailable):
        await world.commits().commit(replace(submission(1), until=until))


async def test_a_bug_fails_its_requests_and_the_study_goes_on() -> None:
    world = World()

    def bug(uids: list[str]) -> None:
        if "1.9.1" in uids:
            raise KeyError("bug")

    world.fail = bug
    commits = world.commits()
    with pytest.raises(KeyError):
        await commits.commit(submission(1))
    await commits.commit(submission(2))
    assert world.known.keys() == {"1.9.2"}


async def test_one_who_goes_away_does_not_stop_the_commit() -> None:
    world = World()
    commits = world.commits()
    gone = asyncio.create_task(commits.commit(submission(1)))
    await asyncio.sleep(0.001)
    gone.cancel()
    await commits.commit(submission(2))
    await commits.close()
    assert world.known.keys() == {"1.9.1", "1.9.2"}


async def test_a_bug_while_listing_does_not_stop_the_study() -> None:
    world = World()
    commits = world.commits()

    async def overdue() -> list[str]:
        return [STUDY]

    world.overdue = overdue  # type: ignore[attr-defined]  # the snapshot that it reads has no list
    world.version = 1
    await commits.list_overdue()
    async with asyncio.timeout(5):
        await commits.commit(submission(1))
    assert world.known.keys() == {"1.9.1"}
