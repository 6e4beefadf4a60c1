"""Records of problems are collected in memory, counted with those of other workers, and survive failures."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.errors import IndexUnavailable
from app.limits import Limits
from app.services.problems import ProblemRecord, Problems
from app.stores.elasticsearch import Guard, Place, Write, WriteResult

CONFLICT, OK, CREATED = 409, 200, 201
LATER = "2999-01-01T00:00:00.000Z"


class Index:
    """Documents with Elasticsearch's optimistic concurrency control."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[int, dict[str, Any]]] = {}
        self.down = False
        self.requests = 0

    async def get_places(self, _: str, ids: Sequence[str], **__: Any) -> dict[str, Place]:
        await asyncio.sleep(0)
        if self.down:
            raise IndexUnavailable("down")
        found = {i: self.documents[i] for i in ids if i in self.documents}
        return {i: Place(source, Guard(number, 1)) for i, (number, source) in found.items()}

    async def bulk(self, writes: Sequence[Write]) -> list[WriteResult]:
        await asyncio.sleep(0)
        self.requests += 1
        return [self._write(each) for each in writes]

    def _write(self, write: Write) -> WriteResult:
        number, _ = self.documents.get(write.id, (0, {}))
        guarded = write.guard.seq_no if write.guard is not None else 0
        if guarded != number or write.source is None:
            return WriteResult(CONFLICT, "version_conflict_engine_exception")
        self.documents[write.id] = (number + 1, dict(write.source))
        return WriteResult(OK if number else CREATED)

    @property
    def counts(self) -> dict[str, int]:
        sources: Sequence[Mapping[str, Any]] = [source for _, source in self.documents.values()]
        return {each["study_instance_uid"]: each["count"] for each in sources}


@pytest.fixture
def index() -> Index:
    return Index()


def problems(index: Index, registry: CollectorRegistry, waiting: int = 100) -> Problems:
    fake: Any = index
    return Problems(fake, Limits(problems_waiting=waiting), registry)


def record(study: int = 1) -> ProblemRecord:
    return ProblemRecord("invalid-tag", f"1.2.{study}", "A value is no date.", "00080020", "DA")


async def test_many_sightings_are_one_write(index: Index) -> None:
    noted = problems(index, CollectorRegistry())
    for _ in range(5_000):
        noted.note(record())
    await noted.flush()

    assert (index.counts, index.requests) == ({"1.2.1": 5_000}, 1)


async def test_workers_that_count_the_same_problem_at_once_lose_no_count(index: Index) -> None:
    workers = [problems(index, CollectorRegistry()) for _ in range(4)]
    for _ in range(10):
        for worker in workers:
            worker.note(record())
        await asyncio.gather(*(worker.flush() for worker in workers))
    for worker in workers:
        await worker.flush()

    assert index.counts == {"1.2.1": 40}


async def test_what_cannot_be_written_is_kept_and_counted_on(index: Index) -> None:
    noted = problems(index, CollectorRegistry())
    index.down = True
    noted.note(record())
    await noted.flush()
    noted.note(record())
    await noted.flush()
    assert index.counts == {}

    index.down = False
    await noted.flush()
    assert index.counts == {"1.2.1": 2}


async def test_a_flush_that_is_broken_off_loses_nothing(index: Index) -> None:
    noted = problems(index, CollectorRegistry())
    noted.note(record())
    flush = asyncio.create_task(noted.flush())
    await asyncio.sleep(0)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    await noted.flush()

    assert index.counts == {"1.2.1": 1}


async def test_a_full_table_counts_what_it_has_and_tells_what_it_drops(index: Index) -> None:
    registry = CollectorRegistry()
    noted = problems(index, registry, waiting=2)
    for study in (1, 2, 3, 3, 1):
        noted.note(record(study))
    await noted.flush()

    assert index.counts == {"1.2.1": 2, "1.2.2": 1}
    assert registry.get_sample_value("coregister_problems_not_recorded_total") == 2
    assert registry.get_sample_value("coregister_problems_total", {"kind": "invalid-tag"}) == 5


async def test_a_record_is_closed_unless_it_was_seen_since(index: Index) -> None:
    noted = problems(index, CollectorRegistry())
    noted.note(record())
    await noted.flush()
    (identity,) = index.documents

    assert await noted.resolve([identity], before="2000-01-01T00:00:00.000Z") == 0
    assert await noted.resolve([identity, "unknown"], before=LATER) == 1
    assert index.documents[identity][1]["state"] == "resolved"

    noted.note(record())
    await noted.flush()
    assert index.documents[identity][1]["state"] == "open"
