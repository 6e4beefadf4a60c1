"""HAPI finds no error in what reports and documents become, those of others' test files among them."""

from typing import Any

import httpx
import pytest

from app.dicom.part10 import read_instance
from app.limits import Limits
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.e2e.real_files import as_sent, installed_folders, real_files
from tests.report_objects import angiography_dose, code, ct_dose, findings_report, pdf, tid_1500
from tests.unit.fhir.reports.made import derived

pytestmark = pytest.mark.stack

MADE = {
    "tid 1500": tid_1500([make_instance(FrameOfReferenceUID="1.2.3.9")]),
    "words": findings_report(),
    "ct dose": ct_dose(),
    "angiography dose": angiography_dose(),
    "letter": pdf(),
    "encapsulated report": pdf(title=code("11528-7", "LN", "Radiology Report")),
}
REAL = [
    file
    for file in real_files(installed_folders())
    if "sr" in file.name.lower() or "report" in file.name
]


def errors_of(stack: Stack, data: bytes) -> tuple[int, list[Any]]:
    """Return how many resources an object becomes, and what the validator says against them."""
    resources = derived(read_instance(data, Limits())).resources
    found = []
    for resource in resources:
        url = f"{stack.fhir_url}/{resource['resourceType']}/$validate"
        outcome = httpx.post(url, json=resource, timeout=60).json()
        found += [issue for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")]
    return len(resources), found


@pytest.mark.parametrize("name", MADE)
def test_resources_of_made_objects_are_valid(stack: Stack, name: str) -> None:
    count, found = errors_of(stack, MADE[name])

    assert count
    assert found == []


@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_resources_of_real_reports_are_valid(stack: Stack, file: Any) -> None:
    count, found = errors_of(stack, as_sent(file.path))

    assert count
    assert found == []
