"""DiagnosticReports of structured reports, and encapsulated documents."""

from base64 import b64encode
from hashlib import sha1
from typing import Any

import pytest

from tests.corpus import make_instance
from tests.http.test_rejection import note
from tests.report_objects import (
    BASIC_TEXT,
    PDF,
    code,
    container,
    ct_dose,
    findings_report,
    pdf,
    report,
    text,
)
from tests.unit.fhir.reports.made import BASE, STUDY, code_of, of_type, resources_of


def test_report_says_what_it_is_who_verified_it_and_what_it_concludes() -> None:
    (made,) = resources_of(findings_report())

    assert made["status"] == "final"
    assert made["code"]["coding"][0]["system"] == "http://loinc.org"
    assert made["conclusion"] == "Probably benign."
    assert [code_of(c) for c in made["conclusionCode"]] == ["108369006"]
    assert made["resultsInterpreter"] == [
        {
            "type": "Practitioner",
            "identifier": {"system": "urn:coregister:coding-scheme:99STAFF", "value": "4711"},
            "display": "Dr. Rita Reader",
        }
    ]
    assert made["performer"] == [{"type": "Organization", "display": "General Hospital"}]
    assert made["issued"] == "2024-03-01T09:30:00+01:00"
    assert made["effectiveDateTime"] == "2024-02-29T10:15:30.25+01:00"
    assert made["imagingStudy"] == [{"reference": "ImagingStudy/s"}]
    (form,) = made["presentedForm"]
    assert form["url"].startswith(f"{BASE}/studies/")
    assert form["url"].endswith("/rendered")


def test_basic_text_without_a_conclusion_is_told_whole() -> None:
    words = report(
        code("1", "99T"),
        text(code("2", "99T"), "One.\r\nTwo."),
        container(code("3", "99T"), text(code("4", "99T"), "Three.")),
        sop_class=BASIC_TEXT,
    )

    (made,) = resources_of(words)

    assert made["conclusion"] == "One.\nTwo.\nThree."


def test_long_conclusion_is_cut_at_the_limit() -> None:
    words = report(code("1", "99T"), text(code("2", "99T"), "x" * 50), sop_class=BASIC_TEXT)

    assert resources_of(words, fhir_report_text=10)[0]["conclusion"] == "x" * 10


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ({"VerificationFlag": "VERIFIED"}, "final"),
        ({"VerificationFlag": "UNVERIFIED"}, "preliminary"),
        ({"VerificationFlag": "UNVERIFIED", "PreliminaryFlag": "FINAL"}, "final"),
        ({"VerificationFlag": "VERIFIED", "PreliminaryFlag": "PRELIMINARY"}, "preliminary"),
        ({"VerificationFlag": "VERIFIED", "CompletionFlag": "PARTIAL"}, "partial"),
        ({"VerificationFlag": None, "CompletionFlag": None}, "unknown"),
    ],
)
def test_status_follows_the_flags(flags: dict[str, Any], status: str) -> None:
    assert resources_of(report(code("1", "99T"), **flags))[0]["status"] == status


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ({}, "final"),
        ({"CompletionFlag": "PARTIAL"}, "preliminary"),
        ({"PreliminaryFlag": "PRELIMINARY"}, "preliminary"),
        ({"CompletionFlag": None}, "unknown"),
    ],
)
def test_what_a_device_measured_is_final_when_complete(flags: dict[str, Any], status: str) -> None:
    assert {o["status"] for o in resources_of(ct_dose(**flags))} == {status}


def test_order_and_encounter_of_the_study_are_those_of_the_report() -> None:
    order = {"type": "ServiceRequest", "identifier": {"system": "urn:x", "value": "A-1"}}
    visit = {"type": "Encounter", "identifier": {"system": "urn:x", "value": "V-1"}}
    study = {**STUDY, "basedOn": [order, {"reference": "Task/1"}], "encounter": visit}

    (made,) = resources_of(findings_report(), study)

    assert made["basedOn"] == [order]
    assert made["encounter"] == visit


def test_small_encapsulated_document_has_size_and_hash() -> None:
    (made,) = resources_of(pdf())

    attachment = made["content"][0]["attachment"]
    assert made["resourceType"] == "DocumentReference"
    assert attachment["contentType"] == "application/pdf"
    assert attachment["size"] == len(PDF)
    assert attachment["hash"] == b64encode(sha1(PDF).digest()).decode()  # noqa: S324 - as R4 has it
    assert made["context"]["related"] == [{"reference": "ImagingStudy/s"}]
    assert made["type"]["text"] == "Payer letter"


def test_large_encapsulated_document_has_its_size() -> None:
    document = bytes(10_001)

    (made,) = resources_of(pdf(document=document))

    assert made["content"][0]["attachment"]["size"] == 10_001


def test_encapsulated_report_is_a_diagnostic_report_too() -> None:
    made = resources_of(pdf(title=code("11528-7", "LN", "Radiology Report")))

    (report_,) = of_type(made, "DiagnosticReport")
    assert report_["presentedForm"][0]["contentType"] == "application/pdf"
    assert report_["status"] == "unknown"


@pytest.mark.parametrize("data", [make_instance(), note([make_instance()])])
def test_image_and_key_object_selection_become_nothing(data: bytes) -> None:
    assert resources_of(data) == []


def test_report_without_a_content_tree_becomes_nothing() -> None:
    assert resources_of(report(code("1", "99T"), ValueType=None)) == []
