"""A query becomes as few requests as its keys allow."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.errors import BadQuery
from app.index.query import PAGE, WINDOW, Found, Request, SearchPlan, plan
from app.limits import Limits

LIMITS = Limits()
NONE_LEFT_OUT = {"hits": {"total": {"value": 0}, "hits": []}}


def query(level: Level, *parameters: tuple[str, str], scope: Scope | None = None) -> Query:
    return parse_query(level, scope or Scope(), parameters, LIMITS)


def request(step: Request | Found) -> Request:
    assert isinstance(step, Request)
    return step


def found(step: Request | Found) -> Found:
    assert isinstance(step, Found)
    return step


def uids(*names: str, more: bool = False) -> dict[str, Any]:
    """Return a response to the question for UIDs."""
    buckets = [{"key": {"uid": name}} for name in names]
    buckets *= PAGE // len(buckets) if more else 1
    return {"aggregations": {"uids": {"buckets": buckets, "after_key": {"uid": names[-1]}}}}


def page(total: int, count: int) -> dict[str, Any]:
    """Return a response with hits."""
    hits = [{"_source": {"number": n}, "sort": [f"{n:06d}"]} for n in range(count)]
    return {"hits": {"total": {"value": total}, "hits": hits}}


def text(body: Mapping[str, Any]) -> str:
    return orjson.dumps(body).decode()


def test_keys_of_the_level_and_above_take_one_request() -> None:
    searching = plan(query(Level.SERIES, ("PatientName", "Doe*"), ("Modality", "CT")), LIMITS)

    only = request(searching.first())
    answer = found(searching.next(page(3, 2)))

    assert only.index == "series"
    assert only.body["track_total_hits"] is True
    assert "00100010=doe*" in text(only.body)
    assert answer == Found(3, ({"number": 0}, {"number": 1}), ())


def test_counts_of_a_study_are_matched_among_studies() -> None:
    only = request(plan(query(Level.STUDY, ("ModalitiesInStudy", "CT")), LIMITS).first())

    assert only.index == "studies"
    assert "00080061=CT" in text(only.body)


def test_study_by_series_attribute_asks_the_series_first() -> None:
    searching = plan(query(Level.STUDY, ("Modality", "CT"), ("PatientID", "P")), LIMITS)

    series = request(searching.first())
    studies = request(searching.next(uids("1.2", "1.3")))

    assert series.index == "series"
    assert "00080060=CT" in text(series.body)
    assert "00100020=P" in text(series.body)
    assert studies.index == "studies"
    assert studies.body["query"]["bool"]["filter"] == [
        {"terms": {"study_instance_uid": ["1.2", "1.3"]}}
    ]


def test_study_by_any_other_attribute_asks_the_instances_first() -> None:
    searching = plan(query(Level.STUDY, ("SliceThickness", "1")), LIMITS)

    left_out = request(searching.first())
    instances = request(searching.next(NONE_LEFT_OUT))
    studies = request(searching.next(uids("1.2")))

    assert "not_indexed" in text(left_out.body)
    assert instances.index == "instances"
    assert studies.index == "studies"


def test_nothing_below_means_nothing_found_without_asking_further() -> None:
    searching = plan(query(Level.STUDY, ("Modality", "XX")), LIMITS)
    searching.first()

    assert found(searching.next({"aggregations": {"uids": {"buckets": []}}})) == Found(0, ())


def test_all_pages_of_uids_are_read() -> None:
    searching = plan(query(Level.STUDY, ("Modality", "CT")), LIMITS)
    searching.first()

    second = request(searching.next(uids("1.2", more=True)))
    studies = request(searching.next(uids("1.3")))

    assert second.body["aggs"]["uids"]["composite"]["after"] == {"uid": "1.2"}
    (condition,) = studies.body["query"]["bool"]["filter"]
    assert len(condition["terms"]["study_instance_uid"]) == PAGE + 1


def test_more_uids_than_one_request_takes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.index.query.JOINED_MOST", PAGE)
    searching = plan(query(Level.STUDY, ("Modality", "CT")), LIMITS)
    searching.first()
    searching.next(uids("1.2", more=True))

    with pytest.raises(BadQuery, match=f"{PAGE}"):
        searching.next(uids("1.3", more=True))


def test_instances_by_a_count_of_their_study_ask_the_studies_first() -> None:
    searching = plan(query(Level.INSTANCE, ("ModalitiesInStudy", "CT")), LIMITS)

    studies = request(searching.first())
    instances = request(searching.next(uids("1.2")))

    assert studies.index == "studies"
    assert instances.index == "instances"
    assert "study_instance_uid" in text(instances.body)


def test_values_that_were_not_indexed_are_warned_of() -> None:
    searching = plan(query(Level.INSTANCE, ("ContentSequence.TextValue", "x*")), LIMITS)

    asked = request(searching.first())
    searching.next({"hits": {"total": {"value": 1}, "hits": []}})
    answer = found(searching.next(page(0, 0)))

    assert {"0040A730", "0040A730.0040A160"} == set(
        asked.body["query"]["bool"]["filter"][0]["terms"]["not_indexed"]
    )
    assert len(answer.warnings) == 1


def test_scope_of_the_url_is_a_condition_of_every_request() -> None:
    scope = Scope("1.2", "1.3")
    searching = plan(
        query(Level.INSTANCE, ("NumberOfSeriesRelatedInstances", "1"), scope=scope), LIMITS
    )

    series = request(searching.first())
    instances = request(searching.next(uids("1.3")))

    for body in (series.body, instances.body):
        assert "0020000D=1.2" in text(body)
        assert "0020000E=1.3" in text(body)


def test_order_is_total_and_the_page_is_what_was_asked_for() -> None:
    only = request(plan(query(Level.STUDY, ("limit", "7"), ("offset", "30")), LIMITS).first())

    assert only.body["sort"] == [{"order": "asc"}]
    assert (only.body["from"], only.body["size"]) == (30, 7)


def test_page_beyond_the_window_goes_on_behind_its_last_document() -> None:
    asked = query(Level.STUDY, ("limit", "5"), ("offset", str(2 * WINDOW + 50)), ("PatientID", "P"))
    searching = plan(asked, LIMITS)

    first = request(searching.first())
    second = request(searching.next(page(2 * WINDOW + 60, 1)))
    third = request(searching.next(page(0, 1)))
    answer = found(searching.next(page(0, 5)))

    assert (first.body["from"], first.body["size"]) == (WINDOW - 1, 1)
    assert (second.body["from"], second.body["size"]) == (WINDOW - 1, 1)
    assert {"range": {"order": {"gt": "000000"}}} in second.body["query"]["bool"]["filter"]
    assert (third.body["from"], third.body["size"]) == (50, 5)
    assert "00100020=P" in text(third.body)
    assert answer.total == 2 * WINDOW + 60
    assert len(answer.sources) == 5


def test_offset_beyond_the_last_match_ends_at_once() -> None:
    searching = plan(query(Level.STUDY, ("offset", "9" * 15)), LIMITS)
    searching.first()

    assert found(searching.next(page(12, 0))) == Found(12, ())


@given(st.integers(0, 3 * WINDOW), st.integers(0, 5_000))
def test_no_request_reaches_beyond_the_window(offset: int, limit: int) -> None:
    """Whatever page is asked for: the documents passed over and those fetched are exactly right."""
    asked = query(Level.STUDY, ("limit", str(limit)), ("offset", str(offset)))
    searching = plan(asked, LIMITS)
    step: Request | Found = searching.first()
    passed = 0
    while isinstance(step, Request):
        start, size = step.body["from"], step.body["size"]
        assert start + size <= WINDOW
        last = step.body["_source"] is not False
        assert not last or (passed + start, size) == (offset, limit)
        passed += 0 if last else start + 1
        step = searching.next(page(10**6, min(size, 1)))


KEYS = st.lists(
    st.sampled_from(
        [
            ("PatientName", "a^b*=?"),
            ("PatientName", "="),
            ("StudyDate", "20200101-"),
            ("ModalitiesInStudy", "CT,MR"),
            ("Modality", "C?"),
            ("SliceThickness", "-1-5"),
            ("00400275.00400009", "a"),
            ("00400275.00401001", '""'),
            ("00400275.00400008.00080100", "*"),
            ("NumberOfSeriesRelatedInstances", "1-"),
            ("00190010", 'quote " and \\ '),
        ]
    ),
    unique_by=lambda pair: pair[0],
)


def run(searching: SearchPlan) -> Found:
    step = searching.first()
    while isinstance(step, Request):
        response = uids("1.2") if "aggs" in step.body else page(1, min(1, step.body["size"]))
        step = searching.next(response)
    return step


@given(st.sampled_from(list(Level)), KEYS, st.booleans())
def test_any_plan_ends(level: Level, keys: list[tuple[str, str]], empty: bool) -> None:
    asked = query(level, *keys, ("emptyvaluematching", str(empty)))

    assert run(plan(asked, LIMITS)).total == 1
