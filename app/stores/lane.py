"""Coalesces what many requests want of Elasticsearch into few requests.

Strategy: at most one request is under way a lane; whatever arrives meanwhile goes with the next one. So a lone
call goes out at once, and under load the cost of a request, and of an fsync where it writes, is shared by
all that waited. A call is answered by a request that began after it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from app.errors import CoregisterError
from app.stores.elasticsearch import ElasticsearchIndex, Write, WriteResult

LEISURE_SECONDS = 0.5  # how long a write may wait for another that somebody waits for

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """An order-keeping queue in front of a call that takes many items at once."""

    def __init__(
        self, send: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, most: int
    ) -> None:
        """Call `send` with at most about `most` items; it returns a result for each."""
        self._send = send
        self._most = most
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, items: Sequence[Item]) -> Sequence[Result]:
        """Return the results of these items, from the next call. Raises what the call raises."""
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
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
                await self._carry_out(self._next())
        finally:
            self._task = None

    def _next(self) -> list[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]]:
        """Take what waits, up to the size of one call but at least one batch."""
        total = count = 0
        while count < len(self._waiting) and total < self._most:
            total += len(self._waiting[count][0])
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _carry_out(
        self, batches: list[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]]
    ) -> None:
        try:
            results = await self._send([item for items, _ in batches for item in items])
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for _, future in batches:
                if not future.done():
                    future.set_exception(exc)
                    future.exception()  # a waiter that was cancelled must not cause a warning
            return
        position = 0
        for items, future in batches:
            if not future.done():
                future.set_result(results[position : position + len(items)])
            position += len(items)


class Lane:
    """Writes, in the order they come."""

    def __init__(self, index: ElasticsearchIndex, *, bulk_writes: int = 500) -> None:
        """Write to `index`, at most about `bulk_writes` in one request."""
        self._index = index
        self._writes = Coalescer[Write, WriteResult](self._send, most=bulk_writes)
        self._leisure: list[Write] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    def write_at_leisure(self, writes: Sequence[Write]) -> None:
        """Carry out the writes with the next request, or soon; nobody is told how they went."""
        self._leisure += writes
        if self._alarm is None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(LEISURE_SECONDS, self._flush_soon)

    async def write(self, writes: Sequence[Write]) -> Sequence[WriteResult]:
        """Carry out the writes with the next bulk request. Raises IndexUnavailable."""
        return await self._writes.submit(writes)

    async def close(self) -> None:
        """Carry out what is left, and wait for what is under way."""
        if self._flushing is not None:
            await self._flushing
        await self._flush()
        await self._writes.close()

    async def _send(self, writes: Sequence[Write]) -> Sequence[WriteResult]:
        """Send what somebody waits for, and behind it what nobody waits for."""
        leisure = self._take_leisure()
        results = await self._index.bulk([*writes, *leisure])
        return results[: len(writes)]

    def _take_leisure(self) -> list[Write]:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        taken, self._leisure = self._leisure, []
        return taken

    def _flush_soon(self) -> None:
        self._alarm = None
        self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        writes = self._take_leisure()
        if writes:
            try:
                await self._writes.submit(writes)
            except CoregisterError as error:
                log.warning("writes_at_leisure_lost", count=len(writes), error=type(error).__name__)


class Lookup:
    """Reads fields of documents by id, as of now."""

    def __init__(
        self, index: ElasticsearchIndex, name: str, *, fields: Sequence[str], most: int = 1_000
    ) -> None:
        """Read `fields` of documents of the index `name`."""
        self._index = index
        self._name = name
        self._fields = fields
        self._reads = Coalescer[str, dict[str, Any] | None](self._read, most=most)

    async def get(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return id → fields of those ids that exist. Raises IndexUnavailable."""
        found = await self._reads.submit(ids)
        return {key: source for key, source in zip(ids, found, strict=True) if source is not None}

    async def _read(self, ids: Sequence[str]) -> list[dict[str, Any] | None]:
        found = await self._index.get_many(self._name, ids, fields=self._fields)
        return [found.get(key) for key in ids]
