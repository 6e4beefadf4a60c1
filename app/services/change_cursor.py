"""The durable place up to which changes in FHIR were followed, and which worker moves it.

Strategy: one document, changed under guard (Elasticsearch's optimistic concurrency control) by the worker
that holds its lease. When a worker dies, another one on the same machine takes it at once, elsewhere when the
lease is over.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from app.errors import VersionConflict
from app.limits import Limits
from app.services.intents import Worker
from app.stores.elasticsearch import ElasticsearchIndex, Place, Write

CHANGES = "changes"
CURSOR = "fhir"  # the document's id

LEASE_PERIODS = 3  # of asking; a worker that misses as many is taken for dead
SHORTEST_LEASE_SECONDS = 30.0
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Failed:
    """A changed resource that could not be followed, and when it is tried again."""

    resource_type: str
    resource_id: str
    tries: int
    due: datetime

    @classmethod
    def again(cls, resource_type: str, resource_id: str, before: Self | None) -> Self:
        """Return what to remember after another try has failed."""
        tries = 1 if before is None else before.tries + 1
        pause = min(FIRST_PAUSE * 2 ** min(tries - 1, 20), LONGEST_PAUSE)
        return cls(resource_type, resource_id, tries, datetime.now(UTC) + pause)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to when changes of each type were followed, but for those that failed."""

    lease_until: datetime
    positions: Mapping[str, datetime] = field(default_factory=dict)
    failed: tuple[Failed, ...] = ()

    def failed_of(self, resource_type: str) -> tuple[Failed, ...]:
        """Return the failed ones of a type."""
        return tuple(each for each in self.failed if each.resource_type == resource_type)


class ChangeCursor:
    """The cursor, as one worker sees it."""

    def __init__(self, index: ElasticsearchIndex, worker: Worker, limits: Limits) -> None:
        """Keep it in `index`, hold it as `worker`."""
        self._index = index
        self._worker = worker
        self._lease = timedelta(
            seconds=max(SHORTEST_LEASE_SECONDS, LEASE_PERIODS * limits.changes_seconds)
        )

    async def take(self) -> Cursor | None:
        """Return the cursor and hold it, or None while another worker does. Raises IndexUnavailable."""
        place = await self._place()
        if place is not None and not self._free(place.source):
            return None
        cursor = Cursor(datetime.now(UTC) + self._lease)
        if place is not None:
            cursor = replace(_cursor(place.source), lease_until=cursor.lease_until)
        return cursor if await self._write(cursor, place) else None

    async def renew(self, cursor: Cursor) -> Cursor:
        """Hold the cursor for longer where half of its time is over.

        Raises VersionConflict where another worker has taken it, IndexUnavailable.
        """
        now = datetime.now(UTC)
        if cursor.lease_until - now > self._lease / 2:
            return cursor
        return await self._held(replace(cursor, lease_until=now + self._lease))

    async def advance(
        self, cursor: Cursor, resource_type: str, position: datetime, failed: Iterable[Failed]
    ) -> Cursor:
        """Move a type's position, and remember what failed up to there. Raises as `renew` does."""
        others = [each for each in cursor.failed if each.resource_type != resource_type]
        return await self._held(
            Cursor(
                datetime.now(UTC) + self._lease,
                {**cursor.positions, resource_type: position},
                (*others, *failed),
            )
        )

    async def release(self) -> None:
        """Let another worker take it at once. Raises IndexUnavailable."""
        place = await self._place()
        if place is not None and _worker(place.source) == self._worker:
            await self._write(replace(_cursor(place.source), lease_until=datetime.now(UTC)), place)

    async def _held(self, cursor: Cursor) -> Cursor:
        place = await self._place()
        held = place is not None and _worker(place.source) == self._worker
        if not held or not await self._write(cursor, place):
            raise VersionConflict("Another worker reads the changes in FHIR.", retry_after=1)
        return cursor

    async def _place(self) -> Place | None:
        found = await self._index.get_places(CHANGES, [CURSOR], fields=["*"])
        return found.get(CURSOR)

    def _free(self, source: Mapping[str, Any]) -> bool:
        holder = _worker(source)
        over = datetime.fromisoformat(source["lease_until"]) < datetime.now(UTC)
        return over or holder == self._worker or holder.gone(self._worker)

    async def _write(self, cursor: Cursor, place: Place | None) -> bool:
        source = _source(cursor, self._worker)
        if place is None:
            write = Write("create", CHANGES, CURSOR, source)
        else:
            write = Write("index", CHANGES, CURSOR, source, guard=place.guard)
        (result,) = await self._index.bulk([write])
        return result.failure is None


def _worker(source: Mapping[str, Any]) -> Worker:
    return Worker(**source["worker"])


def _source(cursor: Cursor, worker: Worker) -> dict[str, Any]:
    return {
        "worker": {"host": worker.host, "pid": worker.pid, "started": worker.started},
        "lease_until": cursor.lease_until.isoformat(),
        "positions": {name: at.isoformat() for name, at in cursor.positions.items()},
        "failed": [
            [each.resource_type, each.resource_id, each.tries, each.due.isoformat()]
            for each in cursor.failed
        ],
    }


def _cursor(source: Mapping[str, Any]) -> Cursor:
    failed: Sequence[Sequence[Any]] = source["failed"]
    return Cursor(
        datetime.fromisoformat(source["lease_until"]),
        {name: datetime.fromisoformat(at) for name, at in source["positions"].items()},
        tuple(
            Failed(kind, key, tries, datetime.fromisoformat(due))
            for kind, key, tries, due in failed
        ),
    )
