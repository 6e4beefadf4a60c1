"""Bulk export: what was stored is in the files, for the system, the patient's kind and a group."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Stack
from tests.e2e.fhir_clients import FHIR_JSON, Stored, store_both
from tests.server import Server

pytestmark = [pytest.mark.stack]

SECONDS = 120
PAUSE = 0.25


@pytest.fixture(scope="module")
def stored(server: Server) -> Stored:
    return store_both(server.base)


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=stack.fhir_url + "/", headers=FHIR_JSON, timeout=60, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="module")
def group(http: httpx.Client, stored: Stored) -> str:
    """A group of the patient alone."""
    bundle = http.get(f"Patient?identifier={stored.patient_id}").json()
    patient = bundle["entry"][0]["resource"]["id"]
    member = [{"entity": {"reference": f"Patient/{patient}"}}]
    made = {"resourceType": "Group", "type": "person", "actual": True, "member": member}
    answer = http.post("Group", json=made)
    return f"Group/{answer.json()['id']}"


@pytest.mark.parametrize("level", ["", "Patient/", "{group}/"])
def test_export_has_what_was_stored(
    http: httpx.Client, stored: Stored, group: str, level: str
) -> None:
    exported = _export(
        http, f"{level.format(group=group)}$export",
        {"_type": "ImagingStudy,Patient", "_since": stored.since},
    )  # fmt: skip

    assert exported >= {stored.ct_reference, stored.mr_reference}
    assert any(each.startswith("Patient/") for each in exported)


def _export(http: httpx.Client, path: str, params: dict[str, str]) -> set[str]:
    """Ask for an export, wait for it, and return the references of all that is in its files."""
    started = http.get(path, params=params, headers={"Prefer": "respond-async"})
    assert started.status_code == httpx.codes.ACCEPTED, started.text
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        answer = http.get(started.headers["Content-Location"])
        if answer.status_code == httpx.codes.OK:
            break
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        time.sleep(PAUSE)
    found = set()
    for output in answer.json()["output"]:
        file = http.get(output["url"], headers={"Accept": "application/fhir+ndjson"})
        for resource in map(json.loads, file.text.splitlines()):
            assert resource["resourceType"] == output["type"]
            found.add(f"{output['type']}/{resource['id']}")
    return found
