"""Pages: whatever is asked for is exactly that stretch of the whole."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.errors import BadQuery
from app.index.cursor import Position
from app.index.ordering import sort_of
from app.index.paging import NEAR, SPANS, WINDOW, page
from app.index.steps import Found, Request
from app.limits import Limits

LIMITS = Limits()
DAY = SPANS[1]


def query(*parameters: tuple[str, str]) -> Query:
    return parse_query(Level.INSTANCE, Scope(), parameters, LIMITS)


class Index:
    """Does what Elasticsearch does with these few kinds of request, on documents in memory."""

    def __init__(self, moments: list[int]) -> None:
        self.documents = sorted(f"{moment:014d}-{n:06d}" for n, moment in enumerate(moments))
        self.seen: list[dict[str, Any]] = []

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.seen.append(dict(body))
        assert body.get("from", 0) + body["size"] <= WINDOW
        found = [each for each in self.documents if self._meets(each, body)]
        if "aggs" in body:
            return {"aggregations": {"spans": {"buckets": self._histogram(found, body)}}}
        total = len(found)
        if "search_after" in body:
            assert body["from"] == 0
            assert body["size"] > 0
            found = [each for each in found if each > body["search_after"][-1]]
        rows = found[body["from"] : body["from"] + body["size"]]
        hits = [{"_source": {"is": each}, "sort": [each]} for each in rows]
        return {"hits": {"total": {"value": total}, "hits": hits}}

    def _meets(self, document: str, body: Mapping[str, Any]) -> bool:
        place = {"newest": int(document[:14]), "order": document}
        return all(
            not (low := bounds.get("gte")) or place[name] >= low
            for clause in body["query"]["bool"]["filter"]
            for name, bounds in clause["range"].items()
        ) and all(
            ("lt" not in bounds or place[name] < bounds["lt"])
            and ("gt" not in bounds or place[name] > bounds["gt"])
            for clause in body["query"]["bool"]["filter"]
            for name, bounds in clause["range"].items()
        )

    def _histogram(self, found: list[str], body: Mapping[str, Any]) -> list[dict[str, Any]]:
        span = body["aggs"]["spans"]["histogram"]["interval"]
        counts: dict[int, int] = {}
        for each in found:
            key = int(each[:14]) // span * span
            counts[key] = counts.get(key, 0) + 1
        return [{"key": float(key), "doc_count": count} for key, count in sorted(counts.items())]

    def page(self, asked: Query, position: Position | None = None) -> Found:
        steps = page(asked, sort_of(asked), position, [], {"beside": True})
        step = next(steps)
        beside = 0
        try:
            while True:
                assert isinstance(step, Request)
                beside += step.beside is not None
                lacks = {"lacks": True} if step.beside is not None else None
                step = steps.send((self.answer(step.body), lacks))
        except StopIteration as done:
            found, answer = done.value
            assert (beside, answer) == (1, {"lacks": True})
            assert isinstance(found, Found)
            return found


def uids(found: Found) -> list[str]:
    return [source["is"] for source in found.sources]


# a few years, days and minutes, so that many documents share theirs; 0 and all nines occur as well
MOMENTS = st.one_of(
    st.builds(
        lambda year, day, minute: year * SPANS[0] + day * SPANS[1] + minute * SPANS[2],
        st.integers(7970, 7973),
        st.integers(8868, 8870),
        st.integers(8000, 8002),
    ),
    st.sampled_from([0, 99_999_999_999_999]),
)


@given(st.lists(MOMENTS, max_size=60), st.integers(0, 70), st.integers(0, 20), st.integers(0, 8))
@example([79708868800000] * 40, 37, 9, 2)
def test_any_page_is_that_stretch_of_the_whole(
    moments: list[int], offset: int, limit: int, near: int
) -> None:
    """With a window so small that every way of getting there is gone."""
    index = Index(moments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.index.paging.NEAR", near)
        patch.setattr("app.index.paging.WINDOW", 20)
        found = index.page(query(("offset", str(offset)), ("limit", str(limit))))

    assert uids(found) == index.documents[offset : offset + limit]
    assert found.total == len(moments)
    if found.sources:
        assert found.last == (uids(found)[-1],)


@given(st.lists(MOMENTS, max_size=60), st.integers(1, 20))
def test_cursors_lead_through_the_whole(moments: list[int], limit: int) -> None:
    index = Index(moments)
    asked = query(("limit", str(limit)))
    found = index.page(asked)
    together = uids(found)
    while found.last is not None:
        found = index.page(asked, Position(len(together), found.last))
        together += uids(found)
        assert found.total == len(moments)

    assert together == index.documents


def test_near_page_is_one_request() -> None:
    index = Index([1] * 30)
    index.page(query(("offset", "20"), ("limit", "5")))

    assert len(index.seen) == 1
    assert (index.seen[0]["from"], index.seen[0]["size"]) == (20, 5)
    assert index.seen[0]["track_total_hits"] is True


def test_page_behind_a_cursor_is_one_request_that_passes_nothing_over() -> None:
    index = Index([1] * 30)
    found = index.page(query(("limit", "5")), Position(10, (index.documents[9],)))

    assert uids(found) == index.documents[10:15]
    assert len(index.seen) == 1


def test_far_page_passes_over_what_comes_before_in_its_stretch_of_time_only() -> None:
    """However far: three times counting, and one search near its beginning."""
    per_day = 100
    days = [n // per_day * DAY for n in range(NEAR + 10 * per_day)]
    index = Index(days)
    offset = NEAR + 5 * per_day + 7

    found = index.page(query(("offset", str(offset)), ("limit", "3")))

    assert uids(found) == index.documents[offset : offset + 3]
    assert index.seen[-1]["from"] == 7
    assert len(index.seen) <= 4
    assert not any(body["track_total_hits"] for body in index.seen)


def test_offset_beyond_the_last_match_ends_at_once() -> None:
    index = Index([1] * 12)

    assert index.page(query(("offset", "9" * 15))) == Found(12, ())
    assert len(index.seen) == 1


def test_sorted_answer_beyond_the_window_needs_a_cursor() -> None:
    asked = query(("orderby", "PatientName"), ("offset", str(WINDOW)), ("limit", "1"))

    with pytest.raises(BadQuery, match="cursor"):
        Index([]).page(asked)


def test_no_rows_are_asked_for_without_a_search_after() -> None:
    index = Index([1] * 3)
    found = index.page(query(("limit", "0")), Position(1, ("1",)))

    assert found == Found(3, ())
