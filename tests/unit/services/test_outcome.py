"""Which records a part of a STOW request makes."""

import pytest

from app.dicom.instance import DISCARDED, NOT_SEARCHED, Finding
from app.errors import (
    BadInstance,
    CoregisterError,
    DuplicateInstance,
    FhirUnavailable,
    InconsistentPatient,
    InvalidAttributes,
    LinkRefused,
    NotDicom,
    VersionConflict,
)
from app.services.outcome import InstanceOutcome, problems_of


def outcome(
    *findings: Finding, error: CoregisterError | None = None, study: str | None = "1.2"
) -> InstanceOutcome:
    return InstanceOutcome("1.9", "1.2.3.4", study, "1.2.3", error, findings)


def test_findings_of_what_is_stored_are_invalid_tags() -> None:
    found = problems_of(
        outcome(
            Finding("00080020", "A value is no date."),
            Finding("00400275.1.00080050", "A value is longer than SH can be.", DISCARDED),
            Finding("00091001", "Not all of it can be searched for.", NOT_SEARCHED),
        )
    )

    assert [(each.kind, each.tag, each.value_class) for each in found] == [
        ("invalid-tag", "00080020", "DA: no date"),
        ("invalid-tag", "00400275.1.00080050", "SH: longer than SH can be"),
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotDicom("No."), "dicom-store-failure"),
        (DuplicateInstance("No."), "dicom-store-failure"),
        (LinkRefused("No."), "fhir-store-failure"),
        (FhirUnavailable("No."), "transient-failure"),
        (VersionConflict("No."), "transient-failure"),
        (InconsistentPatient("No.", attributes=("00100020",)), "inconsistent-study"),
    ],
)
def test_an_error_is_a_record_of_its_kind(error: CoregisterError, kind: str) -> None:
    """What else was found in an instance that is not there matters to nobody."""
    (record,) = problems_of(outcome(Finding("00080020", "A value is no date."), error=error))

    assert (record.kind, record.study_instance_uid) == (kind, "1.2")
    assert (record.value_class, record.sop_instance_uid) == (type(error).__name__, "1.2.3.4")


def test_a_strict_refusal_names_each_invalid_tag() -> None:
    error = InvalidAttributes(
        "No.", details=(("00080020", "A value is no date."), ("00091001", "x"))
    )

    assert [each.tag for each in problems_of(outcome(error=error))] == ["00080020", "00091001"]


def test_a_part_without_a_study_is_of_the_study_of_the_url() -> None:
    part = outcome(error=BadInstance("No."), study=None)

    assert [each.study_instance_uid for each in problems_of(part, "1.7")] == ["1.7"]
    assert [each.study_instance_uid for each in problems_of(part)] == [""]
