"""Own writes are recognised by the index, many at a time; what others did is picked."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.errors import VersionConflict
from app.fhir.ids import imaging_study_id
from app.services import imaging_study_changes as module
from app.services.imaging_study_changes import ImagingStudyChanges
from app.services.snapshot import Snapshot
from app.stores.hapi_history import Change


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNDER_WAY_SECONDS", 0.0)


@dataclass
class World:
    """An index with versions of studies by Study Instance UID, and the studies that are looked at."""

    versions: dict[str, int] = field(default_factory=dict)
    follows: dict[str, int] = field(default_factory=dict)  # versions once they were looked up
    lookups: int = 0
    searches: int = 0
    settled: list[str] = field(default_factory=list)
    contested_studies: frozenset[str] = frozenset()

    def contested(self, uid: str) -> bool:
        return uid in self.contested_studies

    def document(self, uid: str) -> dict[str, Any]:
        reference = f"ImagingStudy/{imaging_study_id(uid)}"
        version = self.versions[uid]
        fhir = {"imaging_study": reference, "imaging_study_version": version}
        return {"study_instance_uid": uid, "fhir": fhir}

    async def get_many(self, _: str, ids: Sequence[str], **__: Any) -> dict[str, Any]:
        self.lookups += 1
        found = {uid: self.document(uid) for uid in ids if uid in self.versions}
        self.versions |= self.follows
        return found

    async def search(self, _: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.searches += 1
        wanted = body["query"]["terms"]["fhir.imaging_study"]
        found = [
            d for d in map(self.document, self.versions) if d["fhir"]["imaging_study"] in wanted
        ]
        return {"hits": {"hits": [{"_source": each} for each in found]}}

    async def exclusively(
        self, uid: str, work: Callable[[Snapshot, frozenset[str]], Awaitable[Snapshot | None]]
    ) -> None:
        snapshot = Snapshot(uid, {}, 1)
        assert await work(snapshot, frozenset()) is snapshot
        self.settled.append(uid)

    def changes(self) -> ImagingStudyChanges:
        fake: Any = self
        return ImagingStudyChanges(fake, fake, fake)


def change(uid: str, version: int, *, deleted: bool = False, named: bool = True) -> Change:
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}
    identifiers = (identifier,) if named and not deleted else ()
    return Change("ImagingStudy", imaging_study_id(uid), version, deleted, identifiers)


async def test_own_writes_cost_one_look_up_however_many_they_are() -> None:
    uids = [f"1.2.{number}" for number in range(100)]
    world = World(dict.fromkeys(uids, 7))
    picked = await world.changes().pick([change(uid, n) for uid in uids for n in range(1, 8)])

    assert (picked, world.lookups, world.searches) == (set(), 1, 0)


async def test_a_version_that_the_index_does_not_know_is_picked() -> None:
    world = World({"1.2.1": 3, "1.2.2": 3, "1.2.3": 3, "1.2.4": 3})
    changes = [
        change("1.2.1", 3),
        change("1.2.2", 4),
        change("1.2.3", 4, deleted=True),
        change("1.2.4", 5, named=False),
    ]
    ids = {imaging_study_id(uid) for uid in ("1.2.2", "1.2.3", "1.2.4")}

    assert await world.changes().pick(changes) == ids


async def test_a_commit_that_is_under_way_is_not_picked() -> None:
    world = World({"1.2.1": 3}, follows={"1.2.1": 4})

    assert await world.changes().pick([change("1.2.1", 4)]) == set()
    assert world.lookups == 2


async def test_a_study_that_the_archive_has_not_is_nobodys_business() -> None:
    world = World({"1.2.1": 3})
    others = Change("ImagingStudy", "theirs", 9, deleted=False)
    wrong = Change("ImagingStudy", "theirs", 9, False, change("1.2.1", 1).identifiers)

    assert await world.changes().pick([others, wrong, change("9.9", 2)]) == set()


async def test_a_changed_study_is_looked_at_and_another_is_not() -> None:
    world = World({"1.2.1": 3})
    await world.changes().changed(imaging_study_id("1.2.1"))
    await world.changes().changed("theirs")

    assert world.settled == ["1.2.1"]


async def test_a_study_that_others_write_for_ever_is_left_for_later() -> None:
    """Two archives with the same study on one FHIR server must not keep it busy."""
    world = World({"1.2.1": 3}, contested_studies=frozenset({"1.2.1"}))
    with pytest.raises(VersionConflict):
        await world.changes().changed(imaging_study_id("1.2.1"))

    assert world.settled == []
