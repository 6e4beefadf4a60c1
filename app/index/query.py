"""A typed query as requests to Elasticsearch: usually one, at most one more for each other level.

Strategy: documents of the asked level are searched. They hold the attributes of their own level and of those
above, so most queries are one request. A key that they lack is asked where it is held:
- an attribute of a lower level (any tag at all, for studies) among the series or instances, which give the
  UIDs of the studies that have a match. One and the same lower document has to match all the keys that it
  holds: a study is found because one of its instances is what was asked for, not by keys spread over several;
- a count of a higher level (ModalitiesInStudy among instances) among the studies.
The UIDs then are one more condition. Totals are exact, and the order is that of `order`, which is total.

Beside the request that looks at most, and in one with it, goes the question what the index lacks for these
keys (`app.index.left_out`).

The planner does no I/O: it gives a request, takes the response, and gives the next or what was found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.dicom.attribute_matching import Universal
from app.dicom.match_keys import Key
from app.dicom.qido_grammar import Level, Query, scope_keys
from app.dicom.range_matching import DateAndTime
from app.errors import BadQuery
from app.index.clauses import filters_of
from app.index.cursor import read_cursor
from app.index.key_clause import Clause
from app.index.left_out import left_out_body, left_out_warnings
from app.index.levels import COMPUTED, level_of
from app.index.ordering import sort_of
from app.index.paging import page
from app.index.steps import INDEX, Found, Request, Response, Responses, Steps
from app.limits import Limits

_UID: Mapping[Level, str] = {
    Level.STUDY: "study_instance_uid",
    Level.SERIES: "series_instance_uid",
    Level.INSTANCE: "sop_instance_uid",
}
_DOWNWARDS = (Level.STUDY, Level.SERIES, Level.INSTANCE)
JOINED_MOST = 1_000_000  # UIDs that a request can name: index.max_terms_count
PAGE = 50_000  # UIDs that one response gives; Elasticsearch's own limit is 65,536


class SearchPlan:
    """The requests that one query takes, one after the other.

    step = plan.first()
    while isinstance(step, Request):
        step = plan.next(*await index.search_with(step.index, step.body, step.beside))
    """

    def __init__(self, steps: "Steps[Found]") -> None:
        """Follow these steps."""
        self._steps = steps

    def first(self) -> Request | Found:
        """Return the first request."""
        return self._advance(None)

    def next(self, response: Response, beside: Response | None = None) -> Request | Found:
        """Return what follows from the response to the request before, and to what was beside it."""
        return self._advance((response, beside))

    def _advance(self, responses: Responses | None) -> Request | Found:
        try:
            return next(self._steps) if responses is None else self._steps.send(responses)
        except StopIteration as done:
            found: Found = done.value
            return found


def plan(query: Query, limits: Limits) -> SearchPlan:
    """Return the plan for a query."""
    return SearchPlan(search_steps(query, limits))


@dataclass(frozen=True, slots=True)
class Matched:
    """What documents of the asked level have to meet, after those of other levels were asked."""

    filters: list[Clause] | None  # None: nothing meets the keys of another level
    keys: list[Key]
    beside: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()

    def warnings_with(self, level: Level, lacks: Response | None) -> tuple[str, ...]:
        """Return the warnings, with those that the answer to what was asked beside gives."""
        return self.warnings if lacks is None else left_out_warnings(self.keys, level, lacks)


def search_steps(query: Query, limits: Limits) -> Steps[Found]:
    """Return the steps of a search. Raises BadQuery."""
    sort = sort_of(query)
    position = read_cursor(query.level, query, len(sort))
    matched = yield from matching(query, limits)
    if matched.filters is None:
        return Found(0, (), matched.warnings)
    found, lacks = yield from page(query, sort, position, matched.filters, matched.beside)
    passed = query.offset if position is None else position.passed
    return replace(found, passed=passed, warnings=matched.warnings_with(query.level, lacks))


def matching(query: Query, limits: Limits) -> Steps[Matched]:
    """Return the conditions of a query on documents of its level."""
    keys = [key for key in query.keys if not isinstance(key.matching, Universal)]
    read = [key for key in keys if key.path[0] not in COMPUTED]
    lowest = max((_held_at(key) for key in read), key=_DOWNWARDS.index, default=query.level)
    where = max(lowest, query.level, key=_DOWNWARDS.index)
    by_level: dict[Level, list[Key]] = {query.level: [], where: read}
    for key in keys:
        if key.path[0] in COMPUTED:
            by_level.setdefault(_held_at(key), []).append(key)
    value_bytes = limits.index_value_bytes
    scope = filters_of(_scope_at(where, query), value_bytes=value_bytes)
    beside = {where: left_out_body(read, scope, value_bytes=value_bytes)}
    warnings: tuple[str, ...] = ()
    filters: list[Clause] = []
    for level, held in sorted(by_level.items(), key=lambda entry: _DOWNWARDS.index(entry[0])):
        conditions = filters_of([*_scope_at(level, query), *held], value_bytes=value_bytes)
        if level is query.level:
            filters += conditions
            continue
        field = _UID[min(level, query.level, key=_DOWNWARDS.index)]
        uids, lacks = yield from _uids(level, field, conditions, beside.get(level))
        if lacks is not None:
            warnings = left_out_warnings(read, level, lacks)
        if not uids:
            return Matched(None, read, None, warnings)
        filters.append({"terms": {field: uids}})
    return Matched(filters, read, beside.get(query.level), warnings)


def joined(level: Level, field: str, filters: list[Clause]) -> Steps[list[Clause]]:
    """Return the condition that a document of another level belongs to a match of this one."""
    uids, _ = yield from _uids(level, field, filters, None)
    return [{"terms": {field: uids}}]


def _held_at(key: Key) -> Level:
    """Return the highest level whose documents hold an attribute; those below do too unless counted."""
    own = COMPUTED.get(key.path[0]) or level_of(key.path[0])
    if isinstance(key.matching, DateAndTime) and len(key.path) == 1:
        return max(own, level_of(key.matching.time), key=_DOWNWARDS.index)
    return own


def _scope_at(level: Level, query: Query) -> list[Key]:
    """Return the URL's conditions as far as documents of a level have them."""
    keys = scope_keys(query.scope)
    return [keys[0]] if keys and level is Level.STUDY else list(keys)


def _uids(
    level: Level, field: str, filters: list[Clause], beside: dict[str, Any] | None
) -> Steps[tuple[list[str], Response | None]]:
    """Collect the distinct UIDs of matching documents of another level."""
    uids: list[str] = []
    after: Mapping[str, Any] | None = None
    lacks: Response | None = None
    while True:
        sources: dict[str, Any] = {"size": PAGE, "sources": [{"uid": {"terms": {"field": field}}}]}
        if after is not None:
            sources["after"] = after
        body = {
            "size": 0,
            "track_total_hits": False,
            "query": {"bool": {"filter": filters}},
            "aggs": {"uids": {"composite": sources}},
        }
        response, answer = yield Request(INDEX[level], body, beside if after is None else None)
        lacks = answer if after is None else lacks
        found = response["aggregations"]["uids"]
        uids += [bucket["key"]["uid"] for bucket in found["buckets"]]
        if len(found["buckets"]) < PAGE:
            return uids, lacks
        if len(uids) > JOINED_MOST:
            raise BadQuery(f"The match keys are met by more than {JOINED_MOST} {level} entries.")
        after = found["after_key"]
