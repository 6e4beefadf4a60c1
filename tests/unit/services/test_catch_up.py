"""Nothing that was changed in FHIR is missed, and what was followed is not followed again and again."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.errors import FhirUnavailable
from app.limits import Limits
from app.services.catch_up import CatchUp, existing_before
from app.services.change_cursor import Cursor, Failed
from app.stores.hapi_history import Change, ChangePage

T0 = datetime(2026, 1, 1, tzinfo=UTC)
OVERLAP = 30.0
PAGE = 3


def change(resource_id: str, version: int = 2, **more: Any) -> Change:
    return Change("Patient", resource_id, version, deleted=False, **more)


@dataclass
class World:
    """A FHIR server's history, a cursor and handlers, with a clock that the test moves."""

    now: datetime = T0
    history: list[tuple[datetime, Change]] = field(default_factory=list)
    kept: Cursor | None = field(default_factory=lambda: Cursor(T0))  # None: another worker's
    followed: Counter[str] = field(default_factory=Counter)
    failing: set[str] = field(default_factory=set)
    down: bool = False
    asked: int = 0
    gate: asyncio.Event | None = None  # handlers wait for it
    resource_types: Sequence[str] = ("Patient",)

    def wrote(self, *changes: Change, ago: float = 0.0) -> None:
        at = self.now - timedelta(seconds=ago)
        self.history += [(at, each) for each in changes]
        self.history.sort(key=lambda entry: entry[0])

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def since(self, resource_type: str, start: datetime) -> AsyncIterator[ChangePage]:
        assert resource_type == "Patient"
        self.asked += 1
        if self.down:
            raise FhirUnavailable("down")
        found = [each for at, each in reversed(self.history) if at >= start]
        for place in range(0, max(len(found), 1), PAGE):
            yield ChangePage(self.now, tuple(found[place : place + PAGE]))

    async def handle(self, resource_type: str, resource_id: str) -> bool:
        assert resource_type == "Patient"
        if self.gate is not None:
            await self.gate.wait()
        self.followed[resource_id] += 1
        return resource_id not in self.failing

    async def take(self) -> Cursor | None:
        return self.kept

    async def renew(self, cursor: Cursor) -> Cursor:
        return cursor

    async def advance(
        self, cursor: Cursor, resource_type: str, position: datetime, failed: Any
    ) -> Cursor:
        self.kept = replace(cursor, positions={resource_type: position}, failed=tuple(failed))
        return self.kept

    async def release(self) -> None:
        pass

    def reader(self, **limits: Any) -> CatchUp:
        history: Any = _History(self)
        fake: Any = self
        return CatchUp(
            history=history,
            cursor=fake,
            reflect=fake,
            picks={"Patient": existing_before},
            limits=Limits(changes_overlap_seconds=OVERLAP, changes_seconds=0.01, **limits),
            registry=CollectorRegistry(),
        )


@dataclass
class _History:
    world: World

    def since(self, resource_type: str, start: datetime) -> AsyncIterator[ChangePage]:
        return self.world.since(resource_type, start)

    async def now(self) -> datetime:
        return self.world.now


@pytest.fixture
async def world() -> World:
    """A world whose cursor is at its beginning."""
    made = World()
    await made.reader().run_once(all_types=True)
    made.passes(60)
    return made


async def test_a_first_start_begins_now() -> None:
    world = World()
    world.wrote(change("before"), ago=3600)

    assert await world.reader().run_once(all_types=True)
    assert world.followed == {}
    assert world.kept is not None
    assert world.kept.positions == {"Patient": T0 - timedelta(seconds=OVERLAP)}


async def test_what_was_changed_while_nobody_ran_is_followed(world: World) -> None:
    for number in range(10):
        world.wrote(change(f"p{number}"))
        world.passes(3600)

    assert await world.reader().run_once(all_types=True)
    assert world.followed == {f"p{number}": 1 for number in range(10)}


async def test_the_same_is_not_followed_in_the_next_round(world: World) -> None:
    world.wrote(change("a"))
    reader = world.reader()
    for _ in range(3):
        await reader.run_once(all_types=True)
        world.passes(1)
    assert world.followed == {"a": 1}

    world.wrote(change("a", 3))
    await reader.run_once(all_types=True)
    assert world.followed == {"a": 2}


async def test_a_transaction_that_ended_after_its_time_is_found(world: World) -> None:
    reader = world.reader()
    world.wrote(change("early"))
    await reader.run_once(all_types=True)
    world.passes(OVERLAP - 1)
    world.wrote(change("late"), ago=OVERLAP - 2)
    await reader.run_once(all_types=True)

    assert world.followed == {"early": 1, "late": 1}


async def test_a_new_patient_is_no_news_but_where_it_replaces_others(world: World) -> None:
    world.wrote(change("new", 1), change("heir", 1, linked=True), change("old", 2))
    await world.reader().run_once(all_types=True)

    assert world.followed.keys() == {"heir", "old"}


async def test_a_failure_is_remembered_and_the_cursor_moves_on(world: World) -> None:
    world.failing = {"bad"}
    world.wrote(change("bad"), change("good"))
    reader = world.reader()
    await reader.run_once(all_types=True)
    kept = world.kept
    assert kept is not None
    assert [each.resource_id for each in kept.failed] == ["bad"]
    assert kept.positions["Patient"] == world.now - timedelta(seconds=OVERLAP)

    world.passes(3600)
    await reader.run_once(all_types=True)
    assert world.followed == {"bad": 1, "good": 1}  # not due yet

    world.failing = set()
    world.kept = replace(kept, failed=(Failed("Patient", "bad", 1, datetime.now(UTC)),))
    await reader.run_once(all_types=True)
    assert world.followed["bad"] == 2
    assert world.kept is not None
    assert world.kept.failed == ()


async def test_a_failure_that_fails_again_waits_longer(world: World) -> None:
    world.failing = {"bad"}
    assert world.kept is not None
    world.kept = replace(world.kept, failed=(Failed("Patient", "bad", 5, datetime.now(UTC)),))
    await world.reader().run_once(all_types=True)

    (failed,) = world.kept.failed
    assert failed.tries == 6
    assert failed.due > datetime.now(UTC) + timedelta(minutes=1)


async def test_the_cursor_stays_where_too_much_fails(world: World) -> None:
    """Nothing is forgotten because the list of what failed is full."""
    assert world.kept is not None
    before = world.kept.positions
    ids = [f"p{number}" for number in range(8)]
    world.failing = set(ids)
    world.wrote(*map(change, ids))
    reader = world.reader(changes_failed=5)
    await reader.run_once(all_types=True)
    assert world.kept.positions == before

    world.failing = set()
    await reader.run_once(all_types=True)
    assert world.followed == dict.fromkeys(ids, 2)
    assert world.kept.positions != before


async def test_the_cursor_moves_only_when_the_handlers_are_done(world: World) -> None:
    assert world.kept is not None
    before = world.kept.positions
    world.gate = asyncio.Event()
    world.wrote(change("a"))
    task = asyncio.create_task(world.reader().run_once(all_types=True))
    await asyncio.sleep(0.01)
    assert world.kept.positions == before

    world.gate.set()
    await task
    assert world.kept.positions != before


async def test_a_server_that_is_down_moves_nothing(world: World) -> None:
    assert world.kept is not None
    before = world.kept
    world.wrote(change("a"))
    world.down = True
    with pytest.raises(FhirUnavailable):
        await world.reader().run_once(all_types=True)
    assert world.kept == before

    world.down = False
    await world.reader().run_once(all_types=True)
    assert world.followed == {"a": 1}


async def test_another_workers_cursor_is_left_alone(world: World) -> None:
    world.kept = None
    world.wrote(change("a"))

    assert not await world.reader().run_once(all_types=True)
    assert world.followed == {}


@contextlib.asynccontextmanager
async def running(reader: CatchUp) -> AsyncIterator[None]:
    task = asyncio.create_task(reader.run_forever())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def test_a_hook_has_the_last_seconds_read_whoever_holds_the_cursor(world: World) -> None:
    world.kept = None
    world.wrote(change("long ago"), ago=3600)
    world.wrote(change("a"))
    reader = world.reader()
    async with running(reader):
        reader.wake("Patient")
        reader.wake("Patient")
        reader.wake("Observation")
        await until(lambda: bool(world.followed))
    await reader.close()

    assert world.followed == {"a": 1}


async def test_what_a_glance_could_not_follow_is_remembered(world: World) -> None:
    world.failing = {"bad"}
    world.wrote(change("bad"))
    reader = world.reader()
    async with running(reader):
        reader.wake("Patient")
        await until(lambda: bool(world.kept and world.kept.failed))


async def test_a_round_waits_for_what_a_glance_found(world: World) -> None:
    """The glance has seen it, so the round does not hand it over again, and yet must not pass it."""
    assert world.kept is not None
    mine, world.kept = world.kept, None
    world.gate = asyncio.Event()
    world.wrote(change("slow"))
    reader = world.reader()
    async with running(reader):
        reader.wake("Patient")
        await until(lambda: world.asked > 0)
        await asyncio.sleep(0.05)
    world.kept = mine
    task = asyncio.create_task(reader.run_once(all_types=True))
    await asyncio.sleep(0.05)
    assert world.kept.positions == mine.positions

    world.gate.set()
    await task
    assert world.kept.positions != mine.positions
    assert world.followed == {"slow": 1}


async def test_a_bug_does_not_end_the_reader(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [True]
    before = world.take

    async def take() -> Cursor | None:
        if broken:
            raise RuntimeError("a bug")
        return await before()

    monkeypatch.setattr(world, "take", take)
    reader = world.reader()
    async with running(reader):
        await asyncio.sleep(0.05)
        broken.clear()
        world.wrote(change("a"))
        await until(lambda: bool(world.followed))


async def test_what_a_glance_cannot_even_pick_is_remembered(world: World) -> None:
    assert world.kept is not None
    mine, world.kept = world.kept, None
    world.wrote(change("a"), change("b"))
    reader = world.reader()
    pick = reader._picks["Patient"]
    tries = 0

    async def picking(changes: Sequence[Change]) -> set[str]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("a bug")
        return await pick(changes)

    reader._picks = {"Patient": picking}
    async with running(reader):
        reader.wake("Patient")
        await until(lambda: tries == 1)
    world.kept = mine
    await reader.run_once(all_types=True)

    assert {each.resource_id for each in world.kept.failed} == {"a", "b"}
