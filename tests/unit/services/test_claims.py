import asyncio

import pytest

from app.services.claims import Claims


async def test_overlapping_claims_wait_for_each_other() -> None:
    claims = Claims()
    events: list[str] = []

    async def work(name: str, uids: list[str]) -> None:
        async with claims.hold(uids):
            events.append(f"{name} in")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            events.append(f"{name} out")

    await asyncio.gather(work("a", ["1", "2"]), work("b", ["2", "3"]), work("c", ["3", "1"]))

    assert len(events) == 6
    for first, second in zip(events[::2], events[1::2], strict=True):
        assert first.split()[0] == second.split()[0]


async def test_claims_of_different_instances_run_together() -> None:
    claims = Claims()
    async with claims.hold(["1"]), asyncio.timeout(1), claims.hold(["2"]):
        pass


async def test_a_failure_inside_lets_go() -> None:
    claims = Claims()
    with pytest.raises(ValueError, match="boom"):
        async with claims.hold(["1"]):
            raise ValueError("boom")
    async with asyncio.timeout(1), claims.hold(["1"]):
        pass
