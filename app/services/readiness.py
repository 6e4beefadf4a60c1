"""Tells whether each store behind can be used now."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.errors import CoregisterError

CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class StoreState:
    """One store's state: `ok`, or why not."""

    ok: bool
    detail: str = ""


class Readiness:
    """Asks every store, at once and with a time limit."""

    def __init__(self, checks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        """Name each store and the call that fails where it cannot be used."""
        self._checks = dict(checks)

    async def check(self) -> dict[str, StoreState]:
        """Return the state of each store by name."""
        states = await asyncio.gather(*(self._one(check) for check in self._checks.values()))
        return dict(zip(self._checks, states, strict=True))

    async def _one(self, check: Callable[[], Awaitable[None]]) -> StoreState:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check()
        except CoregisterError as error:
            return StoreState(ok=False, detail=error.message)
        except TimeoutError:
            return StoreState(ok=False, detail="no answer in time")
        return StoreState(ok=True)
