import asyncio

import pytest

from app.errors import IndexUnavailable
from app.stores.freshness import Freshness


class Archive:
    """Writes become visible to searches with a refresh that begins after them."""

    def __init__(self) -> None:
        self.written = self.visible = self.refreshes = self.running = 0
        self.down = False

    async def refresh(self) -> None:
        assert self.running == 0
        self.running = 1
        seen = self.written
        await asyncio.sleep(0.001)
        self.running = 0
        if self.down:
            raise IndexUnavailable("down")
        self.visible = max(self.visible, seen)
        self.refreshes += 1


async def test_whoever_reads_after_a_write_sees_it() -> None:
    """P1: also a reader that comes while a refresh from before the write is still running."""
    archive = Archive()
    freshness = Freshness(archive.refresh)

    async def write_then_read(pause: float) -> None:
        await asyncio.sleep(pause)
        archive.written += 1
        mine = archive.written
        await freshness.ensure()
        assert archive.visible >= mine

    await asyncio.gather(*(write_then_read(n * 0.0002) for n in range(200)))


async def test_readers_share_refreshes() -> None:
    archive = Archive()
    freshness = Freshness(archive.refresh)
    await asyncio.gather(*(freshness.ensure() for _ in range(100)))
    assert archive.refreshes <= 2


async def test_a_failure_reaches_the_readers_and_the_next_ones_try_again() -> None:
    archive = Archive()
    freshness = Freshness(archive.refresh)
    archive.down = True
    results = await asyncio.gather(*(freshness.ensure() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, IndexUnavailable) for result in results)

    archive.down = False
    await freshness.ensure()
    assert archive.refreshes == 1


async def test_a_reader_that_goes_away_does_not_take_the_others_refresh_with_it() -> None:
    archive = Archive()
    freshness = Freshness(archive.refresh)
    gone = asyncio.create_task(freshness.ensure())
    stays = asyncio.create_task(freshness.ensure())
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await stays
    assert archive.refreshes >= 1
