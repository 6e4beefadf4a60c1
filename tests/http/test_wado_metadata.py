"""Metadata over HTTP: as JSON and XML, in every character set (PS3.18 §10.4.1.1.2)."""

from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from pydicom.uid import generate_uid

from app.dicom.native_xml import NAMESPACE
from tests.corpus import make_instance
from tests.server import Server, store
from tests.wado import Stored, get, sections, stored_file

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),  # of pydicom's files
]

XML = 'multipart/related; type="application/dicom+xml"'
NAMES = ["CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm", "MR_small_implicit.dcm"]
ELEMENT = f"{{{NAMESPACE}}}DicomAttribute" if NAMESPACE else "DicomAttribute"
# what iconv, not Python, makes of the bytes
NAMES_IN_BYTES = [
    ("ISO_IR 100", b"\xc4neas^R\xfcdiger", "Äneas^Rüdiger"),
    ("ISO_IR 101", b"W\xb3adys\xb3aw", "Władysław"),
    ("ISO_IR 109", b"\xa1amrun", "Ħamrun"),
    ("ISO_IR 110", b"\xa3\xb6", "Ŗļ"),
    ("ISO_IR 126", b"\xc4\xe9\xef\xed", "Διον"),
    ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea", "قباني"),
    ("ISO_IR 138", b"\xf9\xf8\xe5\xef", "שרון"),
    ("ISO_IR 144", b"\xbb\xee", "Лю"),
    ("ISO_IR 148", b"\xddstanbul \xfe", "İstanbul ş"),
    ("ISO_IR 166", b"\xca\xc1\xaa\xd2\xc2", "สมชาย"),
    ("ISO_IR 203", b"\xa4", "€"),
    ("ISO_IR 13", b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
    ("ISO_IR 192", "山田^太郎".encode(), "山田^太郎"),
    ("GB18030", b"\xcd\xf5^\xd0\xa1\xb6\xab", "王^小东"),
    ("GB18030", b"\x81\x30\x81\x30", "\x80"),
    ("GBK", b"\xcd\xf5^\xd0\xa1\x96|", "王^小東"),
    ("\\ISO 2022 IR 87", b"A=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "A=山田^太郎"),
    ("\\ISO 2022 IR 149", b"A=\x1b$)C\xd1\xce\xd4\xd7", "A=吉洞"),
    ("\\ISO 2022 IR 58", b"A=\x1b$)A\xd5\xc5", "A=张"),
]


@pytest.fixture(scope="module")
def files(server: Server) -> dict[str, Stored]:
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        return {name: stored_file(http, name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_xml_has_every_attribute_that_json_has(
    client: httpx.Client, files: dict[str, Stored], level: str, name: str
) -> None:
    path = f"{getattr(files[name], level)}/metadata"
    (metadata,) = get(client, path).json()

    (part,) = sections(get(client, path, XML))

    assert part.content_type == "application/dicom+xml"
    root = ET.fromstring(part.data)  # noqa: S314 - of the server under test
    assert shape_of_xml(root) == shape_of_json(metadata)


def shape_of_xml(root: ET.Element) -> list[Any]:
    """Return the VR and the address of each attribute, items taken apart."""
    found = []
    for element in root.findall(ELEMENT):
        items = element.findall(ELEMENT.replace("DicomAttribute", "Item"))
        inner = [shape_of_xml(item) for item in items]
        bulk = element.find(ELEMENT.replace("DicomAttribute", "BulkData"))
        uri = None if bulk is None else bulk.get("uri") or bulk.get("URI")
        found.append((element.get("vr"), uri, inner))
    return found


def shape_of_json(attributes: dict[str, Any]) -> list[Any]:
    found = []
    for element in attributes.values():
        items = element.get("Value", []) if element["vr"] == "SQ" else []
        inner = [shape_of_json(item) for item in items]
        found.append((element["vr"], element.get("BulkDataURI"), inner))
    return found


def test_each_instance_is_a_document_of_its_own(client: httpx.Client) -> None:
    study = generate_uid()
    sent = [make_instance(StudyInstanceUID=study, InstanceNumber=str(n)) for n in range(3)]
    assert store(client, *sent).status_code in (200, 202)

    assert len(sections(get(client, f"/studies/{study}/metadata", XML))) == 3
    assert len(get(client, f"/studies/{study}/metadata").json()) == 3


def test_a_long_series_comes_whole_and_in_order(client: httpx.Client) -> None:
    """More instances than one page of the index."""
    study, series = generate_uid(), generate_uid()
    path = f"/studies/{study}/series/{series}/metadata"
    numbers = list(range(1, 621))
    for start in range(0, len(numbers), 155):
        sent = [
            make_instance(
                StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=str(number)
            )
            for number in numbers[start : start + 155]
        ]
        assert store(client, *sent).status_code in (200, 202)

    rows = get(client, path).json()

    assert [row["00200013"]["Value"][0] for row in rows] == numbers


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+json",
        "application/json",
        'application/dicom+json, multipart/related; type="application/octet-stream"; transfer-syntax=*',
        "multipart/related; type=application/octet-stream, application/dicom+json;q=0.1",
        f"application/dicom+json, {XML}; q=0.9",
        "*/*",
    ],
)
def test_json_is_what_viewers_get(
    client: httpx.Client, files: dict[str, Stored], accept: str
) -> None:
    answer = get(client, f"{files['CT_small.dcm'].series}/metadata", accept)

    assert answer.headers["Content-Type"] == "application/dicom+json"


def test_what_cannot_be_sent_is_a_406_that_names_what_can(
    client: httpx.Client, files: dict[str, Stored]
) -> None:
    answer = get(client, f"{files['CT_small.dcm'].series}/metadata", "image/png")

    assert answer.status_code == 406
    assert "application/dicom+json" in answer.json()["detail"]
    assert XML in answer.json()["detail"]


@pytest.mark.parametrize(("term", "raw", "text"), NAMES_IN_BYTES)
@pytest.mark.parametrize("accept", ["application/dicom+json", XML])
def test_text_is_utf_8_whatever_it_was_stored_in(
    client: httpx.Client, term: str, raw: bytes, text: str, accept: str
) -> None:
    """In items of sequences too, which may declare a character set of their own."""
    study = generate_uid()
    plain = make_instance(
        StudyInstanceUID=study,
        SpecificCharacterSet=term.split("\\"),
        RequestAttributesSequence=[{"RequestedProcedureDescription": "~" * len(raw)}],
        StudyDescription="~" * len(raw),
    )
    assert store(client, plain.replace(b"~" * len(raw), raw)).status_code in (200, 202)

    answer = get(client, f"/studies/{study}/metadata", accept)

    if accept == XML:
        assert sections(answer)[0].data.count(text.encode()) == 2
    else:
        (row,) = answer.json()
        assert row["00081030"]["Value"] == [text]
        assert row["00400275"]["Value"][0]["00321060"]["Value"] == [text]
