"""Tries again what a store cannot do for the moment, as long as the one who waits has time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import CoregisterError, StoreUnavailable
from app.services.problems import ProblemRecord

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0

T = TypeVar("T")


async def patiently(
    work: Callable[[], Awaitable[T]],
    *,
    until: float,
    note: Callable[[StoreUnavailable], None],
) -> T:
    """Return what `work` returns; try it again, with growing pauses, `until` time.monotonic() is there.

    `note` is told of each failure that is not the last. Raises what `work` raises in the end.
    """
    longest = FIRST_PAUSE_SECONDS
    while True:
        pause = longest * (1 + random.random()) / 2  # noqa: S311  so that not all come back at once
        try:
            return await work()
        except StoreUnavailable as error:
            if time.monotonic() + pause > until:
                raise
            note(error)
        await asyncio.sleep(pause)
        longest = min(2 * longest, LONGEST_PAUSE_SECONDS)


def retried(study_instance_uid: str, error: StoreUnavailable) -> ProblemRecord:
    """Return the record of a failure after which it is tried again."""
    kind = type(error).__name__
    return ProblemRecord("transient-retry", study_instance_uid, error.message, value_class=kind)


def failed(study_instance_uid: str, error: CoregisterError) -> ProblemRecord:
    """Return the record of a failure that is left to recovery, or that recovery met."""
    kind = type(error).__name__
    return ProblemRecord("transient-failure", study_instance_uid, error.message, value_class=kind)
