"""An object whose report FHIR refuses is stored and linked all the same, and the refusal can be found."""

import time
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.corpus import SENTINEL
from tests.http.test_link_refused import RefusingFhir, door, own
from tests.http.test_reports import observations, of_object, study_of
from tests.report_objects import ct_dose, findings_report
from tests.server import Server, store, values

__all__ = ["door", "own"]  # the fixtures

pytestmark = pytest.mark.stack

UNWELCOME = "Unwelcome"


def problems(server: Server, study: str) -> list[dict[str, Any]]:
    """Return the recorded problems of a study; they are written at leisure."""
    for _ in range(50):
        answer = httpx.get(
            f"{server.root}/errors",
            params={"study": study, "kind": "fhir-store-failure"},
            timeout=30,
        )
        found: list[dict[str, Any]] = answer.json()["errors"]
        if found:
            return found
        time.sleep(0.2)
    return []


def test_refused_report_leaves_its_object_and_its_neighbours_alone(
    own: Server, door: RefusingFhir, fhir: httpx.Client
) -> None:
    study, patient = generate_uid(), generate_uid()
    shared = {"StudyInstanceUID": study, "PatientID": patient}
    door.refused.add(UNWELCOME)
    refused = findings_report(
        **shared, VerifyingObserverSequence=[{"VerifyingOrganization": UNWELCOME}]
    )
    welcome = ct_dose(StudyInstanceUID=study, PatientID=patient)
    with httpx.Client(base_url=own.base, timeout=60, trust_env=False) as client:
        answer = store(client, refused, welcome)

        assert answer.status_code == 200
        row = client.get("/studies", params={"StudyInstanceUID": study}).json()[0]
        assert values(row, "00201208") == [2]
    assert fhir.get(f"/{study_of(refused)}").json()["numberOfInstances"] == 2
    assert len(observations(fhir, welcome)) == 3
    with pytest.raises(ValueError, match="not enough values"):
        of_object(fhir, refused, "DiagnosticReport")
    (problem,) = problems(own, study)
    assert "FHIR server refuses" in problem["message"]
    assert UNWELCOME not in str(problem)
    assert SENTINEL not in str(problem)
