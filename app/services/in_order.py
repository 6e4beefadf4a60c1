"""Does several things at once, and hands on what came of them in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_order(
    deeds: Iterable[Coroutine[Any, Any, T]], *, at_once: int
) -> AsyncGenerator[asyncio.Task[T], None]:
    """Yield the finished task of each deed, in their order; of at most `at_once` unfinished ones.

    Leaving early cancels what is under way.
    """
    waiting = deque[asyncio.Task[T]]()
    coming = iter(deeds)
    try:
        while True:
            while len(waiting) < at_once and (deed := next(coming, None)) is not None:
                waiting.append(asyncio.create_task(deed))
            if not waiting:
                return
            await asyncio.wait([waiting[0]])
            yield waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
