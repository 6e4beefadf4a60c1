"""What the tests of this folder share."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.dicom.instance import InstanceRecord
from app.fhir.commit_marks import CommitMarks
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import merge_imaging_study
from app.limits import Limits

Merge = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def systems() -> IdentifierSystems:
    return IdentifierSystems(
        patient_id_system="urn:test:patient",
        issuer_system_prefix="urn:test:issuer:",
        accession_system="urn:test:accession",
    )


@pytest.fixture(scope="session")
def merge(systems: IdentifierSystems) -> Merge:
    """Return the merge with everything that a test does not care about filled in."""

    def merged(
        previous: dict[str, Any] | None,
        added: Sequence[InstanceRecord],
        *,
        limits: Limits | None = None,
        time_zone: str | None = None,
        commit: CommitMarks | None = None,
        patient: str = "Patient/p",
    ) -> dict[str, Any]:
        return merge_imaging_study(
            previous,
            added,
            patient=patient,
            endpoints=["Endpoint/e"],
            limits=limits or Limits(),
            systems=systems,
            time_zone=time_zone,
            commit=commit or CommitMarks(()),
        )

    return merged
