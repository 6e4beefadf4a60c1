"""FHIR clients as users have them: each finds what was stored, at once."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fhir.resources.R4B import get_fhir_model_class
from fhirclient import client as smart
from fhirclient.models.imagingstudy import ImagingStudy
from fhirclient.models.patient import Patient
from fhirpy import AsyncFHIRClient

from tests.conftest import Stack
from tests.e2e.fhir_clients import FHIR_JSON, Stored, store_both
from tests.server import Server

pytestmark = [pytest.mark.stack]

CT, MR = "the CT", "the MR"
SECONDS, PAUSE = 60, 0.2
OURS = ("Patient", "ImagingStudy", "Endpoint", "DiagnosticReport", "Observation")


@pytest.fixture(scope="module")
def stored(server: Server) -> Stored:
    return store_both(server.base)


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=stack.fhir_url + "/", headers=FHIR_JSON, timeout=60, trust_env=False
    ) as client:
        yield client


def _found(answer: httpx.Response, *, included: bool = False) -> list[str]:
    """Return what a search found, or what it added to that."""
    mode = "include" if included else "match"
    assert answer.status_code == httpx.codes.OK, answer.text
    return sorted(
        f"{each['resource']['resourceType']}/{each['resource']['id']}"
        for each in answer.json().get("entry", [])
        if each["search"]["mode"] == mode
    )


def _expected(stored: Stored, names: tuple[str, ...]) -> list[str]:
    return sorted({CT: stored.ct_reference, MR: stored.mr_reference}[name] for name in names)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("patient.identifier={patient}", (CT, MR)),
        ("patient.identifier={patient}&modality=CT&started=ge2024-03-01", (CT,)),
        ("patient.identifier={patient}&modality=MR&started=ge2024-03-01", ()),
        ("patient.identifier={patient}&started=lt2024-03-01", (MR,)),
        ("patient.identifier={patient}&modality=CT,MR&status=available", (CT, MR)),
        ("patient.name=clients&patient.birthdate=1970-01-01&identifier=urn:oid:{ct}", (CT,)),
        ("identifier=urn:dicom:uid|urn:oid:{mr}", (MR,)),
        ("patient.identifier={patient}&description:contains=nee", (MR,)),
        ("patient.identifier={patient}&accession=CT-1", (CT,)),
        ("patient.identifier={patient}&number-of-instances=2&modality=MR", (MR,)),
        ("patient.identifier={patient}&endpoint.connection-type=dicom-wado-rs", (CT, MR)),
        ("patient.identifier={patient}&_has:Observation:derived-from:code=125007", (CT,)),
        ("_has:DiagnosticReport:imaging-study:patient.identifier={patient}", (CT,)),
        ("patient.identifier={patient}&_filter=modality eq MR and started lt 2024-03-01", (MR,)),
    ],
)
def test_search_finds_the_studies_meant(
    http: httpx.Client, stored: Stored, query: str, found: tuple[str, ...]
) -> None:
    filled = query.format(patient=stored.patient_id, ct=stored.ct, mr=stored.mr)

    assert _found(http.get(f"ImagingStudy?{filled}")) == _expected(stored, found)


def test_include_brings_patient_and_endpoint(http: httpx.Client, stored: Stored) -> None:
    answer = http.get(
        f"ImagingStudy?patient.identifier={stored.patient_id}"
        "&_include=ImagingStudy:patient&_include=ImagingStudy:endpoint"
    )

    (study, _) = (each["resource"] for each in answer.json()["entry"][:2])
    assert _found(answer) == _expected(stored, (CT, MR))
    assert _found(answer, included=True) == sorted(
        [study["subject"]["reference"], study["endpoint"][0]["reference"]]
    )


def test_revinclude_brings_what_was_reported(http: httpx.Client, stored: Stored) -> None:
    answer = http.get(
        f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{stored.ct}"
        "&_revinclude=DiagnosticReport:imaging-study&_revinclude=Observation:derived-from"
    )

    kinds = {each.partition("/")[0] for each in _found(answer, included=True)}
    assert kinds == {"DiagnosticReport", "Observation"}


def test_patient_is_found_by_the_study(http: httpx.Client, stored: Stored) -> None:
    by_study = http.get(f"Patient?_has:ImagingStudy:patient:identifier=urn:oid:{stored.ct}")
    with_studies = http.get(
        f"Patient?identifier={stored.patient_id}&_revinclude=ImagingStudy:patient"
    )

    assert _found(by_study) == _found(with_studies)
    assert len(_found(by_study)) == 1
    assert _found(with_studies, included=True) == _expected(stored, (CT, MR))


def test_pages_bring_each_study_once(http: httpx.Client, stored: Stored) -> None:
    found: list[str] = []
    url: str | None = f"ImagingStudy?patient.identifier={stored.patient_id}&_count=1&_sort=started"
    while url:
        page = http.get(url)
        found += _found(page)
        url = next(
            (each["url"] for each in page.json()["link"] if each["relation"] == "next"), None
        )

    assert found == [stored.mr_reference, stored.ct_reference]


def test_everything_of_the_patient_has_the_studies(http: httpx.Client, stored: Stored) -> None:
    (patient,) = _found(http.get(f"Patient?identifier={stored.patient_id}"))

    answer = http.get(f"{patient}/$everything?_count=100")

    kinds = {each["resource"]["resourceType"] for each in answer.json()["entry"]}
    every = {f"{each['resource']['resourceType']}/{each['resource']['id']}"
             for each in answer.json()["entry"]}  # fmt: skip
    assert every >= {patient, stored.ct_reference, stored.mr_reference}
    assert kinds >= set(OURS)


def test_graphql_follows_references(http: httpx.Client, stored: Stored) -> None:
    one = http.get(
        f"{stored.ct_reference}/$graphql",
        params={"query": "{modality{code} subject{resource{...on Patient{name{family given}}}}}"},
    )
    query = (
        '{ImagingStudyList(identifier:"urn:dicom:uid|urn:oid:UID")'
        "{id numberOfInstances endpoint{resource{...on Endpoint{address}}}}}"
    ).replace("UID", stored.mr)
    several = http.post(
        "$graphql", json={"query": query}, headers={"Content-Type": "application/json"}
    )

    data = one.json()["data"]
    assert {each["code"] for each in data["modality"]} == {"CT", "SR"}
    assert data["subject"]["resource"]["name"] == [{"family": "Clients", "given": ["Carla"]}]
    (study,) = several.json()["data"]["ImagingStudyList"]
    assert study["numberOfInstances"] == 2
    assert study["endpoint"][0]["resource"]["address"].endswith("/dicom-web")


def test_history_has_a_version_of_each_change(http: httpx.Client, server: Server) -> None:
    changed = store_both(server.base)
    before = http.get(changed.mr_reference).json()
    before["note"] = [{"text": "seen"}]

    http.put(changed.mr_reference, json=before).raise_for_status()

    history = http.get(f"{changed.mr_reference}/_history").json()
    assert history["total"] >= 2
    assert [each["resource"].get("note") for each in history["entry"]][-1] is None
    assert http.get(f"{changed.mr_reference}/_history/1").json()["status"] == "available"


def test_every_resource_is_valid(http: httpx.Client, stored: Stored) -> None:
    (patient,) = _found(http.get(f"Patient?identifier={stored.patient_id}"))
    entries = http.get(f"{patient}/$everything?_count=100").json()["entry"]

    for resource in (each["resource"] for each in entries):
        kind = resource["resourceType"]
        get_fhir_model_class(kind).model_validate(resource)
        issues = http.post(f"{kind}/$validate", json=resource).json()["issue"]
        assert [each for each in issues if each["severity"] in ("error", "fatal")] == []


def test_merge_shows_in_dicom_and_can_be_undone(http: httpx.Client, server: Server) -> None:
    merged, kept = store_both(server.base), store_both(server.base)
    patients = [
        _found(http.get(f"Patient?identifier={each.patient_id}")) for each in (merged, kept)
    ]
    (source,), (target,) = patients
    both = [
        {"name": f"{role}-patient", "valueReference": {"reference": reference}}
        for role, reference in (("source", source), ("target", target))
    ]

    _operate(http, "Patient/$merge", both)

    studies = {merged.ct, merged.mr}
    assert _found(http.get(f"ImagingStudy?patient={target}&identifier=urn:oid:{merged.ct}"))
    _becomes(server, kept.patient_id, studies | {kept.ct, kept.mr})

    _operate(http, "Patient/$hapi.fhir.undo-merge", both)

    _becomes(server, merged.patient_id, studies)
    _becomes(server, kept.patient_id, {kept.ct, kept.mr})


def _operate(http: httpx.Client, path: str, parameters: list[dict[str, Any]]) -> None:
    answer = http.post(path, json={"resourceType": "Parameters", "parameter": parameters})
    assert answer.status_code == httpx.codes.OK, answer.text


def _becomes(server: Server, patient_id: str, studies: set[str]) -> None:
    """Wait until a patient has exactly these studies in DICOM."""
    deadline = time.monotonic() + SECONDS
    found: set[str] = set()
    while found != studies and time.monotonic() < deadline:
        answer = httpx.get(f"{server.base}/studies", params={"PatientID": patient_id})
        rows = answer.json() if answer.content else []
        found = {each["0020000D"]["Value"][0] for each in rows}
        time.sleep(PAUSE)
    assert found == studies


def test_reindexing_is_accepted(http: httpx.Client) -> None:
    """What a new SearchParameter needs, to find what was stored before."""
    url = {"name": "url", "valueString": "ImagingStudy?_id=nobody"}
    answer = http.post("$reindex", json={"resourceType": "Parameters", "parameter": [url]})

    assert answer.status_code in (httpx.codes.OK, httpx.codes.ACCEPTED), answer.text


async def test_fhirpy_finds_the_studies(stack: Stack, stored: Stored) -> None:
    client = AsyncFHIRClient(stack.fhir_url)
    of_patient = client.resources("ImagingStudy").search(
        patient__identifier=stored.patient_id, modality="CT", started__ge="2024-03-01"
    )

    (study,) = await of_patient.fetch_all()
    bundle = await of_patient.include("ImagingStudy", "patient").fetch_raw()
    patient = await study["subject"].to_resource()
    reports = client.resources("DiagnosticReport").search(imaging_study=stored.ct_reference)

    assert study.to_reference().reference == stored.ct_reference
    assert {each.resource.resource_type for each in bundle.entry} == {"ImagingStudy", "Patient"}
    assert patient["name"][0]["family"] == "Clients"
    assert await reports.count() == 1


def test_fhirclient_reads_the_studies(stack: Stack, stored: Stored) -> None:
    settings = {"app_id": "tests", "api_base": stack.fhir_url}
    client = smart.FHIRClient(settings=settings)  # type: ignore[no-untyped-call]
    meant = {"patient.identifier": stored.patient_id, "modality": "CT"}

    search = ImagingStudy.where(meant)  # type: ignore[no-untyped-call]
    (study,) = search.perform_resources_iter(client.server)
    subject = study.subject.reference.partition("/")[2]
    patient = Patient.read(subject, client.server)  # type: ignore[no-untyped-call]

    assert study.id == stored.ct_reference.partition("/")[2]
    assert study.numberOfSeries == len(study.series) == 2
    assert study.started.isostring.startswith("2024-03-01")
    assert patient.name[0].family == "Clients"


def test_capabilities_name_what_is_used_here(http: httpx.Client) -> None:
    """The embedded server and the one of docker/ are to offer the same."""
    (rest,) = http.get("metadata").json()["rest"]
    of_type = {each["type"]: _operations(each) for each in rest["resource"]}

    assert _operations(rest) >= {"export", "graphql", "reindex", "diff"}
    assert of_type["Patient"] >= {"everything", "merge", "export", "validate", "graphql"}
    assert of_type["Group"] >= {"export"}


def _operations(part: Any) -> set[str]:
    return {each["name"] for each in part.get("operation", [])}


def test_resources_read_are_json_without_surprises(http: httpx.Client, stored: Stored) -> None:
    answer = http.get(stored.ct_reference)

    assert answer.headers["ETag"].startswith('W/"')
    assert json.loads(answer.content)["id"] == stored.ct_reference.partition("/")[2]
