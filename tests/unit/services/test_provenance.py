"""Provenance in the background: what is told together, what is tried again, and what is never lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from app.errors import CoregisterError, FhirUnavailable, LinkRefused
from app.limits import Limits
from app.services.intents import (
    IntendedInstance,
    Intent,
    RemovedInstance,
    Worker,
    from_source,
    to_source,
)
from app.services.problems import ProblemRecord
from app.services.provenance import Provenances

LEASE = "2030-01-01T00:00:00+00:00"


@dataclass
class World:
    """Stands for the FHIR server, the journal and the records of problems."""

    errors: list[CoregisterError] = field(default_factory=list)  # of the next writes
    written: list[dict[str, Any]] = field(default_factory=list)
    settled: list[Intent] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    noted: list[ProblemRecord] = field(default_factory=list)

    async def write(self, resources: Sequence[Mapping[str, Any]]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.written += [dict(each) for each in resources]

    async def settle(self, intent: Intent) -> None:
        self.settled.append(intent)

    def settle_soon(self, intent: Intent) -> None:
        self.settled.append(intent)

    async def strike(self, intent: Intent) -> None:
        self.struck.append(intent.id)

    def strike_soon(self, intent: Intent) -> None:
        self.struck.append(intent.id)

    def note(self, record: ProblemRecord) -> None:
        self.noted.append(record)


@pytest.fixture
def world() -> World:
    return World()


def provenances(world: World, *, active: bool = True, waiting: int = 100) -> Provenances:
    return Provenances(
        cast("Any", world),
        cast("Any", world),
        cast("Any", world),
        Limits(provenance_waiting=waiting),
        active=active,
    )


def intent(name: str, study: str = "1.2", **more: Any) -> Intent:
    instance = IntendedInstance(f"{study}.{name}", "1.1", "1.0", "1.0", "key", 1, "ab", "v", LEASE)
    usual = {"instances": (instance,)}
    return Intent(name, study, Worker("h", 1, 1.0), LEASE, **{**usual, **more})


def entities(resource: Mapping[str, Any]) -> set[str]:
    return {each["what"]["identifier"]["value"] for each in resource["entity"]}


async def test_what_is_done_to_one_study_is_told_together_and_then_struck_out(world: World) -> None:
    told = provenances(world)
    for name in "123":
        told.settle_soon(intent(name), 7)
    told.settle_soon(intent("4", study="1.3"), 7)
    assert world.struck == []

    await told.close()

    assert [entities(each) for each in world.written] == [
        {"urn:oid:1.2.1", "urn:oid:1.2.2", "urn:oid:1.2.3"},
        {"urn:oid:1.3.4"},
    ]
    assert sorted(world.struck) == ["1", "2", "3", "4"]


async def test_what_may_go_on_is_not_told_yet(world: World) -> None:
    told = provenances(world)
    told.settle_soon(intent("1"), 7)

    await told.write_due()

    assert world.written == []


async def test_a_settled_intent_remembers_all_that_its_provenance_says(world: World) -> None:
    told, after_a_crash = provenances(world), provenances(world)
    told.settle_soon(intent("1"), 7)
    (settled,) = world.settled
    again = from_source(settled.id, to_source(settled))

    after_a_crash.take_over([again], each_alone=True)
    await after_a_crash.close()
    await told.close()

    one, same = world.written
    assert one == same
    assert again.sop_instance_uids == []


async def test_without_a_server_nothing_is_struck_out_and_all_is_tried_again(world: World) -> None:
    told = provenances(world)
    told.settle_soon(intent("1"), 7)
    world.errors = [FhirUnavailable("down")]

    await told.close()
    assert (world.written, world.struck) == ([], [])
    told.settle_soon(intent("2"), 8)
    await told.close()

    assert [entities(each) for each in world.written] == [{"urn:oid:1.2.1", "urn:oid:1.2.2"}]
    assert sorted(world.struck) == ["1", "2"]


async def test_of_a_study_that_is_gone_the_provenance_names_it(world: World) -> None:
    """HAPI refuses a transaction with a reference to what is not there; others must not suffer."""
    told = provenances(world)
    told.settle_soon(intent("1"), 7)
    told.settle_soon(intent("2", study="1.3"), 7)
    world.errors = [LinkRefused("all"), LinkRefused("the first")]

    await told.close()

    gone, other = world.written
    assert "reference" not in gone["target"][0]
    assert gone["target"][0]["identifier"]["value"] == "urn:oid:1.2"
    assert other["target"][0]["reference"].endswith("/_history/7")
    assert sorted(world.struck) == ["1", "2"]


async def test_a_provenance_that_is_refused_is_a_problem_and_not_tried_for_ever(
    world: World,
) -> None:
    told = provenances(world)
    told.settle_soon(intent("1"), 7)
    world.errors = [LinkRefused("as it is"), LinkRefused("without the reference too")]

    await told.close()

    assert [(each.kind, each.study_instance_uid) for each in world.noted] == [
        ("fhir-store-failure", "1.2")
    ]
    assert (world.written, world.struck) == ([], ["1"])


async def test_more_than_memory_should_hold_is_left_to_recovery(world: World) -> None:
    told = provenances(world, waiting=2)
    for name in "123":
        told.settle_soon(intent(name), 7)

    await told.close()

    assert [each.id for each in world.settled] == ["1", "2", "3"]
    assert sorted(world.struck) == ["1", "2"]


async def test_what_this_intent_did_not_bring_is_not_told(world: World) -> None:
    told = provenances(world)

    await told.settle(intent("1"), 7, left_out={"1.2.1"})
    await told.close()

    assert (world.settled, world.written, world.struck) == ([], [], ["1"])


async def test_what_somebody_finished_already_is_told_once(world: World) -> None:
    told = provenances(world)
    await told.settle(intent("1"), 7, again=True)

    await told.settle(intent("1"), 0, left_out={"1.2.1"}, again=True)
    assert world.struck == []
    await told.close()

    assert len(world.written) == 1
    assert world.struck == ["1"]


async def test_deleting_and_replacing_are_told_as_such(world: World) -> None:
    told = provenances(world)
    removed = (RemovedInstance("1.2.9", "1.1", "v"),)
    replacing = IntendedInstance("1.2.8", "1.1", "1.0", "1.0", "k", 1, "ab", "v", LEASE, "before")

    await told.settle(intent("1", instances=(), removed=removed), 7)
    told.settle_soon(intent("2", instances=(replacing,)), 8)
    await told.close()

    codes = {each["activity"]["coding"][0]["code"]: entities(each) for each in world.written}
    assert codes == {"DELETE": {"urn:oid:1.2.9"}, "UPDATE": {"urn:oid:1.2.8"}}


async def test_unless_it_is_active_intents_are_struck_out_at_once(world: World) -> None:
    told = provenances(world, active=False)

    told.settle_soon(intent("1"), 7)
    await told.settle(intent("2"), 7)
    await told.close()

    assert (world.settled, world.written, world.struck) == ([], [], ["1", "2"])
