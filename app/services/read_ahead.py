"""Has the next thing made while the one before is used."""

import asyncio
from collections.abc import AsyncGenerator
from enum import Enum, auto
from typing import TypeVar

T = TypeVar("T")


class _End(Enum):
    END = auto()


async def read_ahead(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield what `source` yields; while one is used, the next is already being made.

    Never more than one: what is made ahead is memory. Leaving early closes `source`.
    """

    async def following() -> T | _End:
        return await anext(source, _End.END)

    task = asyncio.create_task(following())
    try:
        while not isinstance(item := await task, _End):
            task = asyncio.create_task(following())
            yield item
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # taken note of: whoever leaves early does not care
        await source.aclose()
