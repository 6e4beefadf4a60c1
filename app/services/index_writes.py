"""Writes of which the study knows already: they are tried again, because giving up leaves work for recovery."""

from collections.abc import Sequence

import stamina

from app.errors import IndexUnavailable
from app.stores.elasticsearch import Write, WriteResult
from app.stores.lane import Lane

TRIES = 6


async def insist(lane: Lane, writes: Sequence[Write]) -> list[WriteResult]:
    """Write until none fails; return what became of each. Raises IndexUnavailable after some tries."""
    results: dict[int, WriteResult] = {}
    left = list(range(len(writes)))
    async for attempt in stamina.retry_context(
        on=IndexUnavailable, attempts=TRIES, timeout=None, wait_initial=0.1, wait_max=3.0
    ):
        with attempt:
            results |= zip(left, await lane.write([writes[n] for n in left]), strict=True)
            left = [n for n in left if results[n].failed]
            if left:
                raise IndexUnavailable("Elasticsearch refused a write.", retry_after=5)
    return [results[n] for n in range(len(writes))]
