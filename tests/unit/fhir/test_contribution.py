"""What several instances say is put together whatever their order, and beside what others wrote."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dicom.instance import InstanceRecord
from app.fhir.authorship import AUTHORED_EXTENSION, authored
from app.fhir.commit_marks import CommitMarks
from app.fhir.reduction import ours_alone, reduce_imaging_study
from app.fhir.references import Logical, literal, logical_references
from app.limits import Limits
from tests.unit.fhir.conftest import Merge
from tests.unit.fhir.dicom_json import attributes, record
from tests.unit.fhir.said import instances

few = st.lists(st.tuples(st.integers(1, 3), instances), min_size=1, max_size=6)
SNOMED = "http://snomed.info/sct"


def records_of(given: Sequence[tuple[int, dict[str, Any]]]) -> list[InstanceRecord]:
    return [record(n, series=s, values=v) for n, (s, v) in enumerate(given)]


def code(value: str, meaning: str = "", scheme: str = "99ACME") -> dict[str, Any]:
    return attributes(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


@settings(deadline=None, max_examples=50)
@given(few, st.data())
def test_neither_order_nor_grouping_changes_what_is_said(
    merge: Merge, given: list[tuple[int, dict[str, Any]]], data: st.DataObject
) -> None:
    records = records_of(given)
    shuffled = data.draw(st.permutations(records))
    cuts = data.draw(st.sets(st.integers(1, len(records)), max_size=3))
    study = None
    for start, end in pairwise([0, *sorted({*cuts, len(records)})]):
        study = merge(study, shuffled[start:end])

    assert study == merge(None, records)


@settings(deadline=None, max_examples=50)
@given(few, few)
def test_said_again_nothing_changes(
    merge: Merge, first: list[tuple[int, dict[str, Any]]], second: list[tuple[int, dict[str, Any]]]
) -> None:
    records = records_of([*first, *second])
    whole = merge(None, records)

    assert merge(whole, records[: len(first)]) == whole


STUDY_EDITS: dict[str, Any] = {
    "description": "Corrected by hand",
    "referrer": {"display": "Somebody"},
    "interpreter": [{"display": "Somebody else"}],
    "encounter": {"reference": "Encounter/1"},
    "procedureCode": [{"text": "CT"}],
    "reasonCode": [{"text": "Pain"}],
    "location": {"display": "Room 1"},
    "note": [{"text": "Look again"}],
}
SERIES_EDITS: dict[str, Any] = {
    "number": 99,
    "description": "Corrected by hand",
    "bodySite": {"code": "x"},
    "laterality": {"code": "y"},
    "specimen": [{"display": "A glass"}],
    "performer": [{"actor": {"display": "Somebody"}}],
}


@settings(deadline=None, max_examples=50)
@given(
    few,
    few,
    st.sets(st.sampled_from(sorted(STUDY_EDITS))),
    st.sets(st.sampled_from(sorted(SERIES_EDITS))),
)
def test_what_others_wrote_stays_whatever_comes(
    merge: Merge,
    first: list[tuple[int, dict[str, Any]]],
    second: list[tuple[int, dict[str, Any]]],
    of_study: set[str],
    of_series: set[str],
) -> None:
    records = records_of([*first, *second])
    before = deepcopy(merge(None, records[: len(first)]))
    before |= {name: STUDY_EDITS[name] for name in of_study}
    edited = before["series"][0]
    edited |= {name: SERIES_EDITS[name] for name in of_series}

    after = merge(before, records[len(first) :])

    assert {name: after[name] for name in of_study} == {n: STUDY_EDITS[n] for n in of_study}
    (series,) = (each for each in after["series"] if each["uid"] == edited["uid"])
    assert {name: series[name] for name in of_series} == {n: SERIES_EDITS[n] for n in of_series}


def test_codes_of_several_series_are_all_there(merge: Merge) -> None:
    one = record(1, series=1, values={"ProcedureCodeSequence": [code("2", "Two")]})
    other = record(
        2, series=2, values={"ProcedureCodeSequence": [code("1", "One"), code("2", "Two")]}
    )

    study = merge(merge(None, [one]), [other])

    assert [each["text"] for each in study["procedureCode"]] == ["One", "Two"]


def test_a_series_of_both_sides_is_of_both(merge: Merge) -> None:
    """A mammography has images of either breast in one series (PS3.3 §10.13)."""
    study = None
    sides = []
    for number, side in enumerate(["R", "R", "L", "R"]):
        study = merge(study, [record(number, values={"ImageLaterality": side})])
        sides.append(study["series"][0]["laterality"]["code"])

    assert sides == ["24028007", "24028007", "51440002", "51440002"]


def test_a_coded_body_site_goes_before_a_named_one(merge: Merge) -> None:
    named = record(1, values={"BodyPartExamined": "A NOSE"})
    coded = record(2, values={"AnatomicRegionSequence": [code("45206002", "Nose", "SCT")]})

    for order in ([named, coded], [coded, named]):
        study = None
        for each in order:
            study = merge(study, [each])
        assert study is not None
        assert study["series"][0]["bodySite"] == {
            "system": SNOMED,
            "code": "45206002",
            "display": "Nose",
        }


def test_a_list_stays_as_long_as_the_limit_allows(merge: Merge) -> None:
    """The same ones are kept, whatever came first."""
    limits = Limits(fhir_values=5)
    records = [
        record(n, values={"ReasonForStudy": f"Reason {n}", "AccessionNumber": f"A{n}"})
        for n in range(9)
    ]
    forward = backward = None
    for one, other in zip(records, reversed(records), strict=True):
        forward, backward = (
            merge(forward, [one], limits=limits),
            merge(backward, [other], limits=limits),
        )

    assert forward == backward
    assert forward is not None
    assert [len(forward[name]) for name in ("reasonCode", "basedOn", "identifier")] == [5, 5, 6]


def test_a_reference_that_was_made_literal_is_still_known(merge: Merge) -> None:
    """The link service puts `reference` beside the identifier; a further instance takes nothing away."""
    person = [attributes(PersonIdentificationCodeSequence=[code("4711", "Dr Who")])]
    values = {
        "AccessionNumber": "A1",
        "AdmissionID": "V1",
        "ReferringPhysicianIdentificationSequence": person,
        "OperatorIdentificationSequence": person,
    }
    study = merge(None, [record(1, values=values)])
    known = {
        logical: f"{logical.resource_type}/{n}"
        for n, logical in enumerate(logical_references(study))
    }
    assert Logical("Encounter", "urn:coregister:admission-id", "V1") in known
    linked = literal(study, known)

    after = merge(linked, [record(2, values={**values, "AccessionNumber": "A2"})])

    assert [each.get("reference") for each in after["basedOn"]] == [
        linked["basedOn"][0]["reference"],
        None,
    ]
    for name in ("encounter", "referrer"):
        assert after[name] == linked[name]
    assert after["series"][0]["performer"] == linked["series"][0]["performer"]
    assert authored(after) == authored(study) == {"encounter", "referrer"}


def test_a_revived_study_keeps_nothing_of_the_objects_that_are_gone(merge: Merge) -> None:
    """What comes under the same UID may be another patient's, of another order."""
    values = {
        "AccessionNumber": "A1",
        "ReferringPhysicianName": {"Alphabetic": "Who^Dr"},
        "StudyDescription": "Knee",
    }
    theirs = {"note": [{"text": "theirs"}], "referrer": {"display": "theirs"}}
    full = merge(None, [record(1, values=values)]) | theirs
    empty = reduce_imaging_study(
        full,
        {full["series"][0]["uid"]: {full["series"][0]["instance"][0]["uid"]}},
        endpoints=["Endpoint/e"],
        emptied_status="cancelled",
        limits=Limits(),
        commit=CommitMarks(()),
    )

    assert merge(empty, [record(2)]) == merge(None, [record(2)]) | theirs


def test_an_edit_makes_a_study_no_longer_ours_alone(merge: Merge) -> None:
    study = merge(None, [record(1, values={"StudyDescription": "Knee", "AccessionNumber": "A1"})])

    assert ours_alone(study)
    assert not ours_alone(study | {"description": "Hip"})


@pytest.mark.parametrize(
    "kept", ["", "nonsense", "description", "description: :x", "description:1"]
)
def test_a_damaged_memory_makes_everything_others_own(merge: Merge, kept: str) -> None:
    study = merge(None, [record(1, values={"StudyDescription": "Knee"})])
    study["extension"] = [{"url": AUTHORED_EXTENSION, "valueString": kept}]

    after = merge(study, [record(2, values={"StudyDescription": "Abdomen"})])

    assert after["description"] == "Knee"


def test_the_first_of_several_texts_in_order_is_taken(merge: Merge) -> None:
    texts = ["Knee", "Abdomen", "Skull"]
    study = None
    for number, text in enumerate(texts):
        study = merge(study, [record(number, values={"StudyDescription": text})])

    assert study is not None
    assert study["description"] == "Abdomen"
