"""One worker moves the cursor at a time, and another takes over from one that is gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from app.errors import VersionConflict
from app.limits import Limits
from app.services.change_cursor import FIRST_PAUSE, LONGEST_PAUSE, ChangeCursor, Failed
from app.services.intents import Worker
from app.stores.elasticsearch import Guard, Place, Write, WriteResult

HERE = Worker.current()
ELSEWHERE = Worker("elsewhere", 1, 0.0)
DEAD = Worker(HERE.host, HERE.pid, HERE.started - 1)  # the process id is another's by now
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Documents:
    """Documents with optimistic concurrency control, as Elasticsearch has it."""

    kept: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    writes: int = 0

    async def get_places(self, _: str, ids: Sequence[str], **__: Any) -> dict[str, Place]:
        found = {key: self.kept[key] for key in ids if key in self.kept}
        return {key: Place(source, Guard(number, 1)) for key, (number, source) in found.items()}

    async def bulk(self, writes: Sequence[Write]) -> list[WriteResult]:
        (write,) = writes
        number, _ = self.kept.get(write.id, (None, None))
        expected = write.guard.seq_no if write.guard is not None else None
        if number != expected:
            return [WriteResult(409, "version_conflict_engine_exception")]
        assert write.source is not None
        self.writes += 1
        self.kept[write.id] = (self.writes, write.source)
        return [WriteResult(200)]


def cursor_of(documents: Documents, worker: Worker = HERE, **limits: Any) -> ChangeCursor:
    index: Any = documents
    return ChangeCursor(index, worker, Limits(**limits))


async def test_what_was_noted_is_there_when_it_is_taken_again() -> None:
    documents = Documents()
    held = await cursor_of(documents).take()
    assert held is not None
    failed = [Failed.again("Patient", "a", None)]
    await cursor_of(documents).advance(held, "Patient", AT, failed)
    await cursor_of(documents).advance(await taken(documents), "ServiceRequest", AT, ())

    again = await taken(documents)
    assert again.positions == {"Patient": AT, "ServiceRequest": AT}
    assert again.failed_of("Patient") == tuple(failed)
    assert again.failed_of("ServiceRequest") == ()


async def taken(documents: Documents) -> Any:
    found = await cursor_of(documents).take()
    assert found is not None
    return found


async def test_another_worker_waits_while_the_holder_lives() -> None:
    documents = Documents()
    await taken(documents)

    assert await cursor_of(documents, ELSEWHERE).take() is None


async def test_another_worker_takes_over_when_the_holder_is_dead() -> None:
    documents = Documents()
    assert await cursor_of(documents, DEAD).take() is not None

    assert await cursor_of(documents).take() is not None


async def test_another_worker_takes_over_when_the_lease_is_over() -> None:
    documents = Documents()
    assert await cursor_of(documents, ELSEWHERE).take() is not None
    assert await cursor_of(documents).take() is None
    number, source = documents.kept["fhir"]
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    documents.kept["fhir"] = (number, {**source, "lease_until": past})

    assert await cursor_of(documents).take() is not None


async def test_a_released_cursor_is_anybodys() -> None:
    documents = Documents()
    await taken(documents)
    await cursor_of(documents).release()

    assert await cursor_of(documents, ELSEWHERE).take() is not None


async def test_who_lost_the_cursor_cannot_move_it() -> None:
    documents = Documents()
    stale = await taken(documents)
    await cursor_of(documents).release()
    await cursor_of(documents, ELSEWHERE).take()

    with pytest.raises(VersionConflict):
        await cursor_of(documents).advance(stale, "Patient", AT, ())
    with pytest.raises(VersionConflict):
        await cursor_of(documents).renew(_nearly_over(stale))


async def test_a_lease_is_renewed_only_when_half_of_it_is_over() -> None:
    documents = Documents()
    held = await taken(documents)
    writes = documents.writes

    assert await cursor_of(documents).renew(held) is held
    assert documents.writes == writes
    renewed = await cursor_of(documents).renew(_nearly_over(held))
    assert renewed.lease_until > datetime.now(UTC) + timedelta(seconds=20)
    assert documents.writes == writes + 1


def _nearly_over(cursor: Any) -> Any:
    return type(cursor)(datetime.now(UTC), cursor.positions, cursor.failed)


def test_what_fails_is_tried_ever_more_rarely() -> None:
    failed = Failed.again("Patient", "a", None)
    pauses = []
    for _ in range(30):
        pauses.append(failed.due - datetime.now(UTC))
        failed = Failed.again("Patient", "a", failed)

    assert pauses[0] <= FIRST_PAUSE
    assert pauses == sorted(pauses, key=lambda pause: round(pause.total_seconds()))
    assert LONGEST_PAUSE - timedelta(seconds=5) < pauses[-1] <= LONGEST_PAUSE
    assert failed.tries == 31


def test_this_process_is_alive() -> None:
    """The worker that stands for a dead one differs from this one by its start alone."""
    assert psutil.Process(HERE.pid).create_time() == HERE.started
    assert DEAD.gone(HERE)
    assert not HERE.gone(HERE)
