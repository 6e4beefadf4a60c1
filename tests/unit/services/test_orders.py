"""An order that comes or changes: which studies follow, and how they are written."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.fhir.ids import imaging_study_id
from app.limits import Limits
from app.services.orders import Orders
from app.services.problems import ProblemRecord
from app.services.references import References
from app.services.snapshot import STUDIES, Snapshot
from app.stores.elasticsearch import Write, WriteResult
from app.stores.hapi import Found
from app.stores.hapi_questions import Question
from tests.unit.index.test_documents import stored, study

UID = "1.2"
NUMBER = {"system": "urn:a", "value": "7"}
ORDER: dict[str, Any] = {
    "resourceType": "ServiceRequest",
    "id": "o",
    "status": "active",
    "identifier": [NUMBER],
    "subject": {"reference": "Patient/p"},
}
NAMED: dict[str, Any] = {
    "resourceType": "ImagingStudy",
    "id": imaging_study_id(UID),
    "meta": {"versionId": "7"},
    "subject": {"reference": "Patient/p"},
    "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"}, NUMBER],
    "basedOn": [{"type": "ServiceRequest", "identifier": NUMBER}],
}
LINKED: dict[str, Any] = {
    **NAMED,
    "basedOn": [{**NAMED["basedOn"][0], "reference": "ServiceRequest/o"}],
}


@dataclass
class World:
    """A FHIR server with one study and perhaps one order, and what was written of them."""

    imaging_study: dict[str, Any]
    order: dict[str, Any] | None
    limits: Limits = field(default_factory=Limits)
    version: int = 7
    looked: int = 0
    searches: list[Question] = field(default_factory=list)
    puts: list[dict[str, Any]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, resource_type: str, resource_id: str) -> Found:
        assert (resource_type, resource_id) == ("ServiceRequest", "o")
        self.looked += 1
        return Found(self.order, 1 if self.order else 2)

    async def ask(self, questions: Sequence[Question]) -> list[list[dict[str, Any]]]:
        self.searches += questions
        return [self._answer(each) for each in questions]

    def _answer(self, question: Question) -> list[dict[str, Any]]:
        if question.resource_type == "ServiceRequest":
            return [self.order] if self.order else []
        if "basedon" in question.params:
            asked = question.params["basedon"]
            linked = [each.get("reference") for each in self.imaging_study["basedOn"]]
            return [self.imaging_study] if asked in linked else []
        asked = question.params["identifier"]
        numbers = [f"{each['system']}|{each['value']}" for each in self.imaging_study["identifier"]]
        return [self.imaging_study] if asked in numbers else []

    async def exclusively(
        self,
        study_instance_uid: str,
        work: Callable[[Snapshot, frozenset[str]], Awaitable[Snapshot | None]],
    ) -> None:
        assert study_instance_uid == UID
        document = study(None, stored())
        await work(Snapshot(UID, self.imaging_study, self.version, document), frozenset())

    async def put(self, resource: dict[str, Any], version: int) -> int:
        assert version == self.version
        self.puts.append(resource)
        self.written.set()
        self.imaging_study, self.version = resource, version + 1
        return self.version

    async def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        self.writes += writes
        return [WriteResult(200) for _ in writes]

    def note(self, record: ProblemRecord) -> None:
        raise AssertionError(record)

    def orders(self) -> Orders:
        fake: Any = self
        references = References(fake, fake, practitioner="fhir", encounter="fhir")
        return Orders(
            fhir=fake,
            commits=fake,
            linker=fake,
            references=references,
            lane=fake,
            limits=self.limits,
        )


async def follow(
    imaging_study: Mapping[str, Any], order: Mapping[str, Any] | None, **limits: Any
) -> World:
    world = World(dict(imaging_study), dict(order) if order else None, Limits(**limits))
    orders = world.orders()
    await orders.changed("o")
    await orders.close()
    return world


async def test_a_study_that_names_the_order_is_linked_and_its_document_follows() -> None:
    world = await follow(NAMED, ORDER)

    (resource,) = world.puts
    assert resource["basedOn"] == LINKED["basedOn"]
    (write,) = world.writes
    assert (write.index, write.id, write.version) == (STUDIES, UID, 8)
    assert write.source is not None
    assert write.source["fhir"]["imaging_study_version"] == 8


async def test_a_study_that_is_linked_is_not_written_again() -> None:
    world = await follow(LINKED, ORDER)

    assert (world.puts, world.writes) == ([], [])


async def test_a_study_is_named_only_again_where_the_order_has_another_number() -> None:
    world = await follow(LINKED, {**ORDER, "identifier": [{**NUMBER, "value": "8"}]})

    assert [each["basedOn"] for each in world.puts] == [NAMED["basedOn"]]


async def test_a_study_is_named_only_again_where_the_order_is_gone() -> None:
    for order in (None, {**ORDER, "status": "entered-in-error"}):
        world = await follow(LINKED, order)

        assert [each["basedOn"] for each in world.puts] == [NAMED["basedOn"]]


async def test_an_order_without_a_number_concerns_no_study() -> None:
    world = await follow(NAMED, {**ORDER, "identifier": []})

    assert [list(each.params) for each in world.searches] == [["basedon", "_count", "_elements"]]
    assert world.puts == []


async def test_an_order_is_looked_at_once_more_for_a_study_that_was_being_stored() -> None:
    world = World(dict(NAMED), dict(ORDER), Limits(store_seconds=0.01))
    world.imaging_study = {**NAMED, "identifier": NAMED["identifier"][:1]}  # not yet to be found
    orders = world.orders()
    await orders.changed("o")
    assert world.puts == []

    world.imaging_study = dict(NAMED)
    async with asyncio.timeout(20):
        await world.written.wait()
    await orders.close()

    assert world.looked == 2
    assert world.puts[0]["basedOn"] == LINKED["basedOn"]


async def test_no_more_orders_than_the_limit_are_looked_at_once_more() -> None:
    world = await follow(NAMED, ORDER, orders_later=0, store_seconds=0.0)
    await asyncio.sleep(0.01)

    assert world.looked == 1
