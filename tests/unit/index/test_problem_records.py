"""Records of problems: what is one problem, and what its document says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.index.problem_records import (
    ProblemRecord,
    ProblemSearch,
    Sighting,
    class_of_value,
    path_of,
    problem_document,
    resolved,
    search_body,
)

RECORD = ProblemRecord(
    "invalid-tag",
    "1.2.3",
    "A value is no date.",
    tag="00080020",
    value_class="DA: no date",
    series_instance_uid="1.2.3.4",
    sop_instance_uid="1.2.3.4.5",
)
EARLY, LATE = "2026-11-21T08:00:00.000Z", "2026-11-21T09:00:00.000Z"


def test_instances_of_a_study_with_the_same_fault_are_one_problem() -> None:
    other = replace(RECORD, sop_instance_uid="1.9", message="Said otherwise.")

    assert other.identity == RECORD.identity


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, kind="patient-mismatch"),
        replace(RECORD, study_instance_uid="1.2.4"),
        replace(RECORD, tag="00080021"),
        replace(RECORD, value_class="DA: longer than DA can be"),
    ],
)
def test_another_kind_study_tag_or_class_is_another_problem(other: ProblemRecord) -> None:
    assert other.identity != RECORD.identity


def test_the_number_of_an_item_makes_no_difference() -> None:
    first, second = (replace(RECORD, tag=f"00400275.{n}.00080100") for n in (1, 2))

    assert first.identity == second.identity
    assert path_of("00400275.1.00080100") == "00400275.00080100"
    assert path_of("The data set") is None


def test_a_document_counts_and_is_open_again() -> None:
    first = problem_document("id", None, Sighting(RECORD, 2, EARLY, EARLY))
    closed = resolved(first, EARLY)
    again = problem_document("id", closed, Sighting(RECORD, 3, LATE, LATE))

    assert (first["state"], closed["state"], again["state"]) == ("open", "resolved", "open")
    assert (again["count"], again["first_seen"], again["last_seen"]) == (5, EARLY, LATE)
    assert again["keyword"] == "StudyDate"
    assert "resolved_at" not in again


def test_a_path_is_told_by_keywords_and_a_private_attribute_by_its_tag() -> None:
    path = replace(RECORD, tag="00400275.1.00091001")
    document = problem_document("id", None, Sighting(path, 1, EARLY, EARLY))

    assert document["keyword"] == "RequestAttributesSequence.00091001"


@pytest.mark.parametrize(
    ("path", "message", "said"),
    [
        ("00080020", "A value is no date.", "DA: no date"),
        ("00400275.1.00080050", "A value is longer than SH can be.", "SH: longer than SH can be"),
        ("00091001", "A value is no integer.", "no integer"),
        ("00100020", "The value is empty; the study has a patient of its own.", "LO: empty"),
        ("no tag", "The value is empty.", "empty"),
    ],
)
def test_the_class_of_a_value_is_its_vr_and_its_fault(path: str, message: str, said: str) -> None:
    assert class_of_value(path, message) == said


TIMES = st.sampled_from([EARLY, LATE, "2026-11-21T08:30:00.000Z"])
SIGHTINGS = st.builds(
    lambda count, times: Sighting(RECORD, count, min(times), max(times)),
    st.integers(1, 100),
    st.tuples(TIMES, TIMES),
)


@given(st.lists(SIGHTINGS, min_size=1, max_size=8))
def test_sightings_joined_or_written_one_by_one_come_to_the_same(sightings: list[Sighting]) -> None:
    together = sightings[0]
    document = problem_document("id", None, sightings[0])
    for each in sightings[1:]:
        together = together.joined(each)
        document = problem_document("id", document, each)

    assert problem_document("id", None, together) == document


def test_a_search_filters_by_what_is_given_and_goes_on_behind_a_row() -> None:
    search = ProblemSearch(
        kinds=("invalid-tag",),
        study_instance_uid="1.2.3",
        since=EARLY,
        state="open",
        limit=7,
        after=(5, "x"),
    )
    body = search_body(search)

    assert body["query"]["bool"]["filter"] == [
        {"terms": {"kind": ["invalid-tag"]}},
        {"term": {"study_instance_uid": "1.2.3"}},
        {"range": {"last_seen": {"gte": EARLY}}},
        {"term": {"state": "open"}},
    ]
    assert (body["size"], body["search_after"]) == (7, [5, "x"])
    assert search_body(ProblemSearch())["query"]["bool"]["filter"] == []
