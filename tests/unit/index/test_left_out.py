"""Who stores, and who asks, hears of what is not wholly searched."""

import pytest

from app.dicom.instance import NOT_SEARCHED, Finding
from app.dicom.qido_grammar import Level, Scope, parse_query
from app.index.left_out import left_out_body, left_out_findings, left_out_warnings
from app.limits import Limits


def test_sender_hears_of_each_attribute_once() -> None:
    document = {"not_indexed": ["00080022", "00400275.00400009", "52009230+", '0019"AÄ"02', "*"]}
    known = [Finding("00080022", "no date"), Finding("00400275.2.00400009", "too long")]

    found = left_out_findings(document, known)

    assert [each.tag for each in found] == ["52009230", "0019'A?'02", "others"]
    assert {each.reason for each in found} == {NOT_SEARCHED}


def test_instance_that_is_wholly_indexed_is_not_talked_about() -> None:
    assert left_out_findings({}, []) == ()


@pytest.mark.parametrize(
    ("name", "value", "asked"),
    [
        ("PatientName", "Doe", False),
        ("PatientComments", "x", True),
        ("SliceThickness", "1", True),
        ("SOPInstanceUID", "1.2.3", False),
        ("ProcedureCodeSequence.CodeValue", "1", True),
    ],
)
def test_only_attributes_that_can_exceed_a_limit_are_asked_for(
    name: str, value: str, asked: bool
) -> None:
    keys = parse_query(Level.STUDY, Scope(), [(name, value)], Limits()).keys

    assert (left_out_body(keys, [], value_bytes=1000) is not None) is asked


def test_counted_are_only_instances_that_meet_the_keys_of_which_nothing_is_lacking() -> None:
    asked = [("SliceThickness", "1"), ("Modality", "CT")]
    keys = parse_query(Level.INSTANCE, Scope(), asked, Limits()).keys

    body = left_out_body(keys, [{"term": {"scope": "x"}}], value_bytes=1000)

    assert body is not None
    assert body["query"]["bool"]["filter"] == [
        {"term": {"scope": "x"}},
        {"terms": {"tokens": ["00080060=CT"]}},
        {"terms": {"not_indexed": ["00180050", "*"]}},
    ]


def test_warnings_stay_few() -> None:
    names = [f"0018{number:04X}" for number in range(0x9A00, 0x9A00 + 30)]
    keys = parse_query(Level.INSTANCE, Scope(), [(name, "1") for name in names], Limits()).keys
    buckets = {name: {"doc_count": 1} for name in names}
    response = {"aggregations": {"left_out": {"buckets": buckets}}}

    warnings = left_out_warnings(keys, Level.INSTANCE, response)

    assert 0 < len(warnings) < 10
    assert sum(map(len, warnings)) < 2_000
    assert '"' not in "".join(warnings)
