"""A report as a DiagnosticReport: what it is, how far, who is responsible, and what it concludes."""

from collections.abc import Iterator, Sequence
from typing import Any

from app.fhir.attributes import text
from app.fhir.reports.content import Item
from app.fhir.reports.document import Document
from app.fhir.reports.observation import LEFT_OUT, Observations
from app.fhir.reports.people import interpreters, organizations
from app.fhir.reports.tables import concepts, fixed_code
from app.fhir.reports.values import prose
from app.limits import Limits

_HTML = "text/html"
_PATHOLOGY = "SM"  # slide microscopy


def report_of_content(
    observations: Observations, results: Sequence[dict[str, str]], limits: Limits
) -> dict[str, Any]:
    """Return the DiagnosticReport of a structured report; `results` are its Observations."""
    document, root = observations.document, observations.root
    report = diagnostic_report(document, _HTML)
    own = document.record.study_instance_uid
    report["imagingStudy"] += [
        observations.evidence.study_reference(study)
        for study in observations.evidence.studies[: limits.fhir_report_selections]
        if study != own
    ]
    if results:
        report["result"] = list(results)
    if conclusion := _conclusion(root)[: limits.fhir_report_text].strip():
        report["conclusion"] = conclusion
    codes = [document.concept(item.code()) for item in _conclusions(root, "CODE")]
    if known := [code for code in codes if code]:
        report["conclusionCode"] = known[: limits.fhir_report_components]
    if observations.left_out:
        report["extension"] = [{"url": LEFT_OUT, "valueUnsignedInt": observations.left_out}]
    return report


def diagnostic_report(document: Document, content_type: str) -> dict[str, Any]:
    """Return the DiagnosticReport of any document that is one, with the document as it is read."""
    form: dict[str, Any] = {"contentType": content_type, "url": document.rendered_url}
    if title := (document.title or {}).get("text"):
        form["title"] = title
    report: dict[str, Any] = {
        **document.begun("DiagnosticReport"),
        "identifier": [document.identifier],
        "basedOn": document.based_on,
        "status": document.status("DiagnosticReport"),
        "category": _category(document),
        "code": document.title or {"coding": [dict(fixed_code("untitled"))]},
        "subject": document.subject,
        "encounter": document.encounter,
        "effectiveDateTime": document.effective,
        "issued": document.issued,
        "performer": organizations(document),
        "resultsInterpreter": interpreters(document),
        "imagingStudy": [document.imaging_study],
        "presentedForm": [form],
    }
    return {name: value for name, value in report.items() if value}


def _category(document: Document) -> list[dict[str, Any]]:
    study = document.origin.imaging_study
    modalities = {m.get("code") for m in study.get("modality", ()) if isinstance(m, dict)}
    if _PATHOLOGY in modalities:
        return [{"coding": [dict(fixed_code("pathology"))]}]
    return [{"coding": [dict(fixed_code("radiology")), dict(fixed_code("radiology_loinc"))]}]


def _conclusion(root: Item) -> str:
    """Return the impressions and conclusions of a report; of one without any, all of its text."""
    found = [text(item.attributes, "TextValue") for item in _conclusions(root, "TEXT")]
    if not any(found):
        found = [
            text(item.attributes, "TextValue")
            for item in _sections(root)
            if item.value_type == "TEXT"
        ]
    return prose("\n".join(filter(None, found)))


def _conclusions(root: Item, value_type: str) -> Iterator[Item]:
    """Yield the impressions and conclusions: items that are called so, or stand in a section of them."""
    for item in _sections(root):
        if item.key in concepts("conclusions") and item.value_type == value_type:
            yield item
        if item.key in concepts("conclusion_sections") and item.value_type == "CONTAINER":
            for below in item.walk():
                # those that are called so are found by themselves
                if below.value_type == value_type and below.key not in concepts("conclusions"):
                    yield below


def _sections(root: Item) -> Iterator[Item]:
    """Yield what the report says, without what is said about it, and without measurement groups."""
    for child in root.children:
        if child.relationship not in ("CONTAINS", "") or child.key in concepts("measurement_group"):
            continue
        yield child
        if child.value_type == "CONTAINER":
            yield from _sections(child)
