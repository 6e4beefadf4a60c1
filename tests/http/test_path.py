"""The whole path once through: STOW, then QIDO, WADO and a FHIR search that agree (P1)."""

import json
from io import BytesIO
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.corpus import make_instance
from tests.server import store, values

pytestmark = pytest.mark.stack

JSON = {"Accept": "application/dicom+json"}


def imaging_study(fhir: httpx.Client, study: str) -> dict[str, Any]:
    answer = fhir.get("/ImagingStudy", params={"identifier": f"urn:dicom:uid|urn:oid:{study}"})
    bundle = answer.json()
    assert bundle["total"] == 1
    resource: dict[str, Any] = bundle["entry"][0]["resource"]
    return resource


def test_a_stored_study_is_found_read_and_linked_at_once(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    study, series = generate_uid(), [generate_uid(), generate_uid()]
    files = [
        make_instance(
            StudyInstanceUID=study,
            SeriesInstanceUID=series[n % 2],
            Modality="CT" if n % 2 else "PT",
            PatientID=f"P-{study[-8:]}",
            InstanceNumber=n,
        )
        for n in range(5)
    ]
    answer = store(client, *files)
    assert answer.status_code == 200
    assert len(answer.json()["00081199"]["Value"]) == 5

    (row,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
    assert values(row, "00201206") == [2]
    assert values(row, "00201208") == [5]
    assert values(row, "00080061") == ["CT", "PT"]

    resource = imaging_study(fhir, study)
    assert resource["numberOfSeries"] == 2
    assert resource["numberOfInstances"] == 5
    assert sorted(m["code"] for m in resource["modality"]) == ["CT", "PT"]
    patient = fhir.get(f"/{resource['subject']['reference']}").json()
    assert patient["identifier"][0]["value"] == f"P-{study[-8:]}"
    endpoint = fhir.get(f"/{resource['endpoint'][0]['reference']}").json()
    assert endpoint["address"] == str(client.base_url).rstrip("/")

    for file in files:
        sop = pydicom.dcmread(BytesIO(file)).SOPInstanceUID
        (found,) = client.get("/instances", params={"SOPInstanceUID": sop}).json()
        url = values(found, "00081190")[0]
        part = httpx.get(url, headers={"Accept": "application/dicom"})
        assert part.content == file


def test_five_hundred_times_what_was_acknowledged_is_there(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    """Reading your own write: not one miss in QIDO, WADO or FHIR."""
    misses = []
    for n in range(500):
        study, sop = generate_uid(), generate_uid()
        file = make_instance(StudyInstanceUID=study, SOPInstanceUID=sop, PatientID=f"RYW-{n % 7}")
        assert store(client, file).status_code == 200
        rows = client.get("/studies", params={"StudyInstanceUID": study})
        metadata = client.get(f"/studies/{study}/metadata", headers=JSON)
        bundle = fhir.get(
            "/ImagingStudy", params={"identifier": f"urn:dicom:uid|urn:oid:{study}"}
        ).json()
        if rows.status_code != 200 or metadata.status_code != 200 or bundle["total"] != 1:
            misses.append((n, rows.status_code, metadata.status_code, bundle["total"]))

    assert misses == []


def test_metadata_have_every_attribute_and_bulk_data_that_resolve(client: httpx.Client) -> None:
    study = generate_uid()
    file = make_instance(StudyInstanceUID=study)
    store(client, file)
    (metadata,) = client.get(f"/studies/{study}/metadata", headers=JSON).json()
    dataset = pydicom.dcmread(BytesIO(file))

    assert sorted(metadata) == [f"{tag:08X}" for tag in sorted(dataset.keys())]
    pixels = httpx.get(
        metadata["7FE00010"]["BulkDataURI"], headers={"Accept": "application/octet-stream"}
    )
    assert pixels.content == dataset.PixelData


def test_a_frame_is_the_pixels_as_stored(client: httpx.Client) -> None:
    study = generate_uid()
    file = make_instance(StudyInstanceUID=study)
    store(client, file)
    dataset = pydicom.dcmread(BytesIO(file))
    path = (
        f"/studies/{study}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}/frames/1"
    )
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    answer = client.get(path, headers={"Accept": accept})

    assert answer.status_code == 200
    assert dataset.PixelData in answer.content
    assert f"transfer-syntax={dataset.file_meta.TransferSyntaxUID}" in answer.text
    assert client.get(path.replace("frames/1", "frames/2")).status_code == 404
    assert client.get(path.replace("frames/1", "frames/x")).status_code == 400


def test_sending_the_same_bytes_again_is_a_success_and_changes_nothing(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    """P2: a client that does not know whether its request arrived just sends it again."""
    study = generate_uid()
    file = make_instance(StudyInstanceUID=study)
    assert store(client, file).status_code == 200
    before = imaging_study(fhir, study)
    assert store(client, file, file).status_code == 200

    assert imaging_study(fhir, study) == before | {"meta": imaging_study(fhir, study)["meta"]}
    assert imaging_study(fhir, study)["meta"]["versionId"] == before["meta"]["versionId"]


def test_other_bytes_under_a_known_uid_are_refused(client: httpx.Client) -> None:
    study, sop = generate_uid(), generate_uid()
    store(client, make_instance(StudyInstanceUID=study, SOPInstanceUID=sop, InstanceNumber=1))
    other = make_instance(StudyInstanceUID=study, SOPInstanceUID=sop, InstanceNumber=2)
    answer = store(client, other)

    assert answer.status_code == 409
    (failed,) = answer.json()["00081198"]["Value"]
    assert values(failed, "00081197") == [0x0111]


def test_a_later_instance_joins_its_study(client: httpx.Client, fhir: httpx.Client) -> None:
    study = generate_uid()
    for n in range(4):
        file = make_instance(StudyInstanceUID=study, Modality=["CT", "SR"][n % 2], InstanceNumber=n)
        assert store(client, file).status_code == 200
        (row,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
        resource = imaging_study(fhir, study)
        assert values(row, "00201208") == [n + 1] == [resource["numberOfInstances"]]
        assert values(row, "00201206") == [resource["numberOfSeries"]]


def test_what_others_wrote_on_the_imaging_study_stays(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    """P5: Coregister owns some elements and leaves the others alone."""
    study = generate_uid()
    store(client, make_instance(StudyInstanceUID=study))
    resource = imaging_study(fhir, study)
    resource["note"] = [{"text": "seen by the tumour board"}]
    assert fhir.put(f"/ImagingStudy/{resource['id']}", json=resource).status_code == 200
    assert store(client, make_instance(StudyInstanceUID=study)).status_code == 200

    after = imaging_study(fhir, study)
    assert after["note"] == [{"text": "seen by the tumour board"}]
    assert after["numberOfInstances"] == 2


def test_an_existing_patient_is_found_and_not_changed(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    study = generate_uid()
    patient_id = f"known-{study[-10:]}"
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:coregister:patient-id", "value": patient_id}],
        "name": [{"family": "Master"}],
    }
    made = fhir.post("/Patient", json=patient).json()
    file = make_instance(StudyInstanceUID=study, PatientID=patient_id, PatientName="Other^Name")
    answer = store(client, file)

    assert answer.status_code == 202
    (stored,) = answer.json()["00081199"]["Value"]
    assert values(stored, "00081196") == [0xB000]  # the study shows what the FHIR server says
    assert imaging_study(fhir, study)["subject"]["reference"] == f"Patient/{made['id']}"
    again = fhir.get(f"/Patient/{made['id']}").json()
    assert again["meta"]["versionId"] == "1"
    assert again["name"] == [{"family": "Master"}]


def test_the_study_in_the_url_must_be_the_instances_own(client: httpx.Client) -> None:
    study = generate_uid()
    good = make_instance(StudyInstanceUID=study)
    bad = make_instance(StudyInstanceUID=generate_uid())
    answer = store(client, good, bad, path=f"/studies/{study}")

    assert answer.status_code == 202
    (failed,) = answer.json()["00081198"]["Value"]
    assert values(failed, "00081197") == [0xA900]
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert store(client, bad, path=f"/studies/{study}").status_code == 409


def test_one_object_may_be_sent_as_it_is(client: httpx.Client) -> None:
    file = make_instance()
    answer = client.post("/studies", headers={"Content-Type": "application/dicom"}, content=file)
    assert answer.status_code == 200


def test_answers_are_json_of_the_exact_content_type(client: httpx.Client) -> None:
    """Some clients compare the header as a string, without parameters."""
    study = generate_uid()
    answer = store(client, make_instance(StudyInstanceUID=study))
    rows = client.get("/studies", params={"StudyInstanceUID": study})
    for each in (answer, rows, client.get(f"/studies/{study}/metadata")):
        assert each.headers["content-type"] == "application/dicom+json"
    assert json.loads(rows.content)


def test_a_series_uid_that_two_studies_use_does_not_mix_them(client: httpx.Client) -> None:
    """Some senders do that; each study keeps its own series and counts."""
    series, studies = generate_uid(), [generate_uid(), generate_uid()]
    for study, count in zip(studies, (1, 2), strict=True):
        for _ in range(count):
            file = make_instance(StudyInstanceUID=study, SeriesInstanceUID=series)
            assert store(client, file).status_code == 200

    for study, count in zip(studies, (1, 2), strict=True):
        (row,) = client.get(f"/studies/{study}/series").json()
        assert values(row, "00201209") == [count]
        assert len(client.get(f"/studies/{study}/series/{series}/metadata").json()) == count
