"""`GET /errors`, `POST /errors/$retry` and `coregister errors`: what an operator sees, and can do."""

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.conftest import Stack
from tests.corpus import SENTINEL, make_instance
from tests.server import Server, store

pytestmark = pytest.mark.stack

BAD_DATE = "20249999"


@pytest.fixture
def study() -> str:
    return generate_uid()


def errors(server: Server, **params: Any) -> dict[str, Any]:
    answer = httpx.get(f"{server.root}/errors", params=params, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_instances_with_the_same_bad_value_are_one_record_that_counts(
    server: Server, client: httpx.Client, study: str
) -> None:
    """And no value of the data set is in it."""
    files = [
        make_instance(StudyInstanceUID=study, PatientID=study[-9:], StudyDate=BAD_DATE)
        for _ in range(3)
    ]
    assert store(client, *files).status_code == 202
    assert store(client, files[0]).status_code == 202

    found = errors(server, study=study)
    (record,) = found["errors"]
    assert (found["total"], found["cursor"]) == (1, None)
    assert (record["kind"], record["keyword"], record["count"]) == ("invalid-tag", "StudyDate", 4)
    assert (record["tag"], record["valueClass"]) == ("00080020", "DA: no date")
    assert record["state"] == "open"
    assert record["firstSeen"] < record["lastSeen"]
    assert BAD_DATE not in json.dumps(found)
    assert SENTINEL not in json.dumps(found)


def test_an_invalid_value_is_left_out_of_fhir_and_of_search(
    client: httpx.Client, fhir: httpx.Client, study: str
) -> None:
    data = make_instance(StudyInstanceUID=study, PatientID=study[-9:], StudyDate=BAD_DATE)
    store(client, data)

    identifier = f"urn:dicom:uid|urn:oid:{study}"
    bundle = fhir.get("/ImagingStudy", params={"identifier": identifier}).json()
    assert "started" not in bundle["entry"][0]["resource"]
    by_date = {"StudyInstanceUID": study, "StudyDate": BAD_DATE}
    assert client.get("/studies", params=by_date).status_code in (204, 400)


def test_a_part_that_is_refused_is_recorded_for_the_study_of_the_url(
    server: Server, client: httpx.Client, study: str
) -> None:
    assert store(client, b"no DICOM", path=f"/studies/{study}").status_code == 409

    (record,) = errors(server, study=study)["errors"]
    assert (record["kind"], record["valueClass"]) == ("dicom-store-failure", "NotDicom")


def test_other_bytes_under_a_known_uid_are_recorded(
    server: Server, client: httpx.Client, study: str
) -> None:
    sop = generate_uid()
    named: dict[str, Any] = {
        "StudyInstanceUID": study,
        "SOPInstanceUID": sop,
        "PatientID": study[-9:],
    }
    store(client, make_instance(**named))
    assert store(client, make_instance(**named, InstanceNumber="2")).status_code == 409

    (record,) = errors(server, study=study)["errors"]
    assert (record["kind"], record["instance"]) == ("dicom-store-failure", sop)
    assert (record["keyword"], record["valueClass"]) == ("SOPInstanceUID", "DuplicateInstance")


def test_an_empty_patient_id_is_accepted_with_a_warning_and_a_record(
    server: Server, client: httpx.Client, study: str
) -> None:
    answer = store(client, make_instance(StudyInstanceUID=study, PatientID=""))

    assert answer.status_code == 202
    (success,) = answer.json()["00081199"]["Value"]
    assert success["00081196"]["Value"] == [0xB007]
    (record,) = errors(server, study=study)["errors"]
    assert (record["keyword"], record["valueClass"]) == ("PatientID", "LO: empty")


def test_records_come_in_pages_and_by_kind_and_time(
    server: Server, client: httpx.Client, study: str
) -> None:
    tags: dict[str, Any] = {"StudyDate": BAD_DATE, "SeriesDate": BAD_DATE, "ContentTime": "999999"}
    store(client, make_instance(StudyInstanceUID=study, PatientID=study[-9:], **tags))
    store(client, b"no DICOM", path=f"/studies/{study}")

    pages, cursor = [], None
    while True:
        params: dict[str, Any] = {"study": study, "limit": 2} | (
            {"cursor": cursor} if cursor else {}
        )
        page = errors(server, **params)
        pages.append([each["id"] for each in page["errors"]])
        assert page["total"] == 4
        cursor = page["cursor"]
        if cursor is None:
            break
    assert len({each for page in pages for each in page}) == 4
    assert errors(server, study=study, kind="dicom-store-failure")["total"] == 1
    assert errors(server, study=study, kind="dicom-store-failure,invalid-tag")["total"] == 4
    assert errors(server, study=study, since="2999-01-01")["total"] == 0
    assert errors(server, study=study, state="resolved")["total"] == 0


def test_a_wrong_parameter_is_a_400_that_says_so(server: Server) -> None:
    answer = httpx.get(f"{server.root}/errors", params={"kind": "odd"}, trust_env=False)

    assert answer.status_code == 400
    assert "invalid-tag" in answer.json()["detail"]


def test_a_retry_resolves_what_was_mended_and_leaves_what_was_not(
    server: Server, client: httpx.Client, fhir: httpx.Client, study: str
) -> None:
    """The refused instance is sent again with its bytes in order; the bad date stays bad."""
    sop = generate_uid()
    named: dict[str, Any] = {"StudyInstanceUID": study, "PatientID": study[-9:]}
    bad = make_instance(**named, StudyDate=BAD_DATE)
    cut = make_instance(**named, SOPInstanceUID=sop)
    store(client, bad)
    store(client, cut[:-100], path=f"/studies/{study}")
    kinds = {each["kind"] for each in errors(server, study=study)["errors"]}
    assert kinds == {"invalid-tag", "dicom-store-failure"}
    assert store(client, cut).status_code == 200
    resource = imaging_study(fhir, study)
    resource["note"] = [{"text": "somebody's"}]
    fhir.put(f"/ImagingStudy/{resource['id']}", json=resource).raise_for_status()

    answer = httpx.post(
        f"{server.root}/errors/$retry", params={"study": study}, timeout=60, trust_env=False
    )

    (line,) = [json.loads(text) for text in answer.text.splitlines()]
    assert (line["study"], line["done"], line["of"], line["error"]) == (study, 1, 1, None)
    assert (line["resolved"], line["left"]) == (1, 1)
    (left,) = errors(server, study=study)["errors"]
    assert left["kind"] == "invalid-tag"
    (closed,) = errors(server, study=study, state="resolved")["errors"]
    assert closed["resolvedAt"] >= closed["lastSeen"]
    mapped = imaging_study(fhir, study)
    assert mapped["note"] == [{"text": "somebody's"}]
    assert mapped["numberOfInstances"] == 2


def imaging_study(fhir: httpx.Client, study: str) -> dict[str, Any]:
    identifier = f"urn:dicom:uid|urn:oid:{study}"
    headers = {"Cache-Control": "no-cache"}
    bundle = fhir.get("/ImagingStudy", params={"identifier": identifier}, headers=headers).json()
    resource: dict[str, Any] = bundle["entry"][0]["resource"]
    return resource


def test_a_study_that_is_deleted_has_no_errors_any_more(
    server: Server, client: httpx.Client, study: str
) -> None:
    store(client, make_instance(StudyInstanceUID=study, PatientID="", StudyDate=BAD_DATE))
    client.delete(f"/studies/{study}").raise_for_status()

    httpx.post(
        f"{server.root}/errors/$retry", params={"study": study}, timeout=60, trust_env=False
    ).raise_for_status()

    assert errors(server, study=study)["total"] == 0
    assert errors(server, study=study, state="resolved")["total"] == 2


def command(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "errors", *arguments, "--url", server.base],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_the_command_shows_errors_and_its_exit_status_tells_whether_some_are_left(
    server: Server, client: httpx.Client, study: str
) -> None:
    store(client, make_instance(StudyInstanceUID=study, PatientID=study[-9:], StudyDate=BAD_DATE))

    shown = command(server, "--study", study)
    listed = command(server, "--study", study, "--json")
    retried = command(server, "retry", "--study", study)
    client.delete(f"/studies/{study}").raise_for_status()
    mended = command(server, "retry", "--study", study, "--json")
    nothing = command(server, "--study", study)
    wrong = command(server, "--kind", "odd")

    assert (shown.returncode, "invalid-tag" in shown.stdout) == (0, True), shown.stderr
    assert [each["study"] for each in json.loads(listed.stdout)["errors"]] == [study]
    assert (retried.returncode, "0 resolved, 1 left" in retried.stdout) == (1, True), retried.stderr
    assert mended.returncode == 0
    assert [each["resolved"] for each in json.loads(mended.stdout)] == [1]
    assert nothing.stdout.strip() == "No errors."
    assert (wrong.returncode, "kind" in wrong.stderr) == (1, True)


def test_the_command_says_where_no_coregister_answers(stack: Stack) -> None:
    elsewhere = subprocess.run(
        [sys.executable, "-m", "app.cli", "errors", "--url", stack.fhir_url],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert elsewhere.returncode == 1
    assert "no Coregister" in elsewhere.stderr


def test_metrics_count_problems_by_kind(server: Server, client: httpx.Client, study: str) -> None:
    store(client, make_instance(StudyInstanceUID=study, PatientID=study[-9:], StudyDate=BAD_DATE))

    metrics = httpx.get(f"{server.root}/metrics", timeout=30, trust_env=False).text
    (line,) = [
        each
        for each in metrics.splitlines()
        if each.startswith('coregister_problems_total{kind="inv')
    ]
    assert float(line.rpartition(" ")[2]) >= 1
