"""Two patients in one study: each policy, what the sender hears, what is recorded and what is shown."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.server import STOPPED, Server, store, values

pytestmark = pytest.mark.stack

POLICIES = ("first-wins", "new-wins", "reject")
SHOWN_SECONDS = 20.0
WRITERS = 6


@pytest.fixture(scope="module", params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def workers(
    stack: Stack, policy: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Server]]:
    """Two processes on the same stores; when all tests of a policy have run, everything agrees."""
    folder = tmp_path_factory.mktemp(policy)
    settings = {"COREGISTER_INCONSISTENT_PATIENT": policy}
    one = Server(folder, stack.elasticsearch_url, stack.fhir_url, settings)
    other = Server(
        folder, stack.elasticsearch_url, stack.fhir_url, settings, index_prefix=one.index_prefix
    )
    try:
        one.start()
        other.start()
        yield [one, other]
        assert one.stop() in STOPPED
        assert other.stop() in STOPPED
        assert_agreement(
            Archive(stack.elasticsearch_url, one.index_prefix, stack.fhir_url, one.blobs)
        )
    finally:
        other.discard()
        one.discard()


@pytest.fixture
def client(workers: list[Server]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=workers[0].base, timeout=60, trust_env=False) as http:
        yield http


def instance(study: str, patient: str, **more: Any) -> tuple[str, bytes]:
    sop = generate_uid()
    data = make_instance(StudyInstanceUID=study, SOPInstanceUID=sop, PatientID=patient, **more)
    return sop, data


def patients_shown(client: httpx.Client, study: str) -> dict[str, tuple[str, str]]:
    """Return PatientID and PatientName of each instance, as metadata show them."""
    rows = client.get(f"/studies/{study}/metadata").json()
    return {
        values(row, "00080018")[0]: (
            values(row, "00100020")[0],
            values(row, "00100010")[0]["Alphabetic"],
        )
        for row in rows
    }


def wait_until_shown(client: httpx.Client, study: str, wanted: Any) -> None:
    deadline = time.monotonic() + SHOWN_SECONDS
    while (found := patients_shown(client, study)) != wanted:
        assert time.monotonic() < deadline, f"{found} is not {wanted}"
        time.sleep(0.1)


def subject(workers: list[Server], study: str) -> dict[str, Any]:
    """Return the Patient of the study."""
    with httpx.Client(base_url=workers[0].fhir_url, timeout=30, trust_env=False) as http:
        params = {
            "identifier": f"urn:dicom:uid|urn:oid:{study}",
            "_include": "ImagingStudy:patient",
        }
        bundle = http.get("/ImagingStudy", params=params, headers={"Cache-Control": "no-cache"})
        (patient,) = [
            entry["resource"]
            for entry in bundle.json()["entry"]
            if entry["resource"]["resourceType"] == "Patient"
        ]
    found: dict[str, Any] = patient
    return found


def recorded(workers: list[Server], study: str) -> dict[str, int]:
    params = {"study": study, "kind": "inconsistent-study"}
    answer = httpx.get(f"{workers[0].root}/errors", params=params, timeout=30, trust_env=False)
    return {each["keyword"]: each["count"] for each in answer.json()["errors"]}


def reasons(answer: httpx.Response) -> tuple[list[int], list[int]]:
    """Return warning reasons of what was stored, and failure reasons of what was not."""
    body = answer.json()
    stored = [values(item, "00081196") for item in body.get("00081199", {}).get("Value", ())]
    failed = [values(item, "00081197") for item in body.get("00081198", {}).get("Value", ())]
    return [each for some in stored for each in some], [each for some in failed for each in some]


@pytest.mark.parametrize("together", [True, False], ids=["one request", "two requests"])
def test_an_instance_of_another_patient_ends_as_the_policy_says(
    workers: list[Server], client: httpx.Client, policy: str, together: bool
) -> None:
    study, own, other = generate_uid(), generate_uid()[-12:], generate_uid()[-12:]
    first, first_data = instance(study, own, PatientName="First^Ann")
    second, second_data = instance(study, other, PatientName="Second^Bea")

    if together:
        answer = store(client, first_data, second_data)
    else:
        assert store(client, first_data).status_code == 200
        answer = store(client, second_data)

    a, b = (own, "First^Ann"), (other, "Second^Bea")
    if policy == "reject":
        assert answer.status_code == (202 if together else 409)
        assert reasons(answer) == ([], [0xA900])
        assert "Second" not in answer.text
        wait_until_shown(client, study, {first: a})
    else:
        assert answer.status_code == 202
        assert 0xB000 in reasons(answer)[0]
        shown = a if policy == "first-wins" else b
        wait_until_shown(client, study, {first: shown, second: shown})
    expected = other if policy == "new-wins" else own
    assert {each["value"] for each in subject(workers, study)["identifier"]} == {expected}
    assert recorded(workers, study) == {"PatientID": 1, "PatientName": 1}


def test_another_name_of_the_same_patient_is_told_by_the_name_alone(
    workers: list[Server], client: httpx.Client, policy: str
) -> None:
    study, own = generate_uid(), generate_uid()[-12:]
    store(client, instance(study, own, PatientName="First^Ann")[1])

    answer = store(client, instance(study, own, PatientName="Fist^Ann")[1])

    assert reasons(answer) == (([], [0xA900]) if policy == "reject" else ([0xB000], []))
    assert recorded(workers, study) == {"PatientName": 1}


def test_case_and_padding_of_a_name_are_no_contradiction(
    workers: list[Server], client: httpx.Client
) -> None:
    study, own = generate_uid(), generate_uid()[-12:]
    store(client, instance(study, own, PatientName="First^Ann")[1])

    assert not reasons(store(client, instance(study, own, PatientName="FIRST^ANN^^")[1]))[1]
    assert recorded(workers, study) == {}


def test_writers_of_two_patients_at_once_end_with_one_of_them_everywhere(
    workers: list[Server], client: httpx.Client, policy: str
) -> None:
    """Two workers, many requests: which patient is first is chance, that there is one is not."""
    study = generate_uid()
    both = [generate_uid()[-12:] for _ in range(2)]
    sent: dict[str, tuple[str, bytes]] = {}
    answers: dict[str, int] = {}
    for number in range(WRITERS * 3):
        sop, data = instance(study, both[number % 2], PatientName=f"Name{number % 2}^Ann")
        sent[sop] = (both[number % 2], data)

    def write(writer: int) -> None:
        with httpx.Client(timeout=90, trust_env=False) as http:
            for sop, (_, data) in list(sent.items())[writer::WRITERS]:
                url = f"{workers[writer % 2].base}/studies"
                answers[sop] = store(http, data, path=url).status_code

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = {each["value"] for each in subject(workers, study)["identifier"]}
    assert winner in both
    name = f"Name{both.index(winner)}^Ann"
    stored = {
        sop: (winner, name)
        for sop, (patient, _) in sent.items()
        if policy != "reject" or patient == winner
    }
    assert {sop for sop, status in answers.items() if status in (200, 202)} == stored.keys()
    wait_until_shown(client, study, stored)


def test_a_name_that_was_corrected_in_fhir_makes_no_instance_inconsistent(
    workers: list[Server], client: httpx.Client
) -> None:
    """Neither one with the name as it was, nor one with the name as it is now."""
    study, own = generate_uid(), generate_uid()[-12:]
    first, data = instance(study, own, PatientName="Wrong^Ann")
    store(client, data)
    patient = subject(workers, study)
    patient["name"] = [{"use": "usual", "family": "Right", "given": ["Ann"]}]
    url = f"{workers[0].fhir_url}/Patient/{patient['id']}"
    httpx.put(url, json=patient, timeout=30, trust_env=False).raise_for_status()
    wait_until_shown(client, study, {first: (own, "Right^Ann")})

    old, old_data = instance(study, own, PatientName="Wrong^Ann")
    new, new_data = instance(study, own, PatientName="Right^Ann")

    assert not reasons(store(client, old_data, new_data))[1]
    wait_until_shown(client, study, dict.fromkeys((first, old, new), (own, "Right^Ann")))
    assert recorded(workers, study) == {}
