"""Each row of the mapping makes of an input the element that the documentation says, and that is valid R4.

The table of docs/fhir/conformance.md is what this test finds: where the page says something else it is written
anew, and the test fails so that somebody looks.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.patient import Patient
from pydicom.datadict import keyword_for_tag

from app.fhir.commit_marks import CommitMarks
from app.fhir.data_set import DataSet
from app.fhir.device import device_resource
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import merge_imaging_study
from app.fhir.patient import patient_key, patient_resource
from app.fhir.rows import source_of
from app.fhir.tables import LEVELS, Level, Row, rows
from app.limits import Limits
from tests.unit.fhir.conformance_cases import CASES, Case
from tests.unit.fhir.dicom_json import STUDY, attributes, record

PAGE = Path(__file__).resolve().parents[3] / "docs" / "fhir" / "conformance.md"
REGION = re.compile(r"(<!-- measured:conformance -->\n).*?(<!-- /measured -->)", re.DOTALL)
MODELS: Mapping[str, Any] = {"ImagingStudy": ImagingStudy, "Patient": Patient, "Device": Device}


def resource_of(case: Case) -> dict[str, Any]:
    """The resource that the input makes."""
    settings = dict(case.settings)
    time_zone = settings.pop("time_zone", None)
    systems = IdentifierSystems(
        patient_id_system="urn:test:patient",
        issuer_system_prefix="urn:test:issuer:",
        accession_system="urn:test:accession",
        **settings,
    )
    match case.element.partition(".")[0]:
        case "Patient":
            model = attributes(**case.given)
            return patient_resource(model, patient_key(model, systems, STUDY), systems)
        case "Device":
            device = device_resource(attributes(**case.given))
            assert device is not None
            return device
        case _:
            return merge_imaging_study(
                None,
                [record(1, values=case.given)],
                patient="Patient/p",
                endpoints=["Endpoint/e"],
                limits=Limits(),
                systems=systems,
                time_zone=time_zone,
                commit=CommitMarks(()),
            )


def element_of(resource: Mapping[str, Any], path: str) -> Any:
    """The element at a path; of series and instances the first."""
    value: Any = resource
    for name in path.split(".")[1:]:
        value = value[0] if isinstance(value, list) else value
        value = value.get(name)
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.element}-{'-'.join(case.given)}")
def test_an_input_makes_the_element(case: Case) -> None:
    resource = resource_of(case)
    made = element_of(resource, case.element)

    MODELS[resource["resourceType"]].model_validate_json(orjson.dumps(resource))
    assert _without_device_id(made) == _without_device_id(case.expected)


def _without_device_id(value: Any) -> Any:
    """Ids of devices are computed; that there is one is what counts."""
    return re.sub(r"Device/[0-9a-f-]{36}", "Device/…", orjson.dumps(value).decode())


EVERY_ROW = [(level, row) for level in LEVELS for row in rows(level)]


@pytest.mark.parametrize(
    ("level", "row"), EVERY_ROW, ids=lambda each: getattr(each, "element", each)
)
def test_every_source_of_every_row_is_tried(level: Level, row: Row) -> None:
    prefix = {"patient": "Patient", "study": "ImagingStudy", "series": "ImagingStudy.series"}[level]
    systems = IdentifierSystems("urn:a", "urn:b:", "urn:c")
    tried = {
        source_of(DataSet(attributes(**case.given), systems), row)
        for case in CASES
        if case.element == f"{prefix}.{row.element}"
    }

    assert set(row.sources) <= tried


def test_the_page_says_what_was_found() -> None:
    text = PAGE.read_text("utf-8")
    now = REGION.sub(lambda found: f"{found[1]}\n{_table()}\n{found[2]}", text)
    if now != text:
        PAGE.write_text(now, "utf-8")

    assert now == text, f"{PAGE.name} was out of date; it is written anew: look at it"


def _table() -> str:
    lines = ["| Element | Input | What it makes | |", "| --- | --- | --- | --- |"]
    for case in CASES:
        made = element_of(resource_of(case), case.element)
        good = _without_device_id(made) == _without_device_id(case.expected)
        said = "no element" if made is None else f"`{_json(made)}`"
        lines.append(f"| `{case.element}` | {_input(case)} | {said} | {'✓' if good else '✗'} |")
    return "".join(f"{line}\n" for line in lines)


def _input(case: Case) -> str:
    said = [f"{keyword} `{_value(value)}`" for keyword, value in case.given.items()]
    said += [f"`COREGISTER_{name.upper()}={value}`" for name, value in case.settings.items()]
    return ", ".join(said) or "any instance"


def _value(value: Any) -> str:
    """An input as people write it: items in braces, attributes by keyword."""
    if isinstance(value, list) and _are_items(value):
        return " ".join(_item(each) for each in value)
    if isinstance(value, list):
        return "\\".join(map(_value, value))
    if isinstance(value, dict):
        return "=".join(value.get(k, "") for k in ("Alphabetic", "Ideographic", "Phonetic")).rstrip(
            "="
        )
    return "∅" if value in (None, "") else str(value)


def _are_items(values: list[Any]) -> bool:
    return all(
        isinstance(v, dict) and all(re.fullmatch(r"[0-9A-F]{8}", t) for t in v) for v in values
    )


def _item(item: Mapping[str, Any]) -> str:
    parts = (f"{keyword_for_tag(int(t, 16))} {_value(_one(e['Value']))}" for t, e in item.items())
    return "{" + ", ".join(parts) + "}"


def _one(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 and not isinstance(values[0], dict) else values


def _json(value: Any) -> str:
    return re.sub(r"Device/[0-9a-f-]{36}", "Device/…", orjson.dumps(value).decode()).replace(
        "|", "&#124;"
    )
