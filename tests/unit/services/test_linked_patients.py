"""A Patient that changes while a study is being linked to it is looked at again."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.errors import FhirUnavailable
from app.services.linked_patients import LinkedPatients


class World:
    """A FHIR server with Patients by version, and whose change was heard of."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.asked = 0
        self.heard: list[str] = []

    async def ask(self, questions: Sequence[Any]) -> list[Any]:
        self.asked += 1
        (question,) = questions
        ids = question.params["_id"].split(",")
        return [[{"id": k, "meta": {"versionId": self.versions[k]}} for k in ids]]

    async def changed(self, patient_id: str) -> None:
        self.heard.append(patient_id)


async def test_only_those_that_changed_meanwhile_are_followed() -> None:
    fake: Any = World()
    world: World = fake
    linked = LinkedPatients(fake)
    for number in range(250):
        linked.note({"id": str(number), "meta": {"versionId": "3"}})
        world.versions[str(number)] = "3"
    linked.note({"id": "made"})
    world.versions |= {"made": "1", "7": "4"}

    await linked.look(world.changed, after=0)
    await linked.look(world.changed, after=0)

    assert world.heard == ["7"]
    assert world.asked == 3


async def test_a_server_that_is_down_is_asked_again() -> None:
    fake: Any = World()
    world: World = fake
    linked = LinkedPatients(fake)
    linked.note({"id": "made"})
    world.versions["made"] = "2"

    async def down(_: str) -> None:
        raise FhirUnavailable("down")

    with pytest.raises(FhirUnavailable):
        await linked.look(down, after=0)
    await linked.look(world.changed, after=0)

    assert world.heard == ["made"]
