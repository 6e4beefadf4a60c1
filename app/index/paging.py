"""The stretch of an answer that is asked for, by a cursor or by an offset.

Strategy: behind a cursor the index goes on at once, however deep that is. An offset means counting: the index
would sort all that comes before, at a cost that grows with it, and only up to a window. So where the offset is
far, the documents are first counted by the year, then the day, then the minute of their study, which needs no
sorting, and only what comes before within that stretch of time is passed over. Where even that is more than
the window, the last document of each window is fetched alone and the next window starts behind it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from app.dicom.qido_grammar import Query
from app.errors import BadQuery
from app.index.cursor import Position
from app.index.key_clause import Clause
from app.index.ordering import NEWEST, ORDER, Sort
from app.index.steps import INDEX, Found, Request, Response, Steps

WINDOW = 100_000  # documents that a request can reach: index.max_result_window
NEAR = 5_000  # documents that are quickly passed over
SPANS = (
    10**10,
    10**6,
    10**2,
)  # of NEWEST, which has digits YYYYMMDDhhmmss: a year, a day, a minute
_ROWS = {"_source": ["metadata", "study_instance_uid", "series_instance_uid"]}

_Beside = dict[str, Any] | None


def page(
    query: Query, sort: Sort, position: Position | None, filters: list[Clause], beside: _Beside
) -> Steps[tuple[Found, Response | None]]:
    """Return the documents that are asked for, and the response to what is asked beside."""
    index = INDEX[query.level]
    if position is not None:
        body = _ordered(filters, sort, start=0, size=query.limit, count=True)
        if query.limit:  # Elasticsearch takes no search_after without rows
            body["search_after"] = list(position.last)
        response, answer = yield Request(index, body | _ROWS, beside)
        return _found(response, response["hits"]["total"]["value"]), answer
    if query.orderby and query.offset + query.limit > WINDOW:
        raise BadQuery(f"With orderby, rows beyond {WINDOW} can only be reached by the cursor.")
    if query.offset > NEAR and not query.orderby:
        return (yield from _far(query, sort, filters, beside))
    body = _ordered(filters, sort, start=query.offset, size=query.limit, count=True)
    response, answer = yield Request(index, body | _ROWS, beside)
    return _found(response, response["hits"]["total"]["value"]), answer


def _far(
    query: Query, sort: Sort, filters: list[Clause], beside: _Beside
) -> Steps[tuple[Found, Response | None]]:
    """Return the documents at a far offset."""
    index = INDEX[query.level]
    response, lacks = yield Request(index, _counted(filters, SPANS[0]), beside)
    buckets = response["aggregations"]["spans"]["buckets"]
    total = sum(bucket["doc_count"] for bucket in buckets)
    if not query.limit or query.offset >= total:
        return Found(total, ()), lacks
    conditions, offset = _behind(filters, buckets, query.offset)
    for wider, span in pairwise(SPANS):
        if offset <= NEAR:
            break
        start = conditions[-1]["range"][NEWEST]["gte"]
        within = {"range": {NEWEST: {"gte": start, "lt": start + wider}}}
        response, _ = yield Request(index, _counted([*filters, within], span))
        found = response["aggregations"]["spans"]["buckets"]
        if offset >= sum(bucket["doc_count"] for bucket in found):
            break  # others removed some since they were counted
        conditions, offset = _behind(filters, found, offset)
    while offset + query.limit > WINDOW:
        step = min(offset, WINDOW)
        body = _ordered(conditions, sort, start=step - 1, size=1, count=False)
        response, _ = yield Request(index, {**body, "_source": False})
        hits = response["hits"]["hits"]
        if not hits:
            return Found(total, ()), lacks
        conditions = [*filters, {"range": {ORDER: {"gt": hits[0]["sort"][0]}}}]
        offset -= step
    body = _ordered(conditions, sort, start=offset, size=query.limit, count=False)
    response, _ = yield Request(index, body | _ROWS)
    return _found(response, total), lacks


def _behind(
    filters: list[Clause], buckets: Sequence[Response], offset: int
) -> tuple[list[Clause], int]:
    """Return what leaves out all stretches before the one that has the offset, and what is left of that."""
    for bucket in buckets:
        if offset < bucket["doc_count"]:
            break
        offset -= bucket["doc_count"]
    return [*filters, {"range": {NEWEST: {"gte": int(bucket["key"])}}}], offset


def _counted(filters: list[Clause], span: int) -> dict[str, Any]:
    histogram = {"field": NEWEST, "interval": span, "min_doc_count": 1}
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": filters}},
        "aggs": {"spans": {"histogram": histogram}},
    }


def _found(response: Response, total: int) -> Found:
    hits = response["hits"]["hits"]
    last = tuple(hits[-1]["sort"]) if hits else None
    return Found(total, tuple(hit["_source"] for hit in hits), last=last)


def _ordered(
    filters: list[Clause], sort: Sort, *, start: int, size: int, count: bool
) -> dict[str, Any]:
    return {
        "query": {"bool": {"filter": filters}},
        "sort": sort,
        "from": start,
        "size": size,
        "track_total_hits": count,
    }
