"""Lets a bounded number of STOW requests in; the others wait a little and then hear 503."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Busy
from app.limits import Limits


class Admission:
    """The turnstile before the write path: back-pressure before memory grows."""

    def __init__(self, limits: Limits) -> None:
        """Admit `limits.store_requests` at once."""
        self._slots = asyncio.Semaphore(limits.store_requests)
        self._wait_seconds = limits.store_wait_seconds

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Hold a place for the time of the block. Raises Busy."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._slots.acquire()
        except TimeoutError as exc:
            raise Busy("Too many STOW requests at once.", retry_after=5) from exc
        try:
            yield
        finally:
            self._slots.release()
