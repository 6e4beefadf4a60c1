"""Coalesces the writes of many requests into few bulk requests.

Strategy: at most one bulk request is under way a lane; whatever arrives meanwhile forms the next one. So
a lone write goes out at once, and under load the cost of a request and of an fsync of the translog is
shared by all that waited.
"""

import asyncio
from collections.abc import Sequence

from app.stores.elasticsearch import ElasticsearchIndex, Write, WriteResult

Batch = tuple[Sequence[Write], "asyncio.Future[list[WriteResult]]"]


class Lane:
    """An order-keeping queue of writes in front of Elasticsearch."""

    def __init__(self, index: ElasticsearchIndex, *, bulk_writes: int = 500) -> None:
        """Write to `index`, at most about `bulk_writes` in one request."""
        self._index = index
        self._bulk_writes = bulk_writes
        self._waiting: list[Batch] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """Carry out the writes with the next bulk request. Raises IndexUnavailable."""
        future: asyncio.Future[list[WriteResult]] = asyncio.get_running_loop().create_future()
        self._waiting.append((writes, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._send(self._next_batches())
        finally:
            self._task = None

    def _next_batches(self) -> list[Batch]:
        """Take what waits, up to the size of one bulk request but at least one batch."""
        total = count = 0
        while count < len(self._waiting) and total < self._bulk_writes:
            total += len(self._waiting[count][0])
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _send(self, batches: list[Batch]) -> None:
        everything = [write for writes, _ in batches for write in writes]
        try:
            results = await self._index.bulk(everything)
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for _, future in batches:
                if not future.done():
                    future.set_exception(exc)
                    future.exception()  # a waiter that was cancelled must not cause a warning
            return
        position = 0
        for writes, future in batches:
            if not future.done():
                future.set_result(results[position : position + len(writes)])
            position += len(writes)
