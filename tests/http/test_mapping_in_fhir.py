"""What a STOW makes in the FHIR server: the Device that a series was made with, and what finds a study."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from app.fhir.device import device_resource
from app.fhir.ids import imaging_study_id
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.server import Server, store
from tests.unit.fhir.dicom_json import attributes

pytestmark = pytest.mark.stack


@pytest.fixture
def own_server(stack: Stack, tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, stack.elasticsearch_url, stack.fhir_url)
    running.start()
    yield running
    running.discard()


@pytest.fixture
def fhir(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.fhir_url, timeout=60, trust_env=False) as client:
        yield client


def scanner() -> dict[str, str]:
    """A device that nobody has seen."""
    return {
        "Manufacturer": "ACME",
        "ManufacturerModelName": "X1",
        "DeviceSerialNumber": secrets.token_hex(8),
    }


def stored(server: Server, **values: Any) -> str:
    """Store an instance of a new study; return the id of its ImagingStudy."""
    uid = generate_uid()
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        answer = store(http, make_instance(StudyInstanceUID=uid, **values))
    assert answer.status_code == 200, answer.text
    return imaging_study_id(uid)


def actors(fhir: httpx.Client, study: str) -> list[dict[str, Any]]:
    series = fhir.get(f"ImagingStudy/{study}").json()["series"]
    return [each["actor"] for one in series for each in one.get("performer", ())]


def test_studies_of_one_device_share_it_also_after_a_restart(
    own_server: Server, fhir: httpx.Client
) -> None:
    made_with = scanner()
    device = device_resource(attributes(**made_with))
    assert device is not None

    first = stored(own_server, **made_with)
    second = stored(own_server, **made_with)
    own_server.stop()
    own_server.start()  # knows no device any more
    third = stored(own_server, **made_with, StationName="CT9")

    for study in (first, second, third):
        assert actors(fhir, study) == [
            {"reference": f"Device/{device['id']}", "type": "Device", "display": "ACME X1"}
        ]
    found = fhir.get(f"Device/{device['id']}").json()
    assert found["meta"]["versionId"] == "1"
    assert found["serialNumber"] == made_with["DeviceSerialNumber"]


def test_a_device_that_somebody_deleted_comes_back(own_server: Server, fhir: httpx.Client) -> None:
    made_with = scanner()
    device = device_resource(attributes(**made_with))
    assert device is not None
    study = stored(own_server, **made_with)
    resource = fhir.get(f"ImagingStudy/{study}").json()
    for series in resource["series"]:
        del series["performer"]
    assert fhir.put(f"ImagingStudy/{study}", json=resource).is_success  # or it could not be deleted
    assert fhir.delete(f"Device/{device['id']}").is_success

    again = stored(own_server, **made_with)

    assert [actor["reference"] for actor in actors(fhir, again)] == [f"Device/{device['id']}"]
    assert fhir.get(f"Device/{device['id']}").status_code == 200


def test_a_study_is_found_by_what_its_objects_say(own_server: Server, fhir: httpx.Client) -> None:
    number = secrets.token_hex(6)
    study = stored(
        own_server,
        AccessionNumber=number,
        BodyPartExamined="CHEST",
        ReasonForStudy="Cough",
        ReferringPhysicianName="Who^Jane",
        **scanner(),
    )

    for query in (
        {"identifier": f"urn:coregister:accession-number|{number}"},
        {"_id": study, "bodysite": "http://snomed.info/sct|816094009"},
        {"_id": study, "performer:Device.manufacturer": "ACME"},
    ):
        answer = fhir.get("ImagingStudy", params=query, headers={"Cache-Control": "no-cache"})
        assert [e["resource"]["id"] for e in answer.json().get("entry", ())] == [study], query
