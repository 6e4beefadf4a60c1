import asyncio
from collections.abc import Sequence

import pytest

from app.errors import IndexUnavailable
from app.stores.elasticsearch import Write, WriteResult
from app.stores.lane import Lane, Lookup


class SlowIndex:
    """Records each bulk request; answers when told to."""

    def __init__(self) -> None:
        self.bulks: list[list[str]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def bulk(self, writes: Sequence[Write]) -> list[WriteResult]:
        self.bulks.append([write.id for write in writes])
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return [WriteResult(status=int(write.id)) for write in writes]


def writes(*ids: int) -> list[Write]:
    return [Write("index", "x", str(i), {}) for i in ids]


async def test_what_arrives_meanwhile_shares_the_next_request() -> None:
    index = SlowIndex()
    lane = Lane(index)  # type: ignore[arg-type]
    first = asyncio.create_task(lane.write(writes(1)))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(lane.write(writes(i, i + 10))) for i in (2, 3, 4)]
    await asyncio.sleep(0.01)
    index.go.set()

    assert [r.status for r in await first] == [1]
    assert [[r.status for r in await task] for task in later] == [[2, 12], [3, 13], [4, 14]]
    assert index.bulks == [["1"], ["2", "12", "3", "13", "4", "14"]]


async def test_a_request_is_bounded_and_order_kept() -> None:
    index = SlowIndex()
    index.go.set()
    lane = Lane(index, bulk_writes=3)  # type: ignore[arg-type]
    await asyncio.gather(*(lane.write(writes(i)) for i in range(8)))

    assert [i for bulk in index.bulks for i in bulk] == [str(i) for i in range(8)]
    assert max(len(bulk) for bulk in index.bulks) <= 3


async def test_a_failure_reaches_everybody_who_waits_and_the_lane_goes_on() -> None:
    index = SlowIndex()
    index.error = IndexUnavailable("down")
    index.go.set()
    lane = Lane(index)  # type: ignore[arg-type]
    results = await asyncio.gather(
        *(lane.write(writes(i)) for i in range(3)), return_exceptions=True
    )
    assert all(isinstance(result, IndexUnavailable) for result in results)

    index.error = None
    assert [r.status for r in await lane.write(writes(7))] == [7]


async def test_one_who_goes_away_does_not_disturb_the_others() -> None:
    index = SlowIndex()
    lane = Lane(index)  # type: ignore[arg-type]
    gone = asyncio.create_task(lane.write(writes(1)))
    stays = asyncio.create_task(lane.write(writes(2)))
    await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    index.go.set()
    assert [r.status for r in await stays] == [2]


class Documents:
    """Answers look-ups; counts the requests."""

    def __init__(self, documents: dict[str, dict[str, str]]) -> None:
        self.documents = documents
        self.requests = 0

    async def get_many(
        self, name: str, ids: Sequence[str], *, fields: Sequence[str]
    ) -> dict[str, dict[str, str]]:
        assert (name, fields) == ("instances", ["sha256"])
        self.requests += 1
        await asyncio.sleep(0.001)
        return {key: self.documents[key] for key in ids if key in self.documents}


async def test_look_ups_share_requests_and_each_gets_its_own() -> None:
    index = Documents({str(n): {"sha256": f"digest {n}"} for n in range(0, 100, 2)})
    lookup = Lookup(index, "instances", fields=["sha256"])  # type: ignore[arg-type]
    found = await asyncio.gather(*(lookup.get([str(n), str(n + 1)]) for n in range(99)))

    for n, each in enumerate(found):
        even = n + n % 2
        assert each == ({str(even): {"sha256": f"digest {even}"}} if even < 100 else {})
    assert index.requests <= 3


async def test_writes_at_leisure_go_with_the_next_request_behind_what_is_waited_for() -> None:
    index = SlowIndex()
    index.go.set()
    lane = Lane(index)  # type: ignore[arg-type]
    lane.write_at_leisure(writes(7))
    lane.write_at_leisure(writes(8))

    assert [result.status for result in await lane.write(writes(1))] == [1]
    assert index.bulks == [["1", "7", "8"]]
    await lane.close()
    assert index.bulks == [["1", "7", "8"]]


async def test_writes_at_leisure_go_soon_where_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.stores.lane.LEISURE_SECONDS", 0.01)
    index = SlowIndex()
    index.go.set()
    lane = Lane(index)  # type: ignore[arg-type]
    lane.write_at_leisure(writes(7))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if index.bulks:
            break

    assert index.bulks == [["7"]]
    await lane.close()


async def test_writes_at_leisure_are_carried_out_when_the_lane_is_closed() -> None:
    index = SlowIndex()
    index.go.set()
    lane = Lane(index)  # type: ignore[arg-type]
    lane.write_at_leisure(writes(7))
    await lane.close()

    assert index.bulks == [["7"]]


async def test_a_failure_of_writes_at_leisure_harms_nobody() -> None:
    index = SlowIndex()
    index.error = IndexUnavailable("down")
    index.go.set()
    lane = Lane(index)  # type: ignore[arg-type]
    lane.write_at_leisure(writes(7))
    await lane.close()
    index.error = None

    assert [result.status for result in await lane.write(writes(1))] == [1]
