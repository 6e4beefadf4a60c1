"""What is made of every file that packages bring is valid for HAPI's validator, and for fhir.resources.

The validator has the profiles of R4 and HL7's own code systems; SNOMED CT and the value sets of DICOM it does
not have, and says so in warnings.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import pytest
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.endpoint import Endpoint
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.patient import Patient

from app.dicom.instance import InstanceRecord
from app.dicom.part10 import read_instance
from app.errors import CoregisterError
from app.fhir.commit_marks import CommitMarks
from app.fhir.device import device_resource
from app.fhir.endpoint import endpoint_resource, viewer_endpoint_resource
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import merge_imaging_study
from app.fhir.patient import patient_key, patient_resource
from app.limits import Limits
from tests.e2e.real_files import as_sent, installed_folders, real_files
from tests.unit.fhir.conformance_cases import CASES
from tests.unit.fhir.dicom_json import record

SYSTEMS = IdentifierSystems("urn:test:patient", "urn:test:issuer:", "urn:test:accession")
MODELS: Mapping[str, Any] = {
    "ImagingStudy": ImagingStudy,
    "Patient": Patient,
    "Device": Device,
    "Endpoint": Endpoint,
}
AT_ONCE = 4


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    """Resources of every file and of every input of the mapping's table, of those built alike one."""
    made: dict[str, dict[str, Any]] = {}
    for each in _resources():
        made.setdefault(_shape(each), each)
    return list(made.values())


def _resources() -> Iterator[dict[str, Any]]:
    yield endpoint_resource("https://pacs.example/dicom-web")
    yield viewer_endpoint_resource("https://pacs.example/viewer/IHEInvokeImageDisplay")
    for case in CASES:
        yield from _made_of(record(1, values=case.given))
    for file in real_files(installed_folders()):
        try:
            yield from _made_of(read_instance(as_sent(file.path), Limits()))
        except CoregisterError:
            continue


def _made_of(instance: InstanceRecord) -> Iterator[dict[str, Any]]:
    key = patient_key(instance.attributes, SYSTEMS, instance.study_instance_uid)
    yield patient_resource(instance.attributes, key, SYSTEMS)
    device = device_resource(instance.attributes)
    if device is not None:
        yield device
    yield merge_imaging_study(
        None, [instance], patient="Patient/p", endpoints=["Endpoint/e"], limits=Limits(),
        systems=SYSTEMS, time_zone="Europe/Vienna", commit=CommitMarks(("a",)),
    )  # fmt: skip


def _shape(value: Any) -> str:
    """Return how a resource is built: its elements, and codes, whose systems a validator looks at."""
    if isinstance(value, dict):
        parts = (f"{name}:{_shape(each)}" for name, each in sorted(value.items()))
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(sorted({_shape(each) for each in value})) + "]"
    text = str(value)
    return text if text.startswith(("http:", "ImagingStudy", "Patient", "Device")) else ""


def test_resources_of_all_files_are_valid_r4(resources: list[dict[str, Any]]) -> None:
    assert {each["resourceType"] for each in resources} == set(MODELS)
    for each in resources:
        MODELS[each["resourceType"]].model_validate_json(orjson.dumps(each))


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_the_fhir_server_finds_no_error_in_them(
    stack: Any, resources: list[dict[str, Any]]
) -> None:
    with (
        httpx.Client(base_url=stack.fhir_url, timeout=120, trust_env=False) as http,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        found = list(pool.map(lambda resource: _errors(http, resource), resources))

    assert [each for each in found if each] == []


@pytest.mark.stack
def test_the_validator_does_find_errors(stack: Any) -> None:
    """What the test before relies on."""
    study = {"resourceType": "ImagingStudy", "subject": {"display": "Somebody"}}  # without status
    with httpx.Client(base_url=stack.fhir_url, timeout=120, trust_env=False) as http:
        assert _errors(http, study)


def _errors(http: httpx.Client, resource: Mapping[str, Any]) -> list[Any]:
    # each for itself: an operation within a batch is answered without looking at the resource
    answer = http.post(f"{resource['resourceType']}/$validate", json=resource).json()
    return [
        (resource["resourceType"], issue.get("diagnostics"), issue.get("expression"))
        for issue in answer["issue"]
        if issue["severity"] in ("error", "fatal")
    ]
