"""Makes searches see every write that was answered before them.

Strategy: a write is durable and readable by id when Elasticsearch answers it, but a search sees it only after
a refresh, which costs several times what the write did. So not the writer pays for it but the reader, and
only when there is something new: each search first asks for a refresh, which for an unchanged index is a
fraction of a millisecond. Readers share: whoever comes while a refresh runs waits for the next one, as the
one that runs may have begun before the write that this reader must see. Writes of other processes are
covered in the same way.
"""

import asyncio
from collections.abc import Awaitable, Callable


class Freshness:
    """Coalesces the refreshes of one index."""

    def __init__(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Call `refresh`, never twice at once."""
        self._refresh = refresh
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Return after a refresh that began after this call. Raises what `refresh` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        await asyncio.shield(self._next)

    async def _after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        await self._refresh()
