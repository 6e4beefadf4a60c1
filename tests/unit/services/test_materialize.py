"""Corrected instances are stored anew in groups; whoever asks is told how far that is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from app.dicom.correction import Correction
from app.dicom.instance import ByteRange
from app.dicom.object_changes import ObjectChanges
from app.dicom.part10 import read_instance
from app.errors import (
    CoregisterError,
    DuplicateInstance,
    LinkRefused,
    NotFound,
    StoreUnavailable,
    VersionConflict,
)
from app.limits import Limits
from app.services.corrected import CorrectedObjects
from app.services.intake import Spooled
from app.services.materialize import GROUP_INSTANCES, ROUNDS, Materialize
from app.services.outcome import InstanceOutcome
from app.services.retrieve import Found, Located, Values
from app.services.tombstones import Target
from tests.corpus import make_instance

if TYPE_CHECKING:
    from app.services.retrieve import Retrieve
    from app.services.store_study import StoreStudy
    from app.stores.blob_store import BlobStore

STUDY = Target("1.2")


class Archive:
    """Instances of one study in memory, in place of the services over the real stores."""

    def __init__(self, folder: Path, count: int) -> None:
        self.spool_folder = folder
        self.free: int | None = None
        self.files = {
            f"1.9.{number}": make_instance(StudyInstanceUID="1.2", SOPInstanceUID=f"1.9.{number}")
            for number in range(count)
        }
        self.corrected = dict.fromkeys(self.files, True)
        self.lost: set[str] = set()
        self.groups: list[int] = []
        self.errors: dict[str, CoregisterError] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False
        self._corrections = CorrectedObjects(
            cast("BlobStore", self), ThreadPoolExecutor(1), Limits()
        )

    def located(self, uid: str) -> Located:
        data = self.files[uid]
        correction = None
        if self.corrected[uid]:
            shown = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]}}
            attributes = read_instance(data, Limits()).attributes
            correction = Correction.of(
                shown, attributes, patient="Patient/x", at="2026-01-02T03:04Z"
            )
        return Located("1.2", "1.3", uid, "1.2.840.10008.1.2.1", uid, len(data), "v1", correction)

    async def instances(self, _: Target) -> Found[Located]:
        if not self.files:
            raise NotFound("There is no such study.")

        async def pages() -> Any:
            yield [self.located(uid) for uid in self.files]

        return Found("1", frozenset(), pages())

    async def read(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return [self.files[key][part.offset : part.offset + part.length] for part in ranges]

    async def whole(self, located: Located, changes: ObjectChanges) -> Values:
        if located.sop_instance_uid in self.lost:
            raise NotFound("The object is not in the blob store.")

        async def nowhere() -> None:
            return None

        stretches = await self._corrections.stretches(located, changes, nowhere)
        return Values(located, (stretches,), encapsulated=False, deflated=False)

    async def stream_values(self, values: Values) -> AsyncIterator[bytes]:
        for part in values.stretches[0]:
            if isinstance(part, ByteRange):
                yield (await self.read(values.located.blob_key, [part]))[0]
            else:
                yield part.data

    async def free_bytes(self) -> int | None:
        return self.free

    async def store(self, received: Sequence[Any], study: str) -> list[InstanceOutcome]:
        await self.gate.wait()
        if self.down:
            raise StoreUnavailable("The store is down.", retry_after=1)
        assert study == "1.2"
        assert all(isinstance(item, Spooled) and item.restates == "v1" for item in received)
        self.groups.append(len(received))
        outcomes = []
        for item in received:
            error = self.errors.get(item.sop_instance_uid)
            self.corrected[item.sop_instance_uid] = error is not None
            outcomes.append(InstanceOutcome(None, item.sop_instance_uid, error=error))
        return outcomes


def spooled(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def materialize(archive: Archive, **limits: Any) -> Materialize:
    return Materialize(
        retrieve=cast("Retrieve", archive),
        store=cast("StoreStudy", archive),
        blobs=cast("BlobStore", archive),
        threads=ThreadPoolExecutor(2),
        limits=Limits(**limits),
    )


@pytest.mark.asyncio
async def test_many_are_stored_in_groups_and_again_there_is_nothing_to_do(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 2 * GROUP_INSTANCES + 1)
    verb = materialize(archive)

    progress = await verb.materialize(STUDY)

    assert progress.finished
    assert list(progress.done) == list(archive.files)
    assert archive.groups == [GROUP_INSTANCES, GROUP_INSTANCES, 1]
    assert spooled(tmp_path) == []
    again = await verb.materialize(STUDY)
    assert (again.finished, again.instances, again.done) == (True, 0, {})


@pytest.mark.asyncio
async def test_what_takes_long_goes_on_and_tells_everybody_the_same(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 3)
    archive.gate.clear()
    verb = materialize(archive, materialize_seconds=0.05)

    first = await verb.materialize(STUDY)
    second = await verb.materialize(STUDY)

    assert first is second
    assert (first.finished, first.instances, first.done) == (False, 3, {})
    archive.gate.set()
    while not (await verb.materialize(STUDY)).finished:
        pass
    assert list(first.done) == list(archive.files)
    assert archive.groups == [3]


@pytest.mark.asyncio
async def test_one_that_cannot_be_stored_does_not_keep_the_others_out(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 4)
    archive.lost = {"1.9.0"}
    archive.errors = {"1.9.1": LinkRefused("FHIR refuses it.")}

    progress = await materialize(archive).materialize(STUDY)

    assert list(progress.done) == ["1.9.2", "1.9.3"]
    assert {uid: type(error) for uid, error in progress.failed.items()} == {
        "1.9.0": NotFound,
        "1.9.1": LinkRefused,
    }


@pytest.mark.asyncio
async def test_where_none_can_be_stored_the_reason_is_the_answer(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 1)
    archive.errors = {"1.9.0": LinkRefused("FHIR refuses it.")}

    with pytest.raises(LinkRefused):
        await materialize(archive).materialize(STUDY)


@pytest.mark.asyncio
async def test_what_others_change_meanwhile_is_looked_at_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 2)
    archive.errors = {"1.9.0": DuplicateInstance("It was replaced.")}

    progress = await materialize(archive).materialize(STUDY)

    assert archive.groups == [2, *[1] * (ROUNDS - 1)]
    assert (list(progress.done), list(progress.failed)) == (["1.9.1"], ["1.9.0"])
    assert isinstance(progress.failed["1.9.0"], VersionConflict)


@pytest.mark.asyncio
async def test_a_store_that_is_down_is_the_answer_and_what_was_begun_can_be_done_again(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path, 2)
    verb = materialize(archive)
    archive.down = True
    with pytest.raises(StoreUnavailable):
        await verb.materialize(STUDY)
    assert spooled(tmp_path) == []

    archive.down = False
    assert len((await verb.materialize(STUDY)).done) == 2


@pytest.mark.asyncio
async def test_a_full_disk_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 2)
    archive.free = 100

    with pytest.raises(StoreUnavailable, match="room"):
        await materialize(archive).materialize(STUDY)

    assert archive.groups == []


@pytest.mark.asyncio
async def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 0)

    with pytest.raises(NotFound):
        await materialize(archive).materialize(STUDY)


@pytest.mark.asyncio
async def test_closing_gives_up_what_is_under_way(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 2)
    archive.gate.clear()
    verb = materialize(archive, materialize_seconds=0.05)
    await verb.materialize(STUDY)

    await verb.close()

    assert spooled(tmp_path) == []
