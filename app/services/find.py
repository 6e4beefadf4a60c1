"""Answers a QIDO query by carrying out its steps."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.dicom.qido_grammar import Level, Query
from app.dicom.qido_ordering import Attribute
from app.index.cursor import Position, write_cursor
from app.index.facets import Facets, facet_steps
from app.index.hits import Above, Row, answer, levels_above
from app.index.patients import RESOURCE, FoundPatients, patient_rows, patient_steps
from app.index.query import search_steps
from app.index.steps import INDEX, Found, Steps
from app.limits import Limits
from app.services.query_tags import QueryTags
from app.services.snapshot import series_key
from app.stores.elasticsearch import ElasticsearchIndex

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of one answer, made while they are taken, and how many match in all."""

    rows: Iterator[Row]
    count: int  # of the rows
    total: int
    passed: int  # rows before these
    warnings: tuple[str, ...]
    cursor: str | None  # of the rows behind these
    erroneous: tuple[
        str, ...
    ] = ()  # extended query tags among the keys that are not wholly indexed

    @property
    def remaining(self) -> int:
        """How many rows come behind these."""
        return max(self.total - self.passed - self.count, 0)


class Find:
    """The verb behind QIDO-RS."""

    def __init__(self, index: ElasticsearchIndex, limits: Limits, tags: QueryTags) -> None:
        """Ask `index` for what `tags` do not rule out."""
        self._index = index
        self._tags = tags
        self._limits = limits

    async def find(self, query: Query) -> Answer:
        """Return the rows that match. Raises IndexUnavailable, BadQuery."""
        erroneous = await self._tags.erroneous(query)
        found = await self._carry_out(search_steps(query, self._limits))
        rows = answer(query, found.sources, await self._above(query, found.sources))
        count = len(found.sources)
        full = count == query.limit
        return _answer(query, query.level, found, rows, count, full=full, erroneous=erroneous)

    async def patients(self, query: Query) -> Answer:
        """Return one row for each patient with a study that matches. Raises as `find` does."""
        erroneous = await self._tags.erroneous(query)
        found = await self._carry_out(patient_steps(query, self._limits))
        rows = patient_rows(query, found.buckets)
        count = len(found.buckets)
        return _answer(query, RESOURCE, found, rows, count, full=found.full, erroneous=erroneous)

    async def count(self, query: Query, *, patients: bool = False) -> int:
        """Return how many match. Raises as `find` does."""
        bare = replace(query, limit=0, offset=0, orderby=(), cursor=None)
        found = await (self.patients(bare) if patients else self.find(bare))
        return found.total

    async def facets(self, query: Query, attributes: Sequence[Attribute]) -> Facets:
        """Return how many of the matches have which value. Raises as `find` does."""
        await self._tags.erroneous(query)
        found = await self._carry_out(facet_steps(query, attributes, self._limits))
        return replace(found, warnings=(*query.warnings, *found.warnings))

    async def _carry_out(self, steps: Steps[_Result]) -> _Result:
        try:
            step = next(steps)
            while True:
                responses = await self._index.search_with(step.index, step.body, step.beside)
                step = steps.send(responses)
        except StopIteration as done:
            result: _Result = done.value
            return result

    async def _above(self, query: Query, sources: Sequence[Any]) -> Above:
        """Fetch the documents above these that rows take counts from, as they are now."""
        levels = levels_above(query)
        documents = await asyncio.gather(*(self._documents(level, sources) for level in levels))
        return dict(zip(levels, documents, strict=True))

    async def _documents(
        self, level: Level, below: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any] | None]:
        """Return the document of a level that each of these belongs to; None where it is gone."""
        keys = [_key_above(level, source) for source in below]
        found = await self._index.get_many(
            INDEX[level], list(dict.fromkeys(keys)), fields=["metadata"]
        )
        return [found.get(key) for key in keys]


def _key_above(level: Level, source: Mapping[str, Any]) -> str:
    """Return the id of the document of a higher level that a document belongs to."""
    study: str = source["study_instance_uid"]
    return study if level is Level.STUDY else series_key(study, source["series_instance_uid"])


def _answer(
    query: Query,
    resource: str,
    found: Found | FoundPatients,
    rows: Iterator[Row],
    count: int,
    *,
    full: bool,
    erroneous: tuple[str, ...],
) -> Answer:
    """Return an answer; where a page is full and more may follow, with the cursor of what does.

    An entry that others remove meanwhile makes a cursor's count of rows too high: behind a cursor, only a page
    that is not full is surely the last.
    """
    passed = found.passed
    more = full and (query.cursor is not None or found.total > passed + count)
    cursor = None
    if more and found.last is not None:
        cursor = write_cursor(resource, query, Position(passed + count, found.last))
    warnings = (*query.warnings, *found.warnings)
    return Answer(rows, count, found.total, passed, warnings, cursor, erroneous)
