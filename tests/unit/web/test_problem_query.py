"""The query string of `/errors`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from app.errors import BadQuery
from app.index.problem_records import ProblemSearch
from app.web.problem_query import parse_retry, parse_search, write_cursor

MOST = 1_000


def parsed(query: str) -> ProblemSearch:
    return parse_search(QueryParams(query), most=MOST)


def test_nothing_asks_for_open_records() -> None:
    assert parsed("") == ProblemSearch(state="open", limit=100)


def test_everything_can_be_asked_for() -> None:
    cursor = write_cursor((1_795_284_006_556, "60ac"))
    query = (
        "kind=invalid-tag,transient-retry&kind=patient-mismatch&study=1.2.3&state=all&limit=5"
        f"&since=2026-11-21T08:00Z&cursor={cursor}"
    )

    assert parsed(query) == ProblemSearch(
        kinds=("invalid-tag", "transient-retry", "patient-mismatch"),
        study_instance_uid="1.2.3",
        since="2026-11-21T08:00:00+00:00",
        state=None,
        limit=5,
        after=(1_795_284_006_556, "60ac"),
    )


@pytest.mark.parametrize(
    ("since", "instant"),
    [
        ("2026-11-21", "2026-11-21T00:00:00+00:00"),
        ("2026-11-21T08:00:00", "2026-11-21T08:00:00+00:00"),
        ("2026-11-21T08:00+01:00", "2026-11-21T08:00:00+01:00"),  # an unescaped + is a space
        ("2026-11-21%2008:00", "2026-11-21T08:00:00+00:00"),
    ],
)
def test_a_time_without_an_offset_is_in_utc(since: str, instant: str) -> None:
    assert parsed(f"since={since}").since == instant


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("kind=invalid", "kind"),
        ("kind=", "kind"),
        ("study=../x", "study"),
        ("study=1.2&study=1.3", "study"),
        ("since=yesterday", "since"),
        ("state=closed", "state"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1e3", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=W10", "cursor"),
        ("cursor=%C3%A4", "cursor"),
        ("tag=00080020", "kind, study"),
    ],
)
def test_what_is_wrong_is_named(query: str, named: str) -> None:
    with pytest.raises(BadQuery, match=named):
        parsed(query)


@given(
    st.text(max_size=40), st.sampled_from(["since", "cursor", "limit", "study", "kind", "state"])
)
def test_any_value_is_understood_or_refused(value: str, name: str) -> None:
    try:
        search = parse_search(QueryParams([(name, value)]), most=MOST)
    except BadQuery:
        return
    assert 1 <= search.limit <= MOST


def test_a_retry_takes_kinds_and_a_study_alone() -> None:
    search = parse_retry(QueryParams("kind=invalid-tag&study=1.2"))
    assert (search.kinds, search.study_instance_uid) == (("invalid-tag",), "1.2")
    with pytest.raises(BadQuery):
        parse_retry(QueryParams("state=all"))
