"""A study that FHIR refuses fails alone, and leaves nothing (P1, P2)."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.conftest import Stack
from tests.corpus import SENTINEL, make_instance
from tests.server import STOPPED, Server, store, values

pytestmark = pytest.mark.stack

PROCESSING_FAILURE = 0x0110


@pytest.fixture
def own(stack: Stack, tmp_path: Path) -> Iterator[Server]:
    """Run a Coregister of this test alone: its archive is harmed from outside."""
    running = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url)
    running.start()
    try:
        yield running
        assert running.stop() in STOPPED
    finally:
        running.discard()


def remove_study_and_patient(fhir: httpx.Client, study: str) -> None:
    """Delete the resources of a study as a FHIR user could."""
    query = {"identifier": f"urn:dicom:uid|urn:oid:{study}"}
    resource = fhir.get("/ImagingStudy", params=query).json()["entry"][0]["resource"]
    for reference in (f"ImagingStudy/{resource['id']}", resource["subject"]["reference"]):
        fhir.delete(f"/{reference}").raise_for_status()


def test_a_study_that_fhir_refuses_fails_and_its_neighbours_are_stored(
    own: Server, fhir: httpx.Client
) -> None:
    """Coregister knows the Patient from before; somebody deletes it: FHIR refuses the reference."""
    patient = generate_uid()
    first, refused, stored = generate_uid(), generate_uid(), generate_uid()
    with httpx.Client(base_url=own.base, timeout=60, trust_env=False) as client:
        known = make_instance(PatientID=patient, StudyInstanceUID=first)
        assert store(client, known).status_code == 200
        remove_study_and_patient(fhir, first)
        bad = make_instance(PatientID=patient, StudyInstanceUID=refused)
        good = make_instance(PatientID=generate_uid(), StudyInstanceUID=stored)

        answer = store(client, bad, good)

        body = answer.json()
        assert answer.status_code == 202
        (failure,) = body["00081198"]["Value"]
        assert values(failure, "00081197") == [PROCESSING_FAILURE]
        (comment,) = values(failure["00741048"]["Value"][0], "00000902")
        assert "FHIR" in comment
        assert SENTINEL not in answer.text
        assert [url.endswith(stored) for url in values(body, "00081190")] == [True]
        for study, found in ((refused, 204), (stored, 200)):
            assert client.get("/studies", params={"StudyInstanceUID": study}).status_code == found
            assert client.get(f"/studies/{study}").status_code == (200 if found == 200 else 404)
        assert not list(own.blobs.rglob(f"{refused}/**/*.dcm"))

        again = store(client, bad)

        assert again.status_code == 200
        row = client.get("/studies", params={"StudyInstanceUID": refused}).json()[0]
        assert values(row, "00201208") == [1]
