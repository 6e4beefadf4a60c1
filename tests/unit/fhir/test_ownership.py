"""What others wrote on an ImagingStudy survives, what is Coregister's is put back."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fhir.ownership import damaged, repaired, study_uid_of, subject_of
from tests.unit.fhir.conftest import Merge
from tests.unit.fhir.dicom_json import record

RECORDS = [record(number, series=series) for series in (1, 2) for number in range(1, 4)]
SUBJECT = {"reference": "Patient/p"}

OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "note": st.just([{"text": "Seen"}]),
        "reasonCode": st.just([{"text": "Cough"}]),
        "interpreter": st.just([{"display": "Dr. Chen"}]),
        "extension": st.just([{"url": "urn:other:priority", "valueCode": "high"}]),
        "description": st.sampled_from(["By hand", ""]).filter(bool),
        "procedureCode": st.just([{"text": "CT of the chest"}]),
    },
)
WRONG = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["cancelled", "unknown", None]),
        "modality": st.sampled_from([[{"code": "XX"}], None]),
        "started": st.sampled_from(["1999-01-01", None]),
        "numberOfSeries": st.sampled_from([0, 77, None]),
        "numberOfInstances": st.sampled_from([0, 77, None]),
        "endpoint": st.sampled_from([[{"reference": "Endpoint/other"}], None]),
        "series": st.sampled_from([[], None, [{"uid": "9.9"}], [{"uid": "9.9"}, {"number": 1}]]),
        "identifier": st.sampled_from(
            [[], None, [{"system": "urn:dicom:uid", "value": "urn:oid:9.9"}]]
        ),
    },
)


def edited(study: dict[str, Any], *edits: dict[str, Any]) -> dict[str, Any]:
    """Return what a client leaves: None removes an element, extensions are added."""
    after = deepcopy(study)
    for name, value in (item for edit in edits for item in edit.items()):
        if name == "extension":
            after[name] = [*after.get(name, ()), *value]
        elif value is None:
            after.pop(name, None)
        else:
            after[name] = value
    return after


@given(OTHERS)
def test_what_others_add_is_no_damage(merge: Merge, others: dict[str, Any]) -> None:
    good = merge(None, RECORDS)

    assert damaged(edited(good, others), good) == ()


@given(OTHERS, WRONG)
def test_damage_is_undone_and_nothing_of_others_is_lost(
    merge: Merge, others: dict[str, Any], wrong: dict[str, Any]
) -> None:
    good = merge(None, RECORDS)
    current = edited(good, others, wrong)
    before = deepcopy(current)
    after = repaired(current, good, subject=SUBJECT)

    assert damaged(after, good) == ()
    assert after == edited({**good, "subject": SUBJECT}, others)
    assert current == before


@pytest.mark.parametrize("name", ["status", "numberOfSeries", "series", "identifier", "endpoint"])
def test_a_missing_owned_element_is_damage(merge: Merge, name: str) -> None:
    good = merge(None, RECORDS)

    assert damaged(edited(good, {name: None}), good) == (name,)


def test_codes_that_somebody_wrote_into_a_series_are_kept(merge: Merge) -> None:
    good = merge(None, RECORDS)
    current = deepcopy(good)
    current["series"][0]["bodySite"] = {"display": "Knee"}
    current["series"][0]["instance"][0]["title"] = "Key image"
    assert damaged(current, good) == ()

    current["series"][0]["numberOfInstances"] = 9
    del current["series"][0]["instance"][1]
    del current["series"][1]
    after = repaired(current, good, subject=SUBJECT)
    assert after["series"][0]["bodySite"] == {"display": "Knee"}
    assert after["series"][0]["instance"][0]["title"] == "Key image"
    assert damaged(after, good) == ()


def test_the_order_of_series_is_nobodys(merge: Merge) -> None:
    good = merge(None, RECORDS)

    assert damaged({**good, "series": good["series"][::-1]}, good) == ()


def test_a_series_twice_is_damage(merge: Merge) -> None:
    good = merge(None, RECORDS)
    first, second = good["series"]

    assert damaged({**good, "series": [first, first]}, good) == ("series",)
    assert damaged({**good, "series": [first, first, second]}, good) == ("series",)


def test_a_list_that_follows_later_is_no_damage(merge: Merge) -> None:
    """A large study counts first and lists its instances once it is at rest."""
    whole = merge(None, RECORDS)
    counted = deepcopy(whole)
    for series in counted["series"]:
        del series["instance"]

    assert damaged(whole, counted) == ()
    assert damaged(counted, whole) == ("series",)
    whole["series"][0]["instance"].pop()
    assert damaged(whole, counted) == ("series",)
    assert damaged(repaired(whole, counted, subject=SUBJECT), counted) == ()


def test_own_extensions_are_owned_and_others_are_not(merge: Merge) -> None:
    good = edited(
        merge(None, RECORDS), {"extension": [{"url": "urn:coregister:commit", "valueString": "a"}]}
    )
    theirs = {"url": "urn:other", "valueString": "b"}
    current = {**good, "extension": [theirs]}

    assert damaged(current, good) == ("extension",)
    after = repaired(current, good, subject=SUBJECT)
    assert theirs in after["extension"]
    assert damaged(after, good) == ()


@pytest.mark.parametrize(
    ("subject", "reference"),
    [
        ({"reference": "Patient/a"}, "Patient/a"),
        ({"reference": "Patient/a/_history/3"}, "Patient/a"),
        ({"reference": "Group/a"}, None),
        ({"reference": "Patient/"}, None),
        ({"identifier": {"value": "x"}}, None),
        ({"display": "Somebody"}, None),
    ],
)
def test_a_subject_counts_where_it_is_a_patient_here(
    subject: dict[str, Any], reference: str | None
) -> None:
    assert subject_of({"subject": subject}) == reference
    assert subject_of({}) is None


def test_the_study_uid_is_the_one_of_dicom() -> None:
    other = {"system": "urn:other", "value": "urn:oid:1.2"}
    ours = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}

    assert study_uid_of([other, ours]) == "1.2.3"
    assert study_uid_of([other, {"system": "urn:dicom:uid"}]) is None
