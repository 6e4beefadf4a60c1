"""Answers a QIDO query by carrying out its plan."""

from dataclasses import dataclass
from typing import Any

from app.dicom.qido_grammar import Query
from app.index.hits import answer
from app.index.query import Request, plan
from app.limits import Limits
from app.stores.elasticsearch import ElasticsearchIndex


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of one answer, as DICOM JSON, and how many match in all."""

    rows: list[dict[str, Any]]
    total: int
    warnings: tuple[str, ...]


class Find:
    """The verb behind QIDO-RS."""

    def __init__(self, index: ElasticsearchIndex, limits: Limits) -> None:
        """Ask `index`."""
        self._index = index
        self._limits = limits

    async def find(self, query: Query) -> Answer:
        """Return the rows that match. Raises IndexUnavailable, BadQuery."""
        steps = plan(query, self._limits)
        step = steps.first()
        while isinstance(step, Request):
            step = steps.next(await self._index.search(step.index, step.body))
        rows = answer(query, step.sources)
        return Answer(rows, step.total, (*query.warnings, *step.warnings))
