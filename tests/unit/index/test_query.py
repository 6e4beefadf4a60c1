"""A query becomes as few requests as its keys allow."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.errors import BadQuery
from app.index.query import PAGE, SearchPlan, plan
from app.index.steps import Found, Request
from app.limits import Limits

LIMITS = Limits()


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


def lacks(**counts: int) -> dict[str, Any]:
    """Return a response to the question what the index lacks."""
    buckets = {name: {"doc_count": count} for name, count in counts.items()}
    return {"aggregations": {"left_out": {"buckets": buckets}}}


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
    assert "00100010^doe*" in text(only.body)
    assert answer.total == 3
    assert answer.sources == ({"number": 0}, {"number": 1})
    assert answer.warnings == ()


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

    instances = request(searching.first())
    studies = request(searching.next(uids("1.2"), lacks(**{"00180050": 0})))

    assert instances.index == "instances"
    assert "not_indexed" in text(instances.beside or {})
    assert studies.index == "studies"
    assert studies.beside is None
    assert found(searching.next(page(1, 1))).warnings == ()


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


def test_values_that_were_not_indexed_are_warned_of_by_attribute() -> None:
    asked = [("ContentSequence.TextValue", "x*"), ("SliceThickness", "1"), ("Modality", "SR")]
    searching = plan(query(Level.INSTANCE, *asked), LIMITS)

    only = request(searching.first())
    counts = lacks(**{"0040A730.0040A160": 3, "00180050": 0})
    answer = found(searching.next(page(0, 0), counts))

    assert only.beside is not None
    assert set(only.beside["aggs"]["left_out"]["filters"]["filters"]) == {
        "0040A730.0040A160",
        "00180050",
    }
    (warning,) = answer.warnings
    assert "0040A730.0040A160" in warning
    assert "3 instances" in warning


def test_sequence_whose_items_were_too_many_is_warned_of_where_it_matters() -> None:
    sequence, one, other = "PerFrameFunctionalGroupsSequence", "00209057", "00209153"
    single = request(plan(query(Level.INSTANCE, (f"{sequence}.{one}", "1")), LIMITS).first())
    searching = plan(
        query(Level.INSTANCE, (f"{sequence}.{one}", "1"), (f"{sequence}.{other}", "2")), LIMITS
    )
    both = request(searching.first())
    names = {f"52009230.{one}": 0, f"52009230.{other}": 0, "52009230+": 2}
    answer = found(searching.next(page(0, 0), lacks(**names)))

    assert "52009230+" not in text(single.beside or {})
    assert "52009230+" in text(both.beside or {})
    (warning,) = answer.warnings
    assert "items of 52009230" in warning


def test_what_the_index_lacks_is_asked_within_the_study_of_the_url() -> None:
    scope = Scope("1.2")
    only = request(
        plan(query(Level.INSTANCE, ("SliceThickness", "1"), scope=scope), LIMITS).first()
    )

    assert "0020000D=1.2" in text(only.beside or {})


def test_short_values_of_a_study_need_no_further_question() -> None:
    keys = [("PatientName", "Doe*"), ("StudyDate", "20200101-"), ("StudyInstanceUID", "1.2")]
    only = request(plan(query(Level.STUDY, *keys), LIMITS).first())
    long = request(plan(query(Level.STUDY, ("PatientComments", "x")), LIMITS).first())

    assert only.beside is None
    assert long.beside is not None


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
        names = step.beside["aggs"]["left_out"]["filters"]["filters"] if step.beside else ()
        step = searching.next(response, lacks(**dict.fromkeys(names, 0)) if names else None)
    return step


@given(st.sampled_from(list(Level)), KEYS, st.booleans())
def test_any_plan_ends(level: Level, keys: list[tuple[str, str]], empty: bool) -> None:
    asked = query(level, *keys, ("emptyvaluematching", str(empty)))

    assert run(plan(asked, LIMITS)).total == 1
