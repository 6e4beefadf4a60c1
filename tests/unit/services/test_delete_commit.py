"""Deletions go through the same queue as stores: in order, grouped, and finished before anything follows."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.errors import FhirUnavailable, IndexUnavailable, LinkRefused, VersionConflict
from app.fhir.identifiers import IdentifierSystems
from app.services.commit import StudyCommits
from app.services.compare import Committed, compare
from app.services.intents import (
    IntendedInstance,
    Intent,
    RemovedInstance,
    from_source,
    to_source,
)
from app.services.reconcile import Reconcile
from app.services.snapshot import Snapshot
from app.services.submission import Submission
from app.settings import Settings
from tests.unit.services.test_commit import STUDY, WORKER, World, submission


@dataclass
class Deleting(World):
    """Fakes of everything behind a deletion as well."""

    removed: list[list[str]] = field(default_factory=list)
    indexed: list[int] = field(default_factory=list)  # versions at which deletions were indexed
    stale: int = 0  # how often somebody else comes first
    index_fails: bool = False

    async def unlink(
        self, before: Snapshot, intents: Sequence[Intent], **_: Any
    ) -> Snapshot | None:
        uids = [each.sop_instance_uid for intent in intents for each in intent.removed]
        present = [uid for uid in uids if uid in self.known]
        await asyncio.sleep(0.01)
        self.fail(uids)
        if self.stale:
            self.stale -= 1
            self.version += 1
            raise VersionConflict("stale")
        if before.version != self.version:
            raise VersionConflict("stale")
        if not present:
            return None
        self.version += 1
        self.removed.append(present)
        return replace(before, version=self.version)

    async def index(self, unlinked: Snapshot, removed: Sequence[RemovedInstance]) -> Snapshot:
        await asyncio.sleep(0.01)
        if self.index_fails:
            raise IndexUnavailable("down")
        for each in removed:
            self.known.pop(each.sop_instance_uid, None)
        self.indexed.append(unlinked.version)
        return unlinked

    async def clear(self, _: Snapshot) -> bool:
        return False

    async def settle(self, snapshot: Snapshot, **_: Any) -> Snapshot:
        return snapshot

    def commits(self) -> StudyCommits:
        fake: Any = self
        return StudyCommits(
            index=fake, lane=fake, snapshots=fake, linker=fake, redo=fake, listing=fake,
            removal=fake, problems=fake, ownership=fake,
            reconcile=Reconcile("first-wins", IdentifierSystems.from_settings(Settings())),
        )  # fmt: skip


def removal(*numbers: int, again: bool = False) -> Submission:
    removed = tuple(RemovedInstance(f"1.9.{n}", "1.2.3.4", "v") for n in numbers)
    until = "2099-01-01T00:00:00+00:00"
    intent = Intent(f"remove-{numbers}", STUDY, WORKER, until, (), removed=removed)
    return Submission(intent, again=again)


async def test_deletions_that_wait_share_a_write() -> None:
    world = Deleting()
    commits = world.commits()
    await asyncio.gather(*(commits.commit(submission(n)) for n in range(20)))
    await asyncio.gather(*(commits.commit(removal(n)) for n in range(20)))

    assert world.known == {}
    assert len(world.removed) <= 3


async def test_what_comes_in_turn_is_done_in_turn() -> None:
    """A store that is asked for after a deletion is not undone by it, nor the other way round."""
    world = Deleting()
    commits = world.commits()
    await asyncio.gather(
        commits.commit(submission(1)),
        commits.commit(removal(1)),
        commits.commit(submission(2)),
        commits.commit(removal(1, 2)),
        commits.commit(submission(3)),
    )

    assert world.known.keys() == {"1.9.3"}
    assert [uid for group in world.removed for uid in group] == ["1.9.1", "1.9.2"]


async def test_a_conflict_makes_it_read_and_try_again() -> None:
    world = Deleting(stale=2)
    commits = world.commits()
    await commits.commit(submission(1))
    await commits.commit(removal(1))

    assert world.removed == [["1.9.1"]]
    assert world.reads == 3


async def test_deleting_what_is_gone_writes_nothing() -> None:
    world = Deleting()
    commits = world.commits()
    await commits.commit(submission(1))
    version = world.version
    await commits.commit(removal(7))

    assert world.version == version
    assert world.indexed == []


async def test_an_unfinished_deletion_that_fhir_does_not_know_is_forgotten() -> None:
    world = Deleting()
    commits = world.commits()
    await commits.commit(submission(1))
    await commits.commit(removal(1, again=True))

    assert world.known.keys() == {"1.9.1"}


@pytest.mark.parametrize("error", [FhirUnavailable, LinkRefused])
async def test_a_deletion_that_fhir_does_not_take_changes_nothing(error: type[Exception]) -> None:
    world = Deleting()
    commits = world.commits()
    await commits.commit(submission(1))

    def fail(_: list[str]) -> None:
        raise error("no")

    world.fail = fail
    with pytest.raises(error):
        await commits.commit(removal(1))
    world.fail = lambda _: None
    assert world.known.keys() == {"1.9.1"}
    await commits.commit(removal(1))
    assert world.known == {}


async def test_when_the_index_does_not_follow_the_study_is_read_again() -> None:
    world = Deleting(index_fails=True)
    commits = world.commits()
    await commits.commit(submission(1))
    with pytest.raises(IndexUnavailable):
        await commits.commit(removal(1))
    reads = world.reads
    await commits.commit(submission(2))

    assert world.reads == reads + 1


# ---- new versions


def compared(
    *, again: bool = False, replace_: bool = True, replaces: str | None = None, **known: Any
) -> Committed:
    brought = submission(1, "new").instances
    item = replace(IntendedInstance.of(brought[0].stored, replaces), version="v2")
    intent = Intent("i", STUDY, WORKER, "2099-01-01T00:00:00+00:00", (item,), replace=replace_)
    document = {
        "sha256": "old", "version": "v1", "study_instance_uid": STUDY,
        "series_instance_uid": "1.2.3.4", **known,
    }  # fmt: skip
    return compare(intent, brought, {"1.9.1": document}, set(), again=again)


UID = frozenset({"1.9.1"})


def test_other_bytes_replace_only_where_that_is_set() -> None:
    assert compared() == Committed(replaced=UID)
    assert compared(replace_=False) == Committed(different=UID)
    assert compared(sha256="new") == Committed(identical=UID)


@pytest.mark.parametrize("moved", ["study_instance_uid", "series_instance_uid"])
def test_a_version_does_not_move(moved: str) -> None:
    elsewhere: dict[str, Any] = {moved: "1.2.7"}
    assert compared(**elsewhere) == Committed(different=UID)


def test_an_old_intent_replaces_only_what_it_was_meant_to() -> None:
    """After a crash a newer version may have been acknowledged: it stays."""
    assert compared(again=True, replaces="v1") == Committed(replaced=UID)
    assert compared(again=True, replaces="v0") == Committed(different=UID)
    assert compared(again=True) == Committed(different=UID)


def test_what_was_current_once_is_not_stored_again() -> None:
    brought = submission(1, "d").instances
    intent = submission(1).intent
    past = {brought[0].stored.version}
    assert compare(intent, brought, {}, past, again=True) == Committed(identical=UID)
    assert compare(intent, brought, {}, set(), again=True) == Committed()


def test_an_intent_reads_as_it_was_written() -> None:
    intent = removal(1, 2).intent
    assert from_source(intent.id, to_source(intent)) == intent
    assert intent.sop_instance_uids == ["1.9.1", "1.9.2"]
    older = to_source(intent)
    del older["removed"], older["replace"]
    assert from_source("x", older).removed == ()
