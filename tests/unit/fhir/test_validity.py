"""Whatever stands in a data set, what is made of it is valid FHIR R4."""

from collections.abc import Mapping
from typing import Any

import orjson
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.endpoint import Endpoint
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.patient import Patient
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.bundle import study_transaction
from app.fhir.commit_marks import CommitMarks
from app.fhir.endpoint import endpoint_resource
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import count
from app.fhir.patient import patient_key, patient_resource
from tests.unit.fhir.conftest import Merge
from tests.unit.fhir.dicom_json import STUDY, attributes, record

# characters that real senders get wrong: control codes, lone surrogates, other scripts
texts = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["", " ", "\x00", "A^B"])
values = st.none() | texts | st.integers() | st.floats() | st.lists(texts | st.none(), max_size=3)
dates = texts | st.dates().map(lambda day: f"{day:%Y%m%d}") | st.sampled_from(["00000000", "2024"])
times = texts | st.times().map(lambda time: f"{time:%H%M%S.%f}") | st.sampled_from(["24", "1060"])
offsets = texts | st.sampled_from(["+0100", "-1200", "+1400", "+1401", "-0000"])
names = st.dictionaries(
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), texts | st.just("A^B^C^D^E^F")
)
designators = st.builds(
    lambda identifier, kind, local: attributes(
        UniversalEntityID=identifier, UniversalEntityIDType=kind, LocalNamespaceEntityID=local
    ),
    texts | st.sampled_from(["1.2.3", "urn:x:y"]),
    st.sampled_from(["ISO", "URI", "UUID", "DNS", ""]),
    texts,
)


def fields(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


patients = fields(
    PatientID=values,
    IssuerOfPatientID=values,
    IssuerOfPatientIDQualifiersSequence=st.lists(designators, max_size=2),
    PatientName=names | texts | st.none(),
    PatientBirthDate=dates,
    PatientSex=values | st.sampled_from(["M", "F", "O"]),
)
instances = fields(
    StudyDate=dates,
    StudyTime=times,
    SeriesDate=dates,
    SeriesTime=times,
    TimezoneOffsetFromUTC=offsets,
    StudyDescription=values,
    SeriesDescription=values,
    AccessionNumber=values,
    IssuerOfAccessionNumberSequence=st.lists(designators | st.none(), max_size=2),
    Modality=values,
    SeriesNumber=values,
    InstanceNumber=values,
)


def sent(resource: Mapping[str, Any]) -> bytes:
    """Return what goes over the wire, which must be possible at all."""
    return orjson.dumps(resource)


@settings(deadline=None)
@given(patients)
def test_a_patient_is_valid(systems: IdentifierSystems, given: dict[str, Any]) -> None:
    model = attributes(**given)
    key = patient_key(model, systems, STUDY)

    made = Patient.model_validate_json(sent(patient_resource(model, key)))

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


def test_the_transaction_is_valid(merge: Merge, systems: IdentifierSystems) -> None:
    patient = patient_resource({}, patient_key(attributes(PatientID="1"), systems, STUDY))
    study = merge(None, [record(1)], patient=f"Patient/{patient['id']}")

    bundle = study_transaction(study, 0, patient)

    assert Bundle.model_validate_json(sent(bundle)).type == "transaction"
    assert [entry["request"] for entry in bundle["entry"]] == [
        {"method": "PUT", "url": f"{made['resourceType']}/{made['id']}", "ifMatch": 'W/"0"'}
        for made in (patient, study)
    ]


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
