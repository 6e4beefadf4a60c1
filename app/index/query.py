"""A typed query as requests to Elasticsearch: usually one, at most one more for each other level.

Strategy: documents of the asked level are searched. They hold the attributes of their own level and of those
above, so most queries are one request. A key that they lack is asked where it is held:
- an attribute of a lower level (any tag at all, for studies) among the series or instances, which give the
  UIDs of the studies that have a match. One and the same lower document has to match all the keys that it
  holds: a study is found because one of its instances is what was asked for, not by keys spread over several;
- a count of a higher level (ModalitiesInStudy among instances) among the studies.
The UIDs then are one more condition. Totals are exact, and the order is that of `order`, which is total.

The planner does no I/O: it gives a request, takes the response, and gives the next or what was found.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from app.dicom.attribute_matching import Universal
from app.dicom.attribute_path import dotted
from app.dicom.qido_grammar import Key, Level, Query, scope_keys
from app.errors import BadQuery
from app.index.clauses import Clause, filters_of
from app.index.levels import COMPUTED, level_of
from app.limits import Limits

INDEX: Mapping[Level, str] = {
    Level.STUDY: "studies",
    Level.SERIES: "series",
    Level.INSTANCE: "instances",
}
_UID: Mapping[Level, str] = {
    Level.STUDY: "study_instance_uid",
    Level.SERIES: "series_instance_uid",
    Level.INSTANCE: "sop_instance_uid",
}
_DOWNWARDS = (Level.STUDY, Level.SERIES, Level.INSTANCE)
# settings of the index (mappings/elasticsearch/), so that a request can
WINDOW = 100_000  # reach this many documents: index.max_result_window
JOINED_MOST = 1_000_000  # name this many UIDs: index.max_terms_count
PAGE = 50_000  # UIDs that one response gives; Elasticsearch's own limit is 65,536

Response = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A search: the index by its name, and the body."""

    index: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer: how many match, and the documents of the page that was asked for."""

    total: int
    sources: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...] = ()


class SearchPlan:
    """The requests that one query takes, one after the other.

    step = plan.first()
    while isinstance(step, Request):
        step = plan.next(await index.search(step.index, step.body))
    """

    def __init__(self, steps: Generator[Request, Response, Found]) -> None:
        """Follow these steps."""
        self._steps = steps

    def first(self) -> Request | Found:
        """Return the first request."""
        return self._advance(None)

    def next(self, response: Response) -> Request | Found:
        """Return what follows from the response to the request before."""
        return self._advance(response)

    def _advance(self, response: Response | None) -> Request | Found:
        try:
            return next(self._steps) if response is None else self._steps.send(response)
        except StopIteration as done:
            found: Found = done.value
            return found


def plan(query: Query, limits: Limits) -> SearchPlan:
    """Return the plan for a query."""
    return SearchPlan(_search(query, limits))


def _search(query: Query, limits: Limits) -> Generator[Request, Response, Found]:
    keys = [key for key in query.keys if not isinstance(key.matching, Universal)]
    read = [key for key in keys if key.path[0] not in COMPUTED]
    lowest = max((_held_at(key) for key in read), key=_DOWNWARDS.index, default=query.level)
    where = max(lowest, query.level, key=_DOWNWARDS.index)
    by_level: dict[Level, list[Key]] = {query.level: [], where: read}
    for key in keys:
        if key.path[0] in COMPUTED:
            by_level.setdefault(_held_at(key), []).append(key)
    warnings = (yield from _not_indexed(read)) if where is Level.INSTANCE else ()
    filters: list[Clause] = []
    for level, held in sorted(by_level.items(), key=lambda entry: _DOWNWARDS.index(entry[0])):
        conditions = filters_of(
            [*_scope_at(level, query), *held], value_bytes=limits.index_value_bytes
        )
        if level is query.level:
            filters += conditions
            continue
        field = _UID[min(level, query.level, key=_DOWNWARDS.index)]
        uids = yield from _uids(level, field, conditions)
        if not uids:
            return Found(0, (), warnings)
        filters.append({"terms": {field: uids}})
    return (yield from _page(query, filters, warnings))


def _held_at(key: Key) -> Level:
    """Return the highest level whose documents hold an attribute; those below do too unless counted."""
    return COMPUTED.get(key.path[0]) or level_of(key.path[0])


def _scope_at(level: Level, query: Query) -> list[Key]:
    """Return the URL's conditions as far as documents of a level have them."""
    keys = scope_keys(query.scope)
    return [keys[0]] if keys and level is Level.STUDY else list(keys)


def _not_indexed(keys: list[Key]) -> Generator[Request, Response, tuple[str, ...]]:
    """Ask whether some instance has a key's attribute with values that were too much to index."""
    if not keys:
        return ()
    paths = {dotted(key.path[:depth]) for key in keys for depth in range(1, len(key.path) + 1)}
    body = {
        "size": 0,
        "track_total_hits": 1,
        "query": {"bool": {"filter": [{"terms": {"not_indexed": sorted(paths)}}]}},
    }
    response = yield Request(INDEX[Level.INSTANCE], body)
    if response["hits"]["total"]["value"] == 0:
        return ()
    return ("Some instances have values of a match key that exceed a limit and are not searched",)


def _uids(
    level: Level, field: str, filters: list[Clause]
) -> Generator[Request, Response, list[str]]:
    """Collect the distinct UIDs of matching documents of another level."""
    uids: list[str] = []
    after: Mapping[str, Any] | None = None
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
        response = yield Request(INDEX[level], body)
        found = response["aggregations"]["uids"]
        uids += [bucket["key"]["uid"] for bucket in found["buckets"]]
        if len(found["buckets"]) < PAGE:
            return uids
        if len(uids) > JOINED_MOST:
            raise BadQuery(f"The match keys are met by more than {JOINED_MOST} {level} entries.")
        after = found["after_key"]


def _page(
    query: Query, filters: list[Clause], warnings: tuple[str, ...]
) -> Generator[Request, Response, Found]:
    """Fetch the asked stretch of the answer; beyond the window by going on behind its last document."""
    offset = query.offset
    conditions = list(filters)
    total: int | None = None
    while offset + query.limit > WINDOW:
        step = min(offset, WINDOW)
        body = _ordered(conditions, start=step - 1, size=1, count=total is None)
        response = yield Request(INDEX[query.level], {**body, "_source": False})
        hits = response["hits"]["hits"]
        total = response["hits"]["total"]["value"] if total is None else total
        if total <= query.offset or not hits:
            return Found(total, (), warnings)
        conditions = [*filters, {"range": {"order": {"gt": hits[0]["sort"][0]}}}]
        offset -= step
    body = _ordered(conditions, start=offset, size=query.limit, count=total is None)
    response = yield Request(INDEX[query.level], {**body, "_source": ["metadata"]})
    total = response["hits"]["total"]["value"] if total is None else total
    return Found(total, tuple(hit["_source"] for hit in response["hits"]["hits"]), warnings)


def _ordered(filters: list[Clause], *, start: int, size: int, count: bool) -> dict[str, Any]:
    return {
        "query": {"bool": {"filter": filters}},
        "sort": [{"order": "asc"}],
        "from": start,
        "size": size,
        "track_total_hits": count,
    }
