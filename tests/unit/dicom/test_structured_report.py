"""Content trees, and the pages and texts made of them (PS3.3 §C.17.3)."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from app.dicom.part10 import read_instance
from app.dicom.report_html import CONTENT_SECURITY_POLICY, report_html
from app.dicom.report_text import report_text
from app.dicom.structured_report import Code, Reference, is_report, read_report
from app.limits import Limits
from tests.corpus import SCRIPT, make_instance

BASE = "http://127.0.0.1/dicom-web"
VOID = {"meta", "br"}


def coded(meaning: str, value: str = "1", scheme: str = "99X") -> list[dict[str, Any]]:
    return [{"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}]


def item(value_type: str, name: str = "Name", how: str = "CONTAINS", **more: Any) -> dict[str, Any]:
    return {
        "RelationshipType": how,
        "ValueType": value_type,
        "ConceptNameCodeSequence": coded(name),
        **more,
    }


def measured(number: str, unit: str = "mm") -> list[dict[str, Any]]:
    return [{"NumericValue": number, "MeasurementUnitsCodeSequence": coded("unit", unit, "UCUM")}]


def attributes_of(*items: dict[str, Any], **more: Any) -> Any:
    data = make_instance(
        Modality="SR", PixelData=None, Rows=None, Columns=None,
        ValueType="CONTAINER", ConceptNameCodeSequence=coded("Chest CT"), ContentSequence=list(items),
        **more,
    )  # fmt: skip
    return read_instance(data, Limits()).attributes


def only(**more: Any) -> Any:
    (found,) = read_report(attributes_of(item(**more))).root.children
    return found


def file_report(name: str) -> Any:
    data = Path(str(get_testdata_file(name))).read_bytes()
    return read_report(read_instance(data, Limits()).attributes)


@pytest.mark.parametrize(
    ("more", "value"),
    [
        ({"value_type": "TEXT", "TextValue": "No finding."}, "No finding."),
        ({"value_type": "CODE", "ConceptCodeSequence": coded("Mass", "M-1")}, "Mass"),
        ({"value_type": "NUM", "MeasuredValueSequence": measured("12.5")}, "12.5 mm"),
        ({"value_type": "NUM", "MeasuredValueSequence": measured("3", "1")}, "3"),
        (
            {
                "value_type": "NUM",
                "NumericValueQualifierCodeSequence": coded("Measurement failure"),
            },
            "Measurement failure",
        ),
        ({"value_type": "NUM"}, "no value"),
        ({"value_type": "DATE", "Date": "20240229"}, "2024-02-29"),
        ({"value_type": "TIME", "Time": "101530.5"}, "10:15:30.5"),
        ({"value_type": "DATETIME", "DateTime": "20240229101530+0100"}, "2024-02-29 10:15:30+0100"),
        ({"value_type": "PNAME", "PersonName": "Smith^John=山田^太郎"}, "Smith John (山田 太郎)"),
        ({"value_type": "UIDREF", "UID": "1.2.3"}, "1.2.3"),
        (
            {
                "value_type": "SCOORD",
                "GraphicType": "POLYLINE",
                "GraphicData": [1.0, 2.0, 3.0, 4.0],
            },
            "polyline (2 points)",
        ),
        (
            {"value_type": "SCOORD3D", "GraphicType": "POINT", "GraphicData": [1.0, 2.0, 3.0]},
            "point (1 point)",
        ),
        ({"value_type": "TCOORD", "TemporalRangeType": "SEGMENT"}, "SEGMENT"),
        ({"value_type": "TEXT"}, ""),
        ({"value_type": "NEW KIND"}, ""),
    ],
)
def test_each_value_type_is_read_as_text(more: dict[str, Any], value: str) -> None:
    found = read_report(
        attributes_of(item(**more), SpecificCharacterSet="ISO_IR 192")
    ).root.children[0]

    assert found.value == value


def test_a_coded_value_keeps_its_code() -> None:
    found = only(value_type="CODE", ConceptCodeSequence=coded("Mass", "M-1", "SCT"))

    assert (found.name, found.code) == (Code("Name", "1", "99X"), Code("Mass", "M-1", "SCT"))


def test_a_reference_knows_its_place_from_the_evidence() -> None:
    image = {
        "ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "ReferencedSOPInstanceUID": "1.2.7",
    }
    evidence = {
        "StudyInstanceUID": "1.2.5",
        "ReferencedSeriesSequence": [
            {"SeriesInstanceUID": "1.2.6", "ReferencedSOPSequence": [image]}
        ],
    }
    referred = item("IMAGE", ReferencedSOPSequence=[{**image, "ReferencedFrameNumber": ["2", "5"]}])
    attributes = attributes_of(referred, CurrentRequestedProcedureEvidenceSequence=[evidence])
    report = read_report(attributes)

    assert report.root.children[0].references == (
        Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.7", (2, 5), "1.2.5", "1.2.6"),
    )
    url = f"{BASE}/studies/1.2.5/series/1.2.6/instances/1.2.7/frames/2,5/rendered"
    assert f'<a href="{url}" rel="noreferrer">CT Image, frames 2, 5</a>' in html_of(report)
    assert "Name: CT Image, frames 2, 5 1.2.7" in report_text(report).decode()


def test_the_header_says_whom_and_what_it_is_about() -> None:
    attributes = attributes_of(
        ContentDate="20240301", ContentTime="0915", CompletionFlag="COMPLETE",
        VerificationFlag="VERIFIED",
        VerifyingObserverSequence=[
            {
                "VerifyingObserverName": "Doe^Jane",
                "VerifyingOrganization": "Clinic",
                "VerificationDateTime": "20240302",
            }
        ],
    )  # fmt: skip

    report = read_report(attributes)

    assert report.title == "Chest CT"
    assert dict(report.header) == {
        "Patient": "Zzyzx Sentinel", "Patient ID": "PID-1", "Birth date": "1970-01-01", "Sex": "O",
        "Accession number": "A-1", "Study date": "2024-02-29", "Report date": "2024-03-01 09:15",
        "State": "complete, verified", "Verified by": "Doe Jane, Clinic, 2024-03-02",
    }  # fmt: skip


def html_of(report: Any, charset: str = "utf-8") -> str:
    return report_html(report, BASE, charset).decode(charset)


class Checked(HTMLParser):
    """A reader of pages that takes note of elements and of the text in them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(text: str) -> Checked:
    page = Checked()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


@pytest.mark.parametrize(
    "name", ["test-SR.dcm", "reportsi.dcm", "reportsi_with_empty_number_tags.dcm"]
)
def test_a_file_becomes_a_page_of_closed_elements_with_all_its_texts(name: str) -> None:
    report = file_report(name)

    page = read_page(html_of(report))

    def texts(of: Any) -> list[str]:
        own = [of.value, of.name.meaning if of.name else ""]
        return [*filter(None, own), *(text for child in of.children for text in texts(child))]

    plain = report_text(report).decode()
    assert [each for each in texts(report.root) if each not in page.text] == []
    assert [each for each in texts(report.root) if each.splitlines()[0].strip() not in plain] == []


def test_sections_are_headings_and_measurements_stand_out() -> None:
    inner = item("NUM", "Diameter", MeasuredValueSequence=measured("12.5"))
    report = read_report(attributes_of(item("CONTAINER", "Findings", ContentSequence=[inner])))

    page = html_of(report)

    assert "<h2>" in page
    assert '<span class="value num" title="unit">12.5 mm</span>' in page
    assert "Diameter: 12.5 mm" in report_text(report).decode()


@pytest.mark.parametrize(
    "attack",
    [SCRIPT, '"><img src=x onerror=alert(1)>', "' onmouseover='x", "</style><b>", "&lt;b&gt;"],
)
def test_what_looks_like_markup_is_shown_as_text(attack: str) -> None:
    report = read_report(
        attributes_of(
            item("TEXT", attack, TextValue=attack),
            item("CODE", "Code", ConceptCodeSequence=coded(attack, attack[:16], attack[:16])),
            item("NUM", "Size", MeasuredValueSequence=measured("1", attack[:16])),
            item(
                "IMAGE",
                ReferencedSOPSequence=[
                    {"ReferencedSOPInstanceUID": attack, "ReferencedSOPClassUID": "1"}
                ],
            ),
            StudyDescription=attack,
        )
    )

    page = read_page(html_of(report))

    assert attack in page.text
    assert not {"script", "img", "b"} & set(page.seen)


@pytest.mark.parametrize(
    ("charset", "spelled"), [("ascii", "M&#252;ller"), ("iso8859-1", "Müller"), ("utf-8", "Müller")]
)
def test_a_page_is_in_the_character_set_that_is_asked_for(charset: str, spelled: str) -> None:
    attributes = attributes_of(item("TEXT", TextValue="Müller"), SpecificCharacterSet="ISO_IR 192")
    report = read_report(attributes)

    page = html_of(report, charset)

    assert spelled in page
    assert f'<meta charset="{charset}">' in page
    assert b"M?ller" in report_text(report, "ascii")


def test_the_policy_allows_the_pages_own_style_alone() -> None:
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "style-src 'sha256-" in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "sandbox" in CONTENT_SECURITY_POLICY


def test_text_is_indented_by_its_depth() -> None:
    inner = item("TEXT", "Inner", TextValue="one\r\ntwo")
    report = read_report(
        attributes_of(item("TEXT", "Outer", TextValue="x", ContentSequence=[inner]))
    )

    assert report_text(report).decode().endswith("Outer: x\n  Inner: one\n    two\n")


def test_a_text_that_is_kept_as_bulk_data_is_named_as_such() -> None:
    long = "lorem " * 60_000

    assert only(value_type="TEXT", TextValue=long).value.startswith("(a long value")


def test_an_image_is_no_report() -> None:
    assert not is_report(read_instance(make_instance(), Limits()).attributes)
    assert is_report(attributes_of())
