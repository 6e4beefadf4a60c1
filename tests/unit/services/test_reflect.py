"""Changes are followed once each, and none holds up another."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.errors import FhirUnavailable, VersionConflict
from app.limits import Limits
from app.services import reflect as module
from app.services.problems import ProblemRecord
from app.services.reflect import Reflect

Handler = Callable[[str], Awaitable[None]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.001)


@dataclass
class Noted:
    records: list[ProblemRecord] = field(default_factory=list)

    def note(self, record: ProblemRecord) -> None:
        self.records.append(record)


def reflecting(
    handler: Handler, noted: Noted | None = None, registry: CollectorRegistry | None = None
) -> Reflect:
    problems: Any = noted or Noted()
    return Reflect(
        {"Patient": handler},
        problems=problems,
        limits=Limits(changes_at_once=2),
        registry=registry or CollectorRegistry(),
    )


async def test_changes_that_wait_for_their_turn_are_one() -> None:
    followed: list[str] = []
    gate = asyncio.Event()

    async def handler(resource_id: str) -> None:
        followed.append(resource_id)
        await gate.wait()

    reflect = reflecting(handler)
    tasks = [asyncio.create_task(reflect.handle("Patient", "a"))]
    await asyncio.sleep(0.01)  # the first one is under way: what comes now may be news to it
    tasks += [asyncio.create_task(reflect.handle("Patient", "a")) for _ in range(50)]
    await asyncio.sleep(0.01)
    gate.set()

    assert all(await asyncio.gather(*tasks))
    assert followed == ["a", "a"]


async def test_one_resource_is_never_followed_twice_at_once() -> None:
    under_way = most = 0

    async def handler(_: str) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.005)
        under_way -= 1

    reflect = reflecting(handler)
    for _ in range(4):
        asyncio.create_task(reflect.handle("Patient", "a"))  # noqa: RUF006
        await asyncio.sleep(0.003)
    await reflect.close()

    assert most == 1


async def test_what_fails_for_a_moment_is_tried_again() -> None:
    tries = 0
    noted = Noted()

    async def handler(_: str) -> None:
        nonlocal tries
        tries += 1
        if tries < module.TRIES:
            raise VersionConflict("others write it")

    assert await reflecting(handler, noted).handle("Patient", "a")
    assert tries == module.TRIES
    assert noted.records == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [(FhirUnavailable("down"), "transient-retry"), (KeyError("name"), "transient-failure")],
)
async def test_what_keeps_failing_is_told_and_noted(error: Exception, kind: str) -> None:
    noted = Noted()
    registry = CollectorRegistry()

    async def handler(_: str) -> None:
        raise error

    assert not await reflecting(handler, noted, registry).handle("Patient", "Smith")
    assert [each.kind for each in noted.records] == [kind]
    assert "Smith" not in str(noted.records)
    labels = {"resource_type": "Patient", "outcome": "failed"}
    assert registry.get_sample_value("coregister_changes_total", labels) == 1


async def test_a_poisoned_resource_does_not_hold_up_others() -> None:
    async def handler(resource_id: str) -> None:
        if resource_id == "poisoned":
            raise ValueError(resource_id)
        await asyncio.sleep(0)

    reflect = reflecting(handler)
    ids = ["a", "poisoned", "b", "poisoned", "c"]
    done = await asyncio.gather(*(reflect.handle("Patient", each) for each in ids))

    assert done == [True, False, True, False, True]


async def test_no_more_are_followed_at_once_than_the_limit_says() -> None:
    under_way = most = 0

    async def handler(_: str) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1

    reflect = reflecting(handler)
    await asyncio.gather(*(reflect.handle("Patient", str(number)) for number in range(20)))

    assert most == 2
