"""One request at a time for each SOP Instance UID, inside this process.

Two clients that send the same instance at once must not both find it unknown. Between processes the study's
version decides (see `app.services.commit`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager


class Claims:
    """Who is storing which instance at the moment."""

    def __init__(self) -> None:
        """Start with nothing claimed."""
        self._held: dict[str, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def hold(self, sop_instance_uids: Iterable[str]) -> AsyncIterator[None]:
        """Hold all these UIDs for the time of the block; wait until others let go of them.

        They are taken together or not at all, so that two requests cannot wait for each other.
        """
        wanted = set(sop_instance_uids)
        while busy := [self._held[uid] for uid in wanted if uid in self._held]:
            await asyncio.wait(busy)
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.update(dict.fromkeys(wanted, released))
        try:
            yield
        finally:
            for uid in wanted:
                del self._held[uid]
            released.set_result(None)
