"""A bounded number of STOW requests is let in; the others wait, and then hear that it is busy."""

import asyncio

import pytest

from app.errors import Busy
from app.limits import Limits
from app.web.admission import Admission


def admission(*, at_once: int, wait: float = 30.0) -> Admission:
    return Admission(Limits(store_requests=at_once, store_wait_seconds=wait))


async def test_one_too_many_hears_503_and_when_to_come_again() -> None:
    turnstile = admission(at_once=1, wait=0.0)

    async with turnstile.enter():
        with pytest.raises(Busy) as refused:
            async with turnstile.enter():
                pytest.fail("two are in where one may be")

    assert (refused.value.status, refused.value.retry_after) == (503, 5)


async def test_one_who_waits_gets_in_when_another_leaves() -> None:
    turnstile = admission(at_once=1)
    inside, leave = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def visit(name: str) -> None:
        async with turnstile.enter():
            order.append(f"{name} in")
            inside.set()
            await leave.wait()
            order.append(f"{name} out")

    first = asyncio.create_task(visit("first"))
    await inside.wait()
    second = asyncio.create_task(visit("second"))
    await asyncio.sleep(0)
    assert order == ["first in"]
    leave.set()
    await asyncio.gather(first, second)

    assert order == ["first in", "first out", "second in", "second out"]


async def test_a_place_is_free_again_after_a_failure() -> None:
    turnstile = admission(at_once=1, wait=0.0)

    with pytest.raises(ValueError, match="within"):
        async with turnstile.enter():
            raise ValueError("within")

    async with turnstile.enter():
        pass


async def test_one_who_gives_up_waiting_takes_no_place() -> None:
    turnstile = admission(at_once=1)

    async with turnstile.enter():
        waiting = asyncio.create_task(turnstile.enter().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async with turnstile.enter():
        pass


async def test_as_many_as_the_limit_are_in_at_once() -> None:
    turnstile = admission(at_once=3, wait=0.0)

    async with turnstile.enter(), turnstile.enter(), turnstile.enter():
        with pytest.raises(Busy):
            async with turnstile.enter():
                pytest.fail("four are in where three may be")
