import asyncio

import pytest

from app.services.in_order import in_order


async def test_results_come_in_order_and_no_more_than_allowed_are_under_way() -> None:
    under_way, most = 0, 0

    async def deed(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(10 - number):
            await asyncio.sleep(0)
        under_way -= 1
        return number

    results = [task.result() async for task in in_order(map(deed, range(10)), at_once=3)]

    assert results == list(range(10))
    assert most == 3


async def test_an_error_is_found_where_its_result_would_be() -> None:
    async def deed(number: int) -> int:
        if number == 1:
            raise LookupError
        return number

    tasks = [task async for task in in_order(map(deed, range(3)), at_once=2)]

    assert tasks[0].result() == 0
    with pytest.raises(LookupError):
        tasks[1].result()
    assert tasks[2].result() == 2


async def test_leaving_early_cancels_what_is_under_way() -> None:
    ended = []

    async def deed(number: int) -> int:
        try:
            await asyncio.sleep(0 if number == 0 else 600)
        finally:
            ended.append(number)
        return number

    going = in_order(map(deed, range(5)), at_once=2)
    async for task in going:
        assert task.result() == 0
        await asyncio.sleep(0)
        break
    await going.aclose()

    assert set(ended) >= {0, 1}
    assert 4 not in ended
