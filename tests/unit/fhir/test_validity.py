"""Whatever stands in a data set, what is made of it is valid FHIR R4."""

from collections.abc import Mapping
from typing import Any

import orjson
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.endpoint import Endpoint
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.patient import Patient
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.bundle import study_transaction
from app.fhir.commit_marks import CommitMarks
from app.fhir.contribution import Origin, without_form
from app.fhir.device import device_reference, device_resource
from app.fhir.endpoint import endpoint_resource, viewer_endpoint_resource
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import count
from app.fhir.patient import patient_key, patient_resource
from tests.unit.fhir.conftest import Merge
from tests.unit.fhir.dicom_json import STUDY, attributes, record
from tests.unit.fhir.said import devices, instances, patients


def sent(resource: Mapping[str, Any]) -> bytes:
    """Return what goes over the wire, which must be possible at all."""
    return orjson.dumps(resource)


@settings(deadline=None)
@given(patients)
def test_a_patient_is_valid(systems: IdentifierSystems, given: dict[str, Any]) -> None:
    model = attributes(**given)
    key = patient_key(model, systems, STUDY)

    made = Patient.model_validate_json(sent(patient_resource(model, key, systems)))

    assert made.identifier is not None
    assert (made.identifier[0].system, made.identifier[0].value) == (key.system, key.value)
    assert key.value


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), instances), min_size=1, max_size=5),
    st.sampled_from([None, "Europe/Vienna", "America/St_Johns"]),
)
def test_an_imaging_study_is_valid(
    merge: Merge, given: list[tuple[int, dict[str, Any]]], time_zone: str | None
) -> None:
    records = [record(n, series=s, values=v) for n, (s, v) in enumerate(given)]

    study = merge(None, records, time_zone=time_zone, commit=CommitMarks(("a",)))

    made = ImagingStudy.model_validate_json(sent(study))
    assert made.numberOfInstances == len(given)
    assert merge(study, records, time_zone=time_zone, commit=CommitMarks(("a",))) == study


@settings(deadline=None)
@given(devices)
def test_a_device_is_valid(given: dict[str, Any]) -> None:
    model = attributes(**given)
    resource, reference = device_resource(model), device_reference(model)

    assert (resource is None) == ("reference" not in (reference or {}))
    if resource is not None:
        made = Device.model_validate_json(sent(resource))
        assert reference is not None
        assert reference["reference"] == f"Device/{made.id}"


@settings(deadline=None)
@given(instances | patients)
def test_whatever_has_no_form_in_fhir_is_told_without_its_value(
    systems: IdentifierSystems, given: dict[str, Any]
) -> None:
    told = list(without_form([record(1, values=given)], Origin(systems, None, 100)))

    for _, finding in told:
        assert len(finding.tag) == 8
        assert finding.message in {
            "The value is no number from 0 to 2147483647; it was left out in FHIR.",
            "There is neither a code nor a meaning; it was left out in FHIR.",
            "The value is none of M, F and O; FHIR has the gender as unknown.",
        }


def test_the_transaction_is_valid(merge: Merge, systems: IdentifierSystems) -> None:
    patient = patient_resource({}, patient_key(attributes(PatientID="1"), systems, STUDY), systems)
    study = merge(None, [record(1)], patient=f"Patient/{patient['id']}")

    bundle = study_transaction(study, 0, patient)

    assert Bundle.model_validate_json(sent(bundle)).type == "transaction"
    assert [entry["request"] for entry in bundle["entry"]] == [
        {"method": "PUT", "url": f"{made['resourceType']}/{made['id']}", "ifMatch": 'W/"0"'}
        for made in (patient, study)
    ]


def test_the_endpoint_of_the_viewer_is_valid() -> None:
    address = "https://a.example/viewer/IHEInvokeImageDisplay"
    made = Endpoint.model_validate_json(sent(viewer_endpoint_resource(address)))

    assert made.address == address
    assert made.connectionType.code == "ihe-iid"
    assert made.payloadMimeType == ["text/html"]


def test_the_endpoint_is_valid() -> None:
    made = Endpoint.model_validate_json(sent(endpoint_resource("https://a.example/dicom-web/")))

    assert made.address == "https://a.example/dicom-web"
    assert made.connectionType.code == "dicom-wado-rs"


@settings(deadline=None)
@given(st.data())
def test_no_edit_of_the_study_in_fhir_can_stop_a_merge(merge: Merge, data: st.DataObject) -> None:
    """P5: HAPI lets others take any element away, also one that R4 requires."""
    values = {"StudyDate": "20240105", "AccessionNumber": "A1", "StudyDescription": "x"}
    records = [record(n, series=1 + n % 2, values=values) for n in range(4)]
    edited = merge(None, records, commit=CommitMarks(("a",)))
    for _ in range(data.draw(st.integers(0, 6))):
        node: Any = edited
        while isinstance(node, dict | list) and node:
            keys = (
                sorted(set(node) - {"id", "resourceType"})
                if isinstance(node, dict)
                else range(len(node))
            )
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
                del node[key]
                break
            node = node[key]

    after = merge(edited, [record(9, values=values)])
    again = merge(after, [record(10, values=values)])

    assert after["numberOfInstances"] == sum(count(after).series.values())
    assert again["numberOfInstances"] == after["numberOfInstances"] + 1
    assert after["identifier"][0]["value"] == f"urn:oid:{STUDY}"
    assert after["subject"]["reference"]
