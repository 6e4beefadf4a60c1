"""One thing is made ahead, never two, and nothing is left running."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.services.read_ahead import read_ahead


class Source:
    """Counts what it made, and whether it was closed."""

    def __init__(self, number: int, *, fails_at: int | None = None) -> None:
        self.made = 0
        self.closed = False
        self._number = number
        self._fails_at = fails_at

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self._number):
                await asyncio.sleep(0)
                if number == self._fails_at:
                    raise ValueError("cannot go on")
                self.made += 1
                yield number
        finally:
            self.closed = True


async def test_everything_comes_in_order() -> None:
    source = Source(5)

    assert [each async for each in read_ahead(source.items())] == [0, 1, 2, 3, 4]
    assert source.closed


async def test_the_next_is_made_while_one_is_used_and_no_more() -> None:
    source = Source(5)
    ahead = read_ahead(source.items())

    assert await anext(ahead) == 0
    for _ in range(20):
        await asyncio.sleep(0)

    assert source.made == 2
    await ahead.aclose()


async def test_who_leaves_early_closes_the_source() -> None:
    source = Source(5)
    ahead = read_ahead(source.items())
    await anext(ahead)

    await ahead.aclose()

    assert source.closed


async def test_a_failure_comes_when_its_turn_comes() -> None:
    source = Source(5, fails_at=2)
    ahead = read_ahead(source.items())

    assert [await anext(ahead), await anext(ahead)] == [0, 1]
    with pytest.raises(ValueError, match="cannot go on"):
        await anext(ahead)
    assert source.closed


async def test_a_failure_that_nobody_waits_for_is_no_noise() -> None:
    source = Source(5, fails_at=1)
    ahead = read_ahead(source.items())
    await anext(ahead)
    for _ in range(5):
        await asyncio.sleep(0)

    await ahead.aclose()  # and the loop has nothing to say of a failure that was never looked at
