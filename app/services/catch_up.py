"""Reads what was changed in FHIR, so that nothing is missed while nobody listened or a hook was lost.

Strategy: a durable cursor says for each type up to when everything was followed. In rounds, on a timer, the
worker that holds the cursor asks for the history since then, hands what concerns the archive to its handlers,
and moves the cursor when they are done: up to the time at which the FHIR server was asked, less an overlap,
because a transaction's resources bear the time at which it began. What could not be followed is remembered in
the cursor and tried again, ever more rarely, so that it holds up nobody else.

A hook only wakes: any worker that is called glances at the last seconds and moves no cursor. What was
followed is remembered for as long as it may be seen again. However much is changed, a type is read for a
small share of the time only.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import CollectorRegistry, Gauge

from app.errors import CoregisterError
from app.limits import Limits
from app.services.change_cursor import ChangeCursor, Cursor, Failed
from app.services.reflect import Reflect
from app.stores.hapi_history import Change, HapiHistory

GLANCE_SECONDS = 2.0  # how far a glance looks back before the one before it
PAUSE_SECONDS = 0.2  # between two glances: what comes meanwhile goes with the next
PAUSES = 20  # a glance that takes a second is followed by a pause of this many
ROUND_PAUSES = 50  # and a round by one of this many,
MOST_PERIODS = 6  # but of no more periods than this
SEEN = 50_000
AT_ONCE = 200  # changes that are followed before the lease is looked at
GLANCED = 20  # times as many that glances have found and that are not followed yet

Key = tuple[str, int]  # logical id and version
Pick = Callable[[Sequence[Change]], Awaitable[set[str]]]  # ids that have to be followed

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Reading:
    """How far one type is read, here."""

    due: float = 0.0  # time.monotonic() of its next turn in a round
    glanced: datetime | None = None  # the FHIR server's clock at the last glance
    seen: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    under_way: set[asyncio.Task[None]] = field(default_factory=set)  # what glances have found
    lost: set[str] = field(default_factory=set)  # of those, what could not be followed
    spent: float = 0.0  # seconds that the FHIR server took to answer, since the last turn


class CatchUp:
    """The reader of one worker."""

    def __init__(
        self,
        *,
        history: HapiHistory,
        cursor: ChangeCursor,
        reflect: Reflect,
        picks: Mapping[str, Pick],
        limits: Limits,
        registry: CollectorRegistry,
    ) -> None:
        """Hand changes to `reflect`; of a type in `picks`, those that it picks."""
        self._history = history
        self._cursor = cursor
        self._reflect = reflect
        self._picks = picks
        self._limits = limits
        self._overlap = timedelta(seconds=limits.changes_overlap_seconds)
        self._readings = {name: _Reading() for name in reflect.resource_types}
        self._woken: set[str] = set()
        self._wake = asyncio.Event()
        self._read_at = time.monotonic()
        lag = Gauge(
            "coregister_changes_lag_seconds",
            "Time since this worker last knew that the changes in FHIR are followed, by itself or another.",
            registry=registry,
        )
        lag.set_function(lambda: time.monotonic() - self._read_at)

    def wake(self, resource_type: str) -> None:
        """Have the latest changes of a type read soon. Never waits; a type nobody follows is no news."""
        if resource_type in self._readings:
            self._woken.add(resource_type)
            self._wake.set()

    async def run_forever(self) -> None:
        """Read when woken and on the timer; a store that is down is asked again next time."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._glances())
            tasks.create_task(self._rounds())

    async def run_once(self, *, all_types: bool = False) -> bool:
        """Carry out a round of what is due; tell whether this worker holds the cursor.

        Raises FhirUnavailable, IndexUnavailable, VersionConflict where another worker took over.
        """
        now = time.monotonic()
        due = [name for name, each in self._readings.items() if all_types or each.due <= now]
        cursor = await self._cursor.take()
        if cursor is None:
            self._postpone(due)
            self._read_at = time.monotonic()  # somebody else sees to it
            return False
        for resource_type in due:
            reading = self._readings[resource_type]
            reading.spent = 0.0
            cursor = await self._catch_up(resource_type, cursor)
            period = self._limits.changes_seconds
            pause = min(max(period, ROUND_PAUSES * reading.spent), MOST_PERIODS * period)
            reading.due = time.monotonic() + pause
        self._read_at = time.monotonic()
        return True

    async def close(self) -> None:
        """Wait for what glances have found, and let another worker read."""
        while found := {task for each in self._readings.values() for task in each.under_way}:
            await asyncio.wait(found)
        with suppress(CoregisterError):
            await self._cursor.release()

    async def _rounds(self) -> None:
        while True:
            try:
                await self.run_once()
            except CoregisterError as error:
                log.warning("changes_not_read", error=type(error).__name__)
                self._postpone(self._readings)
            except Exception:
                # a reader that ended would be noticed by nobody until corrections are missed
                log.exception("changes_reader_failed")
                self._postpone(self._readings)
            next_due = min(reading.due for reading in self._readings.values())
            await asyncio.sleep(max(PAUSE_SECONDS, next_due - time.monotonic()))

    async def _glances(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            woken, self._woken = self._woken, set()
            pause = PAUSE_SECONDS
            for resource_type in woken:
                reading = self._readings[resource_type]
                reading.spent = 0.0
                try:
                    await self._glance(resource_type)
                except Exception as error:  # noqa: BLE001 - the next round reads what this one missed
                    log.warning("changes_not_glanced_at", error=type(error).__name__)
                pause += PAUSES * reading.spent
            await asyncio.sleep(min(pause, self._limits.changes_seconds))

    def _postpone(self, names: Iterable[str]) -> None:
        for name in names:
            self._readings[name].due = time.monotonic() + self._limits.changes_seconds

    async def _glance(self, resource_type: str) -> None:
        """Find the changes of the last seconds; they are followed while others are looked for."""
        reading = self._readings[resource_type]
        if reading.glanced is None:
            reading.glanced = await self._history.now() - self._overlap
        start = reading.glanced - timedelta(seconds=GLANCE_SECONDS)
        asked: datetime | None = None
        async for at, changes in self._unseen(resource_type, start):
            if asked is None:
                asked = reading.glanced = at
            if len(reading.under_way) > GLANCED:
                return  # the round sees to the rest
            if not changes:
                continue
            _remember(reading, (each.key for each in changes))
            task = asyncio.create_task(self._follow_at_leisure(resource_type, changes))
            reading.under_way.add(task)
            task.add_done_callback(reading.under_way.discard)

    async def _follow_at_leisure(self, resource_type: str, changes: Sequence[Change]) -> None:
        reading = self._readings[resource_type]
        try:
            reading.lost |= await self._follow(resource_type, changes)
        except Exception as error:  # noqa: BLE001 - or the cursor would pass what was not followed
            log.warning("changes_not_picked", error=type(error).__name__)
            reading.lost |= {each.resource_id for each in changes}

    async def _catch_up(self, resource_type: str, cursor: Cursor) -> Cursor:
        """Follow everything since the cursor, and return where it is then."""
        reading = self._readings[resource_type]
        failed = {each.resource_id: each for each in cursor.failed_of(resource_type)}
        overdue = {each.resource_id for each in failed.values() if each.due <= datetime.now(UTC)}
        again = await self._follow_ids(resource_type, overdue)
        failed = {k: each for k, each in failed.items() if k in again or k not in overdue}
        start = cursor.positions.get(resource_type)
        asked: datetime | None = None
        handled: deque[Key] = deque(maxlen=SEEN)
        if start is None:
            asked = await self._history.now()
        else:
            async for at, changes in self._unseen(resource_type, start):
                asked = asked or at
                again |= await self._follow(resource_type, changes)
                handled.extend(each.key for each in changes)
                cursor = await self._cursor.renew(cursor)
        if reading.under_way:  # a glance was quicker with some of them
            await asyncio.wait(set(reading.under_way))
        lost, reading.lost = reading.lost, set()
        for resource_id in again | lost:
            failed[resource_id] = Failed.again(resource_type, resource_id, failed.get(resource_id))
        position = max(start or _LONG_AGO, (asked or datetime.now(UTC)) - self._overlap)
        if len(failed) > self._limits.changes_failed:
            log.error("changes_held_up", resource_type=resource_type, failed=len(failed))
            reading.seen.clear()
            return cursor
        cursor = await self._cursor.advance(cursor, resource_type, position, failed.values())
        _remember(reading, handled)
        return cursor

    async def _unseen(
        self, resource_type: str, start: datetime
    ) -> AsyncIterator[tuple[datetime, tuple[Change, ...]]]:
        """Yield changes since then that were not followed yet, some at a time, and when they were asked for."""
        reading = self._readings[resource_type]
        pages = self._history.since(resource_type, start)
        while True:
            began = time.monotonic()
            page = await anext(pages, None)
            reading.spent += time.monotonic() - began
            if page is None:
                return
            changes = [each for each in page.changes if each.key not in reading.seen]
            yield page.at, ()
            for at in range(0, len(changes), AT_ONCE):
                yield page.at, tuple(changes[at : at + AT_ONCE])

    async def _follow(self, resource_type: str, changes: Sequence[Change]) -> set[str]:
        """Have the handlers follow changes; return the ids of those that could not be."""
        pick = self._picks.get(resource_type)
        ids = {each.resource_id for each in changes} if pick is None else await pick(changes)
        return await self._follow_ids(resource_type, ids)

    async def _follow_ids(self, resource_type: str, ids: Iterable[str]) -> set[str]:
        keys = list(ids)
        done = await asyncio.gather(*(self._reflect.handle(resource_type, each) for each in keys))
        return {each for each, well in zip(keys, done, strict=True) if not well}


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _remember(reading: _Reading, keys: Iterable[Key]) -> None:
    for key in keys:
        reading.seen[key] = None
        reading.seen.move_to_end(key)
    while len(reading.seen) > SEEN:
        reading.seen.popitem(last=False)


async def existing_before(changes: Sequence[Change]) -> set[str]:
    """Return the ids of Patients, but of those just made only where they take the place of others."""
    return {each.resource_id for each in changes if each.version > 1 or each.linked}
