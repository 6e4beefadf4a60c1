"""A stored report can be found in FHIR at once, follows its object, and keeps what others wrote on it."""

import time
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from app.fhir.ids import imaging_study_id
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.test_delete import path_of
from tests.report_objects import (
    PDF,
    angiography_dose,
    code,
    ct_dose,
    findings_report,
    pdf,
    tid_1500,
)
from tests.server import STOPPED, Server, store

pytestmark = pytest.mark.stack


def found(fhir: httpx.Client, kind: str, **params: str) -> list[dict[str, Any]]:
    """Return what a search finds."""
    answer = fhir.get(f"/{kind}", params=params, headers={"Cache-Control": "no-cache"})
    answer.raise_for_status()
    return [entry["resource"] for entry in answer.json().get("entry", ())]


def of_object(fhir: httpx.Client, data: bytes, kind: str) -> dict[str, Any]:
    """Return the resource that has the object's own UID."""
    uid = pydicom.dcmread(BytesIO(data)).SOPInstanceUID
    (resource,) = found(fhir, kind, identifier=f"urn:dicom:uid|urn:oid:{uid}")
    return resource


def study_of(data: bytes) -> str:
    return f"ImagingStudy/{imaging_study_id(pydicom.dcmread(BytesIO(data)).StudyInstanceUID)}"


def observations(fhir: httpx.Client, data: bytes) -> list[dict[str, Any]]:
    return found(fhir, "Observation", **{"part-of": study_of(data), "_count": "200"})


def write(fhir: httpx.Client, resource: Mapping[str, Any]) -> None:
    fhir.put(f"/{resource['resourceType']}/{resource['id']}", json=resource).raise_for_status()


def test_stored_measurements_are_found_by_patient_and_code(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    patient = generate_uid()
    image = make_instance(PatientID=patient, FrameOfReferenceUID="1.2.3.9")
    measurements = tid_1500([image])

    assert store(client, image, measurements).status_code == 200

    diameter = "http://snomed.info/sct|81827009"
    (measured,) = found(fhir, "Observation", **{"patient.identifier": patient, "code": diameter})
    assert measured["valueQuantity"]["value"] == 12.5
    assert measured["bodySite"]["coding"][0]["code"] == "39607008"
    (group,) = found(
        fhir,
        "Observation",
        identifier="urn:dicom:uid|urn:oid:1.2.3.77",
        **{"patient.identifier": patient},
    )
    assert f"Observation/{measured['id']}" in [m["reference"] for m in group["hasMember"]]
    report = of_object(fhir, measurements, "DiagnosticReport")
    assert [r["reference"] for r in report["result"]] == [f"Observation/{group['id']}"]
    together = found(
        fhir, "ImagingStudy", _id=study_of(image).split("/")[1], _revinclude="Observation:part-of"
    )
    assert len([r for r in together if r["resourceType"] == "Observation"]) == 4


def test_report_in_words_is_found_and_its_form_can_be_read(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    patient = generate_uid()
    words = findings_report(PatientID=patient)

    store(client, words)

    (report,) = found(fhir, "DiagnosticReport", **{"patient.identifier": patient})
    assert report["status"] == "final"
    assert report["conclusion"] == "Probably benign."
    (form,) = report["presentedForm"]
    page = client.get(form["url"], headers={"Accept": form["contentType"]})
    assert page.status_code == 200
    assert "A nodule in the right upper lobe." in page.text


@pytest.mark.parametrize("make", [ct_dose, angiography_dose])
def test_dose_report_is_found_by_its_loinc_code(
    client: httpx.Client, fhir: httpx.Client, make: Any
) -> None:
    patient = generate_uid()
    store(client, make(PatientID=patient))
    search = {"patient.identifier": patient, "code": "http://loinc.org|73569-6"}

    resources = found(fhir, "Observation", **search, _include="Observation:has-member")

    events = [r for r in resources if "hasMember" not in r]
    assert len(resources) == len(events) + 1
    assert len(events) == (2 if make is ct_dose else 3)


def test_encapsulated_report_is_a_document_and_a_report(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    patient = generate_uid()
    document = pdf(PatientID=patient, title=code("11528-7", "LN", "Radiology Report"))

    store(client, document)

    (reference,) = found(fhir, "DocumentReference", related=study_of(document))
    attachment = reference["content"][0]["attachment"]
    assert attachment["size"] == len(PDF)
    assert client.get(attachment["url"]).content == PDF
    report = of_object(fhir, document, "DiagnosticReport")
    assert report["presentedForm"][0]["contentType"] == "application/pdf"


def test_deleted_report_is_retired_and_a_stored_one_revived(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    image = make_instance(PatientID=generate_uid(), FrameOfReferenceUID="1.2.3.9")
    measurements = tid_1500([image])
    store(client, image, measurements)
    report = of_object(fhir, measurements, "DiagnosticReport")
    write(fhir, {**report, "extension": [{"url": "urn:other", "valueString": "theirs"}]})

    assert client.delete(path_of(measurements)).status_code == 204

    retired = [of_object(fhir, measurements, "DiagnosticReport"), *observations(fhir, image)]
    assert [each["status"] for each in retired] == ["entered-in-error"] * 5

    assert store(client, measurements).status_code == 200

    revived = [of_object(fhir, measurements, "DiagnosticReport"), *observations(fhir, image)]
    assert [each["status"] for each in revived] == ["final"] * 5
    assert revived[0]["extension"] == [{"url": "urn:other", "valueString": "theirs"}]


def test_image_beside_a_report_is_deleted_and_the_report_stays(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    image = make_instance(PatientID=generate_uid(), FrameOfReferenceUID="1.2.3.9")
    measurements = tid_1500([image])
    store(client, image, measurements)

    client.delete(path_of(image))

    assert of_object(fhir, measurements, "DiagnosticReport")["status"] == "final"


@pytest.fixture
def replacing(stack: Stack, tmp_path: Path) -> Iterator[Server]:
    """Run a Coregister of this test alone, which takes new versions and keeps no traces."""
    settings = {"COREGISTER_DUPLICATES": "replace", "COREGISTER_EMPTIED_STUDY": "removed"}
    running = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url, settings)
    running.start()
    try:
        yield running
        assert running.stop() in STOPPED
    finally:
        running.discard()


def test_new_version_updates_its_resources_and_leaves_none_behind(
    replacing: Server, fhir: httpx.Client
) -> None:
    uids = {
        keyword: generate_uid()
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID")
    }
    with httpx.Client(base_url=replacing.base, timeout=60, trust_env=False) as client:
        first = ct_dose(events=3, **uids)
        store(client, first)
        report = of_object(fhir, first, "Observation")
        write(fhir, {**report, "note": [{"text": "theirs"}]})

        assert store(client, ct_dose(events=1, **uids)).status_code == 200

        after = of_object(fhir, first, "Observation")
        assert len(after["hasMember"]) == 1
        assert after["note"] == [{"text": "theirs"}]
        assert [each["status"] for each in observations(fhir, first)] == ["final"] * 2


def test_emptied_study_is_removed_with_what_is_ours_alone(
    replacing: Server, fhir: httpx.Client
) -> None:
    dose = ct_dose(PatientID=generate_uid())
    with httpx.Client(base_url=replacing.base, timeout=60, trust_env=False) as client:
        store(client, dose)
        assert len(observations(fhir, dose)) == 3

        assert client.delete(path_of(dose)).status_code == 204

        assert observations(fhir, dose) == []
        assert fhir.get(f"/{study_of(dose)}").status_code == 410

        assert store(client, dose).status_code == 200
        assert [each["status"] for each in observations(fhir, dose)] == ["final"] * 3


def test_subject_of_a_report_follows_a_merge_of_patients(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    dose = ct_dose(PatientID=generate_uid())
    store(client, dose)
    before = of_object(fhir, dose, "Observation")
    kind, _, patient_id = before["subject"]["reference"].partition("/")
    patient = fhir.get(f"/{kind}/{patient_id}").json()
    other = {"resourceType": "Patient", "id": str(uuid4()), "name": [{"family": "Other"}]}
    write(fhir, other)
    write(fhir, {**before, "note": [{"text": "theirs"}]})

    link = {"other": {"reference": f"Patient/{other['id']}"}, "type": "replaced-by"}
    write(fhir, {**patient, "active": False, "link": [link]})

    for _ in range(100):
        subjects = {each["subject"]["reference"] for each in observations(fhir, dose)}
        if subjects == {f"Patient/{other['id']}"}:
            break
        time.sleep(0.3)
    assert subjects == {f"Patient/{other['id']}"}
    assert fhir.get(f"/{study_of(dose)}").json()["subject"]["reference"] in subjects
    assert of_object(fhir, dose, "Observation")["note"] == [{"text": "theirs"}]
