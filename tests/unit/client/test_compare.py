"""What counts as agreement between QIDO, FHIR and WADO."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.compare import Counts, StudySeen, differences, fhir_counts, qido_counts

ROW: dict[str, Any] = {
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
    "00100020": {"vr": "LO", "Value": ["42"]},
    "00201206": {"vr": "IS", "Value": [2]},
    "00201208": {"vr": "IS", "Value": [3]},
}


def instance(series: str, uid: str) -> dict[str, Any]:
    return {
        "0020000E": {"vr": "UI", "Value": [series]},
        "00080018": {"vr": "UI", "Value": [uid]},
    }


IMAGING_STUDY: dict[str, Any] = {
    "resourceType": "ImagingStudy",
    "modality": [{"code": "SR"}, {"code": "CT"}],
    "numberOfSeries": 2,
    "numberOfInstances": 3,
    "series": [
        {"uid": "1.2.1", "numberOfInstances": 2},
        {"uid": "1.2.2", "numberOfInstances": 1},
    ],
}

AGREEING = StudySeen(
    study_instance_uid="1.2",
    sent=frozenset({"1", "2"}),
    rows=[ROW],
    instances=[instance("1.2.1", "1"), instance("1.2.1", "2"), instance("1.2.2", "3")],
    imaging_studies=[IMAGING_STUDY],
    patient={"identifier": [{"system": "a", "value": "42"}]},
)


def test_study_that_both_sides_tell_alike_agrees() -> None:
    assert differences(AGREEING) == ()
    assert AGREEING.qido == Counts(frozenset({"CT", "SR"}), 2, 3)


SERIES_MOVED = IMAGING_STUDY | {
    "series": [{"uid": "1.2.1", "numberOfInstances": 1}, {"uid": "1.2.2", "numberOfInstances": 2}]
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": []}, "QIDO finds the study 0 times, FHIR finds 1"),
        ({"rows": [ROW, ROW]}, "QIDO finds the study 2 times"),
        ({"imaging_studies": []}, "FHIR finds 0 ImagingStudy"),
        ({"imaging_studies": [IMAGING_STUDY] * 2}, "FHIR finds 2 ImagingStudy"),
        ({"imaging_studies": [IMAGING_STUDY | {"numberOfInstances": 4}]}, "FHIR counts CT/SR 2/4"),
        ({"imaging_studies": [IMAGING_STUDY | {"modality": []}]}, "FHIR counts - 2/3"),
        ({"imaging_studies": [SERIES_MOVED]}, "disagree about the series"),
        ({"sent": frozenset({"1", "9"})}, "QIDO misses 1 acknowledged"),
        ({"instances": AGREEING.instances[:2]}, "QIDO counts 3 instances and lists 2"),
        ({"instances": [AGREEING.instances[0]] * 3}, "lists an instance twice"),
        ({"patient": None}, "leads to no Patient"),
        ({"patient": {"identifier": [{"value": "43"}]}}, "is not the PatientID"),
        ({"other_bytes": ("1",)}, "WADO changes the bytes of 1 instances"),
    ],
)
def test_any_disagreement_is_told(changes: dict[str, Any], words: str) -> None:
    assert any(words in difference for difference in differences(replace(AGREEING, **changes)))


def test_study_without_patient_id_only_needs_some_patient() -> None:
    row = {tag: value for tag, value in ROW.items() if tag != "00100020"}
    seen = replace(AGREEING, rows=[row], patient={"resourceType": "Patient"})

    assert differences(seen) == ()


@given(
    st.frozensets(st.sampled_from(["CT", "MR", "SR", "US"]), max_size=4),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
)
def test_counts_read_from_either_side_are_equal(
    modalities: frozenset[str], series: int, instances: int
) -> None:
    """The order of modalities is nobody's promise, and IS may come as text (PS3.18 F.2.2)."""
    row = {
        "00080061": {"vr": "CS", "Value": sorted(modalities)},
        "00201206": {"vr": "IS", "Value": [str(series)]},
        "00201208": {"vr": "IS", "Value": [instances]},
    }
    imaging_study = {
        "modality": [{"code": code} for code in sorted(modalities, reverse=True)],
        "numberOfSeries": series,
        "numberOfInstances": instances,
    }

    assert qido_counts(row) == fhir_counts(imaging_study)
