"""A search for patients."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.dicom.qido_ordering import OrderKey
from app.errors import BadQuery
from app.index.cursor import Position, write_cursor
from app.index.packing import pack_json
from app.index.patients import (
    RESOURCE,
    FoundPatients,
    _start,
    columns_of_patients,
    patient_rows,
    patient_steps,
)
from app.index.steps import Request
from app.limits import Limits

LIMITS = Limits()
NAME, ID = OrderKey("00100010"), OrderKey("00100020")


def query(*parameters: tuple[str, str]) -> Query:
    return parse_query(Level.STUDY, Scope(), parameters, LIMITS)


def groups(*places: Sequence[str | None]) -> dict[str, Any]:
    buckets = [
        {"key": {**{f"by_{n}": value for n, value in enumerate(place[:-1])}, "patient": place[-1]}}
        for place in places
    ]
    return {"aggregations": {"patients": {"buckets": buckets}}}


def details(*patients: str) -> dict[str, Any]:
    metadata = pack_json(
        {
            "00080020": {"vr": "DA", "Value": ["20240101"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]},
        }
    )
    buckets = [
        {
            "key": each,
            "doc_count": 3,
            "series": {"value": 4.0},
            "instances": {"value": 50.0},
            "newest": {"hits": {"hits": [{"_source": {"metadata": metadata}}]}},
        }
        for each in reversed(patients)  # the most studies first: not the order that is asked for
    ]
    return {"aggregations": {"patients": {"buckets": buckets}}}


def carried_out(asked: Query, *responses: dict[str, Any]) -> tuple[FoundPatients, list[Request]]:
    steps = patient_steps(asked, LIMITS)
    seen = [next(steps)]
    try:
        for response in responses:
            step = steps.send((response, None))
            seen.append(step)
    except StopIteration as done:
        return done.value, seen
    raise AssertionError(f"still asks for {seen[-1]}")


def test_page_has_its_patients_in_the_order_asked_for_with_counts() -> None:
    asked = query(("limit", "2"), ("offset", "1"))
    places = groups(("a", "1", "P/3"), ("b", "2", "P/1"), ("c", "3", "P/2"), ("d", "4", "P/4"))

    found, seen = carried_out(asked, places, details("P/1", "P/2"))
    rows = list(patient_rows(asked, found.buckets))

    assert (found.total, found.passed, found.full) == (4, 1, True)
    assert [bucket["key"] for bucket in found.buckets] == ["P/1", "P/2"]
    assert found.last == ("c", "3", "P/2")
    assert rows[0].keys() == {"00100010", "00201200", "00201202", "00201204"}
    assert rows[0]["00201204"] == {"vr": "IS", "Value": [50]}
    assert [step.index for step in seen] == ["studies", "studies"]
    assert seen[1].body["query"]["bool"]["filter"] == [{"terms": {"fhir.patient": ["P/1", "P/2"]}}]


def test_patient_whose_name_is_spelled_in_two_ways_stands_at_the_first() -> None:
    places = groups(("a", "1", "P/1"), ("b", "2", "P/2"), ("c", "1", "P/1"))

    found, _ = carried_out(query(), places, details("P/1", "P/2"))

    assert found.total == 2
    assert [bucket["key"] for bucket in found.buckets] == ["P/1", "P/2"]


def test_nobody_is_asked_about_where_nobody_matches() -> None:
    found, seen = carried_out(query(("PatientID", "x")), groups())

    assert (found.total, found.buckets, len(seen)) == (0, (), 1)


def test_cursor_goes_on_behind_a_patient_who_is_gone() -> None:
    asked = query(("limit", "1"))
    cursor = write_cursor(RESOURCE, asked, Position(2, ("b", "2", "P/2")))
    places = groups(("a", "1", "P/1"), ("c", "3", "P/3"), (None, None, "P/4"))

    found, _ = carried_out(query(("limit", "1"), ("cursor", cursor)), places, details("P/3"))

    assert [bucket["key"] for bucket in found.buckets] == ["P/3"]


PLACES = st.lists(
    st.tuples(st.none() | st.sampled_from(["=a", "=b"]), st.none() | st.sampled_from(["=1", "=2"])),
    max_size=12,
)


@given(PLACES, st.booleans(), st.booleans(), st.integers(0, 11))
def test_cursor_begins_right_behind_its_patient(
    keys: list[tuple[str | None, str | None]], first: bool, second: bool, at: int
) -> None:
    """In the order of the index: by each key up or down, what has no value last either way."""
    order = [OrderKey(NAME.tag, first), OrderKey(ID.tag, second)]
    places = [(*key, f"P/{n:02d}") for n, key in enumerate(keys)]
    places.sort(key=lambda place: place[2])
    for position, falling in ((1, second), (0, first)):
        there = [place for place in places if place[position] is not None]
        there.sort(key=lambda place: str(place[position]), reverse=falling)
        places = there + [place for place in places if place[position] is None]
    if at < len(places):
        assert _start(places, Position(0, places[at]), order) == at + 1


def test_patients_are_sorted_by_attributes_of_theirs_only() -> None:
    with pytest.raises(BadQuery, match="00080020"):
        next(patient_steps(query(("orderby", "StudyDate")), LIMITS))


def test_columns_are_attributes_of_the_patient() -> None:
    plain = columns_of_patients(query(("StudyDate", "20240101"), ("PatientComments", "x")))
    every = columns_of_patients(query(("includefield", "all")))

    assert ("00104000",) in plain
    assert ("00080020",) not in plain
    assert {("00201200",), ("00100010",)} <= set(plain) < set(every)
