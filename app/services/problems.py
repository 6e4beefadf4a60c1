"""Keeps records of what went wrong, so that an operator can find it, mend it and have it tried again.

Strategy: noting a problem is adding to a table in memory, which never waits and never fails; twice a second
what has collected is added to the documents, each guarded by the write that was looked at, because other
workers count there too. What could not be written stays for the next turn. Where the table is full, problems
that are in it are still counted; of others only the metric tells.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter

from app.errors import CoregisterError
from app.index.problem_records import (
    ProblemRecord,
    ProblemSearch,
    Sighting,
    problem_document,
    resolved,
    search_body,
)
from app.limits import Limits
from app.stores.elasticsearch import ElasticsearchIndex, Place, Write

__all__ = ["ProblemPage", "ProblemRecord", "ProblemSearch", "Problems"]

PROBLEMS = "problems"
PERIOD_SECONDS = 0.5
AT_ONCE = 500  # documents of one request

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """Records that were found, the ones seen last first."""

    rows: Sequence[Mapping[str, Any]]
    total: int
    last: tuple[int, str] | None  # where the next page begins; None where there is none


class Problems:
    """The records of problems."""

    def __init__(
        self, index: ElasticsearchIndex, limits: Limits, registry: CollectorRegistry
    ) -> None:
        """Keep them in `index`, and count them in `registry`."""
        self._index = index
        self._most = limits.problems_waiting
        self._waiting: dict[str, Sighting] = {}
        self._writing = asyncio.Lock()
        self._counted = Counter(
            "coregister_problems", "Problems with studies, by kind.", ["kind"], registry=registry
        )
        self._dropped = Counter(
            "coregister_problems_not_recorded",
            "Problems that were counted and of which no record was made.",
            registry=registry,
        )

    def note(self, record: ProblemRecord) -> None:
        """Remember that something went wrong; never waits, never fails. From the event loop only."""
        self._counted.labels(record.kind).inc()
        now = _now()
        self._join(record.identity, Sighting(record, 1, now, now))

    async def run_forever(self) -> None:
        """Write down what was noted, again and again."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write down what was noted until now; what cannot be written stays for the next time."""
        async with self._writing:
            taken, self._waiting = self._waiting, {}
            try:
                while taken:
                    part = dict(islice(taken.items(), AT_ONCE))
                    left = await self._write(part)
                    taken = {i: s for i, s in taken.items() if i not in part or i in left}
                    if left:
                        break  # other workers count the same problems at this moment
            except CoregisterError as error:
                log.warning("problems_not_written", count=len(taken), error=type(error).__name__)
            finally:
                for identity, sighting in taken.items():
                    self._join(identity, sighting)

    async def find(self, search: ProblemSearch) -> ProblemPage:
        """Return records, with all that was noted here until now. Raises IndexUnavailable."""
        await self.flush()
        hits = (await self._index.search(PROBLEMS, search_body(search)))["hits"]
        rows = [hit["_source"] for hit in hits["hits"]]
        more = len(rows) == search.limit
        last = tuple(hits["hits"][-1]["sort"]) if more and rows else None
        return ProblemPage(rows, hits["total"]["value"], last)

    async def resolve(self, identities: Sequence[str], *, before: str) -> int:
        """Close records that were not seen since `before` (RFC 3339, UTC); return how many.

        Raises IndexUnavailable.
        """
        places = await self._index.get_places(PROBLEMS, identities, fields=["*"])
        now = _now()
        writes = [
            Write("index", PROBLEMS, identity, resolved(place.source, now), guard=place.guard)
            for identity, place in places.items()
            if place.source["last_seen"] < before
        ]
        return sum(result.failure is None for result in await self._index.bulk(writes))

    async def _write(self, sightings: Mapping[str, Sighting]) -> dict[str, Sighting]:
        """Add sightings to their documents; return those that others were quicker with."""
        places = await self._index.get_places(PROBLEMS, list(sightings), fields=["*"])
        writes = [_write(identity, places.get(identity), s) for identity, s in sightings.items()]
        results = await self._index.bulk(writes)
        return {
            identity: sighting
            for (identity, sighting), result in zip(sightings.items(), results, strict=True)
            if result.failure is not None
        }

    def _join(self, identity: str, sighting: Sighting) -> None:
        known = self._waiting.get(identity)
        if known is not None:
            earlier, later = sorted((known, sighting), key=lambda each: each.last_seen)
            self._waiting[identity] = earlier.joined(later)
        elif len(self._waiting) < self._most:
            self._waiting[identity] = sighting
        else:
            self._dropped.inc(sighting.count)


def _write(identity: str, place: Place | None, sighting: Sighting) -> Write:
    if place is None:
        return Write("create", PROBLEMS, identity, problem_document(identity, None, sighting))
    document = problem_document(identity, place.source, sighting)
    return Write("index", PROBLEMS, identity, document, guard=place.guard)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
