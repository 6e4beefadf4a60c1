"""An edit is told from a commit of another process, and whatever is unsure is looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.errors import VersionConflict
from app.limits import Limits
from app.services import ownership as module
from app.services.ownership import Ownership
from app.services.problems import ProblemRecord
from app.services.snapshot import SERIES, Snapshot
from app.stores.elasticsearch import Write, WriteResult
from app.stores.hapi import Found

STUDY = "1.2.3"
SERIES_UID = "1.2.3.4"
COUNTED = 2


def imaging_study(instances: int = COUNTED, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": "s",
        "status": "available",
        "subject": {"reference": "Patient/p"},
        "numberOfSeries": 1,
        "numberOfInstances": instances,
        "series": [{"uid": SERIES_UID, "numberOfInstances": instances}],
        **more,
    }


def document(version: int) -> dict[str, Any]:
    fhir = {"imaging_study": "ImagingStudy/s", "imaging_study_version": version}
    return {"metadata": b"", "fhir": {**fhir, "patient": "Patient/p"}}


@dataclass
class World:
    """Fakes of everything behind the rules, and what was written."""

    fresh: dict[str, Any] | None  # the study's document as it is by now
    good: dict[str, Any] | None = field(default_factory=imaging_study)
    patients: frozenset[str] = frozenset({"p"})
    contested: bool = False
    put_versions: list[int] = field(default_factory=list)
    puts: list[Mapping[str, Any]] = field(default_factory=list)
    indexed: list[Write] = field(default_factory=list)
    asked_for: list[int] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)
    noted: list[ProblemRecord] = field(default_factory=list)

    async def get_many(self, name: str, _: Sequence[str]) -> dict[str, Any]:
        if name == SERIES:
            return {f"{STUDY}/{SERIES_UID}": {"metadata": b""}}
        return {} if self.fresh is None else {STUDY: self.fresh}

    async def search(self, _: str, __: Any) -> dict[str, Any]:
        buckets = [{"key": SERIES_UID, "doc_count": COUNTED}]
        return {"aggregations": {"series": {"buckets": buckets}}}

    async def version(self, _: str, __: str, version: int) -> dict[str, Any] | None:
        self.asked_for.append(version)
        return self.good

    async def read(self, _: str, patient: str) -> Found:
        return Found({"id": patient} if patient in self.patients else None, 1)

    async def put(self, resource: dict[str, Any], version: int) -> int:
        if self.contested:
            raise VersionConflict("changed")
        self.puts.append(resource)
        self.put_versions.append(version)
        return version + 1

    async def follow_subject(self, snapshot: Snapshot) -> Snapshot:
        self.followed.append((snapshot.imaging_study or {})["subject"]["reference"])
        return snapshot

    async def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        self.indexed += writes
        return [WriteResult(200) for _ in writes]

    def made_anew(self, _: Any, counts: Mapping[str, int], __: str) -> dict[str, Any]:
        return imaging_study(counts[SERIES_UID])

    def note(self, record: ProblemRecord) -> None:
        self.noted.append(record)

    def rules(self) -> Ownership:
        fake: Any = self
        return Ownership(
            index=fake, lane=fake, fhir=fake, history=fake, linker=fake, follower=fake,
            problems=fake, limits=Limits(),
        )  # fmt: skip


def relinked(found: dict[str, Any], links: Any, _: Limits) -> dict[str, Any]:
    return {
        **found,
        "fhir": {**found["fhir"], "imaging_study_version": links.imaging_study_version},
    }


async def settled(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    resource: dict[str, Any] | None,
    *,
    version: int,
    read: int,
    recovered: bool = False,
) -> Snapshot:
    """Settle a study that FHIR has at `version` and whose document was read at version `read`."""
    monkeypatch.setattr(module, "relinked", relinked)
    monkeypatch.setattr(module, "own_attributes", lambda _: {})
    before = Snapshot(STUDY, resource, version, document(read))
    return await world.rules().settle(before, recovered=recovered)


async def test_a_version_that_the_index_knows_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(document(3))
    after = await settled(world, monkeypatch, imaging_study(), version=3, read=3)

    assert (after.version, world.puts, world.indexed, world.asked_for) == (3, [], [], [])


async def test_a_commit_of_another_process_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its document came between the two reads: else its instances would be taken out again."""
    world = World(document(4), good=imaging_study(1))
    after = await settled(world, monkeypatch, imaging_study(2), version=4, read=3)

    assert (after.version, world.puts, world.noted) == (4, [], [])
    assert after.study == document(4)


async def test_an_edit_that_harms_nothing_is_known_to_the_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(document(3))
    edited = imaging_study(note=[{"text": "seen"}])
    after = await settled(world, monkeypatch, edited, version=5, read=3)

    assert world.asked_for == [3]
    assert (world.puts, world.noted) == ([], [])
    (write,) = world.indexed
    assert (write.id, write.version, write.again) == (STUDY, 5, True)
    assert after.study is not None
    assert after.study["fhir"]["imaging_study_version"] == 5


async def test_damage_is_written_again_after_the_version_that_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(document(3))
    after = await settled(world, monkeypatch, imaging_study(9), version=4, read=3)

    assert world.put_versions == [4]
    assert world.puts[0]["numberOfInstances"] == COUNTED
    assert (after.version, world.indexed[0].version) == (5, 5)
    assert {each.value_class for each in world.noted} == {
        "ImagingStudy: numberOfInstances", "ImagingStudy: series",
    }  # fmt: skip


async def test_a_deleted_study_comes_after_its_tombstone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(document(3))
    after = await settled(world, monkeypatch, None, version=4, read=3)

    assert world.put_versions == [4]
    assert world.puts == [imaging_study()]
    assert after.version == 5


async def test_without_a_kept_version_the_index_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(document(3), good=None)
    await settled(world, monkeypatch, imaging_study(9), version=4, read=3)

    assert world.puts[0]["series"] == imaging_study()["series"]


async def test_a_patient_that_is_there_is_accepted_and_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(document(3), patients=frozenset({"p", "q"}))
    edited = imaging_study(subject={"reference": "Patient/q"})
    await settled(world, monkeypatch, edited, version=4, read=3)

    assert (world.puts, world.followed) == ([], ["Patient/q"])


async def test_a_patient_that_is_not_there_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(document(3))
    edited = imaging_study(subject={"reference": "Patient/q"})
    await settled(world, monkeypatch, edited, version=4, read=3)

    assert world.puts[0]["subject"] == {"reference": "Patient/p"}
    assert world.followed == []


async def test_after_a_recovery_the_counts_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit was indexed at a version that somebody had edited since."""
    right, wrong = World(document(4)), World(document(4))
    await settled(right, monkeypatch, imaging_study(), version=4, read=4, recovered=True)
    await settled(wrong, monkeypatch, imaging_study(7), version=4, read=4, recovered=True)

    assert right.puts == []
    assert wrong.puts[0]["numberOfInstances"] == COUNTED


async def test_a_study_that_the_index_has_not_is_nobodys_to_repair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(None)
    before = Snapshot(STUDY, imaging_study(9), 4)
    assert await world.rules().settle(before, recovered=True) is before

    gone = await settled(world, monkeypatch, imaging_study(9), version=4, read=3)
    assert (gone.study, world.puts) == (None, [])


async def test_others_who_write_meanwhile_are_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(document(3), contested=True)
    with pytest.raises(VersionConflict):
        await settled(world, monkeypatch, imaging_study(9), version=4, read=3)


async def test_a_study_that_is_repaired_again_and_again_is_contested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(document(3))
    rules = world.rules()
    monkeypatch.setattr(module, "relinked", relinked)
    damage = Snapshot(STUDY, imaging_study(9), 4, document(3))
    for _ in range(Limits().fhir_repairs):
        assert not rules.contested(STUDY)
        await rules.settle(damage)
    assert rules.contested(STUDY)
    assert not rules.contested("1.2.9")

    monkeypatch.setattr(module, "WHILE_SECONDS", -1.0)
    assert not rules.contested(STUDY)
