"""What became of the instances of a STOW request, and the records of what was wrong with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.dicom.instance import NOT_SEARCHED, Finding
from app.errors import (
    BadInstance,
    CoregisterError,
    InconsistentPatient,
    InvalidAttributes,
    LinkRefused,
    StoreUnavailable,
    VersionConflict,
)
from app.index.problem_records import ProblemKind, ProblemRecord, class_of_value


@dataclass(frozen=True, slots=True)
class InstanceOutcome:
    """What became of one part of the request."""

    sop_class_uid: str | None
    sop_instance_uid: str | None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    error: CoregisterError | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an instance that was good when it came in; without an error it is stored."""

    error: CoregisterError | None = None
    findings: tuple[Finding, ...] = ()


def problems_of(outcome: InstanceOutcome, study_instance_uid: str = "") -> Iterator[ProblemRecord]:
    """Yield the records of one part; `study_instance_uid` is the study of the URL."""
    study = outcome.study_instance_uid or study_instance_uid
    for invalid, message in _invalid(outcome):
        yield ProblemRecord(
            "invalid-tag", study, message, invalid, class_of_value(invalid, message),
            outcome.series_instance_uid, outcome.sop_instance_uid,
        )  # fmt: skip
    error = outcome.error
    if error is None or isinstance(error, InvalidAttributes):
        return
    tags: Sequence[str | None] = (None,)
    if isinstance(error, BadInstance) and error.attributes:
        tags = error.attributes
    for tag in tags:
        yield ProblemRecord(
            _kind(error), study, error.message, tag, type(error).__name__,
            outcome.series_instance_uid, outcome.sop_instance_uid,
        )  # fmt: skip


def _invalid(outcome: InstanceOutcome) -> Iterator[tuple[str, str]]:
    if isinstance(outcome.error, InvalidAttributes):
        yield from outcome.error.details
    elif outcome.error is None:
        for finding in outcome.findings:
            if finding.reason != NOT_SEARCHED:
                yield finding.tag, finding.message


def _kind(error: CoregisterError) -> ProblemKind:
    match error:
        case LinkRefused():
            return "fhir-store-failure"
        case StoreUnavailable() | VersionConflict():
            return "transient-failure"
        case InconsistentPatient():
            return "inconsistent-study"
        case _:
            return "dicom-store-failure"
