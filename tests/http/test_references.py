"""A study refers to its order, its encounter and its people: found by identifier, before or after it came."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

import httpx
import pytest
from fhir.resources.R4B.encounter import Encounter
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.practitioner import Practitioner
from pydicom.uid import generate_uid

from tests.agreement import assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.conftest import archive_of
from tests.server import Server, store

pytestmark = pytest.mark.stack

SECONDS = 60
ISSUER = "2.999.7"
ISSUER_SYSTEM = f"urn:oid:{ISSUER}"
ISSUED_BY = [{"UniversalEntityID": ISSUER, "UniversalEntityIDType": "ISO"}]
ACSN = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
}  # HL7 v2 table 0203


@pytest.fixture(scope="module")
def made_here(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Coregister where the objects are masters of encounters and practitioners."""
    settings = {"COREGISTER_PRACTITIONER": "dicom", "COREGISTER_ENCOUNTER": "dicom"}
    folder = tmp_path_factory.mktemp("made")
    running = Server(folder, stack.elasticsearch_url, stack.fhir_url, settings=settings)
    running.start()
    with httpx.Client(base_url=running.base, timeout=60, trust_env=False) as http:
        yield http
    running.discard()


def ordered(accession: str, **more: Any) -> tuple[str, bytes]:
    """Return a study's UID, and an instance of it that names an order."""
    study = generate_uid()
    return study, instance(study, accession, **more)


def instance(study: str, accession: str, **more: Any) -> bytes:
    usual: dict[str, Any] = {
        "PatientID": f"P{accession}",
        "IssuerOfAccessionNumberSequence": ISSUED_BY,
    }
    return make_instance(StudyInstanceUID=study, AccessionNumber=accession, **{**usual, **more})


def read(fhir: httpx.Client, study: str) -> dict[str, Any]:
    url = f"/ImagingStudy/{uuid5(NAMESPACE_OID, study)}"
    resource: dict[str, Any] = fhir.get(url).raise_for_status().json()
    ImagingStudy.model_validate(resource)
    return resource


def new_patient(fhir: httpx.Client, patient_id: str) -> str:
    identifier = {"system": "urn:coregister:patient-id", "value": patient_id}
    return put(fhir, "Patient", identifier=[identifier])


def put(
    fhir: httpx.Client, resource_type: str, resource_id: str | None = None, **elements: Any
) -> str:
    """Write a resource; return its reference."""
    resource_id = resource_id or f"r-{uuid4()}"
    resource = {"resourceType": resource_type, "id": resource_id, **elements}
    fhir.put(f"/{resource_type}/{resource_id}", json=resource).raise_for_status()
    return f"{resource_type}/{resource_id}"


def put_order(fhir: httpx.Client, patient: str, *accessions: str, order_id: str = "") -> str:
    return put(
        fhir,
        "ServiceRequest",
        order_id,
        status="active",
        intent="order",
        subject={"reference": patient},
        identifier=[{"type": ACSN, "system": ISSUER_SYSTEM, "value": each} for each in accessions],
    )


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def orders_of(study: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    return [
        (each.get("reference"), each.get("identifier", {}).get("value"))
        for each in study.get("basedOn", ())
    ]


def test_a_study_is_linked_to_the_order_that_is_there(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    accession = uuid4().hex[:12]
    order = put_order(fhir, new_patient(fhir, f"P{accession}"), accession)
    study, data = ordered(accession)

    assert store(client, data).status_code == 200

    linked = read(fhir, study)
    assert orders_of(linked) == [(order, accession)]
    question = {"basedon": order}
    assert fhir.get("/ImagingStudy", params=question).json()["total"] == 1


def test_an_order_of_another_issuer_is_not_linked(client: httpx.Client, fhir: httpx.Client) -> None:
    accession = uuid4().hex[:12]
    put_order(fhir, new_patient(fhir, f"P{accession}"), accession)
    study, data = ordered(
        accession,
        IssuerOfAccessionNumberSequence=[
            {"UniversalEntityID": "2.999.8", "UniversalEntityIDType": "ISO"}
        ],
    )

    assert store(client, data).status_code == 200

    assert orders_of(read(fhir, study)) == [(None, accession)]


def test_of_two_orders_none_is_linked_and_the_problem_is_recorded(
    server: Server, client: httpx.Client, fhir: httpx.Client
) -> None:
    accession = uuid4().hex[:12]
    patient = new_patient(fhir, f"P{accession}")
    put_order(fhir, patient, accession)
    put_order(fhir, patient, accession)
    study, data = ordered(accession)

    assert store(client, data).status_code == 200

    assert orders_of(read(fhir, study)) == [(None, accession)]
    asked = httpx.get(f"{server.root}/errors", params={"study": study}, timeout=30)
    assert [each["kind"] for each in asked.json()["errors"]] == ["ambiguous-reference"]


def test_an_order_of_another_patient_is_not_linked(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    accession = uuid4().hex[:12]
    put_order(fhir, new_patient(fhir, f"other-{accession}"), accession)
    study, data = ordered(accession)

    assert store(client, data).status_code == 200

    assert orders_of(read(fhir, study)) == [(None, accession)]


def test_an_order_of_a_patient_who_was_replaced_is_linked(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    accession = uuid4().hex[:12]
    kept = new_patient(fhir, f"P{accession}")
    replaced = put(
        fhir,
        "Patient",
        active=False,
        link=[{"type": "replaced-by", "other": {"reference": kept}}],
    )
    order = put_order(fhir, replaced, accession)
    study, data = ordered(accession)

    assert store(client, data).status_code == 200

    assert orders_of(read(fhir, study)) == [(order, accession)]


def test_an_order_that_comes_later_is_linked_and_followed(
    server: Server, client: httpx.Client, fhir: httpx.Client
) -> None:
    accession = uuid4().hex[:12]
    study, data = ordered(accession)
    assert store(client, data).status_code == 200
    before = read(fhir, study)
    assert orders_of(before) == [(None, accession)]

    order = put_order(fhir, before["subject"]["reference"], accession)
    eventually(lambda: orders_of(read(fhir, study)) == [(order, accession)])
    assert_agreement(archive_of(server), studies=[study])

    order_id = order.partition("/")[2]
    put_order(fhir, before["subject"]["reference"], "another", order_id=order_id)
    eventually(lambda: orders_of(read(fhir, study)) == [(None, accession)])

    put_order(fhir, before["subject"]["reference"], "another", accession, order_id=order_id)
    eventually(lambda: orders_of(read(fhir, study)) == [(order, accession)])
    assert_agreement(archive_of(server), studies=[study])
    row = client.get("/studies", params={"StudyInstanceUID": study}).json()
    assert len(row) == 1


def test_what_is_stored_into_a_linked_study_keeps_the_link(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    accession = uuid4().hex[:12]
    order = put_order(fhir, new_patient(fhir, f"P{accession}"), accession)
    study, data = ordered(accession)
    assert store(client, data).status_code == 200

    assert store(client, instance(study, accession)).status_code == 200

    assert orders_of(read(fhir, study)) == [(order, accession)]
    assert read(fhir, study)["numberOfInstances"] == 2


def test_a_second_order_of_a_study_is_looked_for(client: httpx.Client, fhir: httpx.Client) -> None:
    first, second = (uuid4().hex[:12] for _ in range(2))
    patient = new_patient(fhir, f"P{first}")
    orders = [put_order(fhir, patient, each) for each in (first, second)]
    study, data = ordered(first)
    assert store(client, data).status_code == 200

    assert store(client, instance(study, second, PatientID=f"P{first}")).status_code == 200

    assert sorted(orders_of(read(fhir, study))) == sorted(zip(orders, (first, second), strict=True))


def person(code: str) -> list[dict[str, Any]]:
    """Return a person identification (PS3.3 Table 10-1) of a local scheme."""
    return [
        {
            "PersonIdentificationCodeSequence": [
                {
                    "CodeValue": code,
                    "CodingSchemeDesignator": "99REFS",
                    "CodeMeaning": "Somebody",
                }
            ]
        }
    ]


def test_people_and_the_encounter_are_linked_where_they_are_there(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    accession, code, admission = (uuid4().hex[:12] for _ in range(3))
    named = {
        "ReferringPhysicianName": "House^Gregory",
        "ReferringPhysicianIdentificationSequence": person(code),
        "AdmissionID": admission,
    }
    study, data = ordered(accession, **named)
    assert store(client, data).status_code == 200
    logical = read(fhir, study)
    assert "reference" not in logical["referrer"]
    assert "reference" not in logical["encounter"]
    practitioner = put(fhir, "Practitioner", identifier=[logical["referrer"]["identifier"]])
    in_patient: dict[str, Any] = {"class": {"code": "IMP"}}
    encounter = put(
        fhir,
        "Encounter",
        status="finished",
        **in_patient,
        subject=logical["subject"],
        identifier=[logical["encounter"]["identifier"]],
    )

    other, data = ordered(accession, **named)
    assert store(client, data).status_code == 200

    linked = read(fhir, other)
    assert linked["referrer"] == {
        **logical["referrer"],
        "reference": practitioner,
        "type": "Practitioner",
    }
    assert linked["encounter"]["reference"] == encounter
    assert linked["encounter"]["identifier"] == logical["encounter"]["identifier"]


def test_people_and_the_encounter_are_made_where_that_is_set(
    made_here: httpx.Client, fhir: httpx.Client
) -> None:
    accession, code, admission = (uuid4().hex[:12] for _ in range(3))
    named = {
        "ReferringPhysicianName": "House^Gregory",
        "ReferringPhysicianIdentificationSequence": person(code),
        "OperatorsName": "Roe^Jane",
        "OperatorIdentificationSequence": person(f"op-{code}"),
        "AdmissionID": admission,
    }

    studies = [ordered(accession, **named) for _ in range(2)]
    for _, data in studies:
        assert store(made_here, data).status_code == 200

    one, other = (read(fhir, study) for study, _ in studies)
    practitioner = fhir.get(f"/{one['referrer']['reference']}").raise_for_status().json()
    encounter = fhir.get(f"/{one['encounter']['reference']}").raise_for_status().json()
    Practitioner.model_validate(practitioner)
    Encounter.model_validate(encounter)
    assert practitioner["identifier"] == [one["referrer"]["identifier"]]
    assert "House" in practitioner["name"][0]["text"]
    assert encounter["subject"] == one["subject"]
    (performer,) = (
        each["actor"]
        for each in one["series"][0]["performer"]
        if each["actor"].get("type") == "Practitioner"
    )
    assert fhir.get(f"/{performer['reference']}").status_code == 200
    assert other["referrer"] == one["referrer"]
    assert other["encounter"] == one["encounter"]
