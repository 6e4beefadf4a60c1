"""A correction is put on a data set and taken off again, and leaves a record."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.dicom.correction import ORIGINAL_ATTRIBUTES, Correction, corrected, restored

AT = "2026-02-03T04:05:06.789Z"
NAME, SEX, PATIENT_ID = "00100010", "00100040", "00100020"


def name(text: str) -> dict[str, Any]:
    return {"vr": "PN", "Value": [{"Alphabetic": text}]}


def of(shown: dict[str, Any], attributes: dict[str, Any]) -> Correction:
    correction = Correction.of(shown, attributes, patient="Patient/p", at=AT, reason="CORRECT")
    assert correction is not None
    return correction


def test_an_instance_records_what_stood_there() -> None:
    """PS3.3 §C.12.1.1.9: one item, with all that was changed, when, by whom and why."""
    attributes = {NAME: name("Doe^Jane"), SEX: {"vr": "CS", "Value": ["F"]}}
    correction = of({NAME: name("Roe^Jane")}, attributes)

    shown = corrected(attributes, correction, instance=True)

    assert shown[NAME] == name("Roe^Jane")
    assert shown[ORIGINAL_ATTRIBUTES]["Value"] == [
        {
            "04000550": {"vr": "SQ", "Value": [{NAME: name("Doe^Jane")}]},
            "04000562": {"vr": "DT", "Value": ["20260203040506.789000+0000"]},
            "04000563": {"vr": "LO", "Value": ["Coregister"]},
            "04000564": {"vr": "LO"},
            "04000565": {"vr": "CS", "Value": ["CORRECT"]},
        }
    ]
    assert list(shown) == sorted(shown)


def test_an_attribute_that_was_not_there_is_recorded_without_a_value() -> None:
    correction = of({SEX: {"vr": "CS", "Value": ["M"]}}, {})
    (item,) = corrected({}, correction, instance=True)[ORIGINAL_ATTRIBUTES]["Value"]
    assert item["04000550"]["Value"] == [{SEX: {"vr": "CS"}}]


def test_a_series_or_study_records_nothing() -> None:
    attributes = {NAME: name("Doe")}
    shown = corrected(attributes, of({NAME: name("Roe")}, attributes), instance=False)
    assert shown == {NAME: name("Roe")}


def test_what_others_recorded_stays_in_front() -> None:
    theirs = {"04000563": {"vr": "LO", "Value": ["PACS"]}}
    attributes = {NAME: name("Doe"), ORIGINAL_ATTRIBUTES: {"vr": "SQ", "Value": [theirs]}}
    correction = of({NAME: name("Roe")}, attributes)

    shown = corrected(attributes, correction, instance=True)

    assert shown[ORIGINAL_ATTRIBUTES]["Value"][0] == theirs
    assert len(shown[ORIGINAL_ATTRIBUTES]["Value"]) == 2
    assert restored(shown, correction) == attributes


def test_what_is_shown_anyway_is_no_correction() -> None:
    attributes = {NAME: name("Doe")}
    shown = {NAME: name("Doe"), PATIENT_ID: None}
    assert Correction.of(shown, attributes, patient="Patient/p", at=AT) is None


elements = st.one_of(
    st.builds(lambda text: {"vr": "LO", "Value": [text]}, st.text(max_size=5)),
    st.just({"vr": "CS"}),
)
tags = st.sampled_from([NAME, PATIENT_ID, SEX, "00080005", "00100021", "7FE00010"])
data_sets = st.dictionaries(tags, elements)


@given(data_sets, st.dictionaries(tags, st.one_of(st.none(), elements)), st.booleans())
def test_taking_it_off_gives_the_object_back(
    attributes: dict[str, Any], shown: dict[str, Any], instance: bool
) -> None:
    correction = Correction.of(shown, attributes, patient="Patient/p", at=AT)
    if correction is None:
        return
    after = corrected(attributes, correction, instance=instance)
    assert all(after.get(tag) == element for tag, element in shown.items())
    assert restored(after, correction) == attributes
    assert Correction.from_json(correction.to_json()) == correction
