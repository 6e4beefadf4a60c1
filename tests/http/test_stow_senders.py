"""Objects and requests as real senders write them: what can be read safely is kept (PS3.18 §10.5.2)."""

import struct
from io import BytesIO

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from tests.corpus import element, fragments, make_instance
from tests.server import multipart, store, values
from tests.stow_requests import send

pytestmark = pytest.mark.stack

DICOM = "application/dicom"
FAILED, OTHER_FAILURES, STORED = "00081198", "0008119A", "00081199"
WARNING, DETAILS, COMMENT = "00081196", "00741048", "00000902"


def data_set_at(whole: bytes) -> int:
    at = whole.index(b"DICM") + 4
    (length,) = struct.unpack_from("<I", whole, at + 8)
    return at + 12 + int(length)


# ---- objects without their head

HEADLESS = {
    "no preamble": lambda whole: whole[128:],
    "no preamble and no prefix": lambda whole: whole[132:],
    "no file meta": lambda whole: whole[data_set_at(whole) :],
}
SYNTAXES = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", HEADLESS)
def test_an_object_without_its_head_is_given_one(
    client: httpx.Client, name: str, syntax: str
) -> None:
    """Stored with a warning; what is fetched is a Part 10 object, whole to the byte behind its head."""
    whole = make_instance(transfer_syntax=syntax)
    headless = HEADLESS[name](whole)

    answer = store(client, headless)

    assert answer.status_code == 202
    (item,) = values(answer.json(), STORED)
    assert values(item, WARNING) == [0xB000]
    url = values(item, "00081190")[0]
    got = client.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"}).content
    assert got[128:132] == b"DICM"
    assert got[data_set_at(got) :] == whole[data_set_at(whole) :]
    assert dcmread(BytesIO(got)).file_meta.TransferSyntaxUID == syntax
    assert store(client, headless).status_code == 202


def test_a_large_object_without_its_head_is_given_one(client: httpx.Client) -> None:
    """Larger than what stays in memory."""
    whole = make_instance(PixelData=bytes(3 << 20), Rows=1024, Columns=1536)

    answer = store(client, whole[data_set_at(whole) :])

    assert answer.status_code == 202
    (item,) = values(answer.json(), STORED)
    got = client.get(values(item, "00081190")[0], headers={"Accept": "application/dicom"}).content
    assert got.endswith(whole[data_set_at(whole) :])


def test_a_compressed_object_without_file_meta_is_refused(client: httpx.Client) -> None:
    """Nothing else says how its pixel data are compressed."""
    whole = make_instance(
        transfer_syntax="1.2.840.10008.1.2.4.50", PixelData=fragments(b"\xff\xd8\xff\xd9")
    )

    answer = store(client, whole[data_set_at(whole) :])

    assert answer.status_code == 409


@pytest.mark.parametrize(
    "data", [b"", b"DICM", b"\x08\x00", b"\x08\x00\x05\x00CS\x02\x00 ", bytes(200)]
)
def test_what_only_begins_like_an_object_is_refused(client: httpx.Client, data: bytes) -> None:
    answer = store(client, data)

    assert answer.status_code == 409
    assert len(values(answer.json(), OTHER_FAILURES)) == 1


def test_a_data_set_without_identifiers_is_refused(client: httpx.Client) -> None:
    answer = store(client, element(0x00080005, b"CS", b"ISO_IR 100"))

    assert answer.status_code == 409


# ---- objects with a head that is not quite right


@pytest.mark.parametrize(
    "meta",
    [
        {"MediaStorageSOPInstanceUID": None},
        {"FileMetaInformationVersion": None, "ImplementationClassUID": None},
    ],
)
def test_file_meta_may_lack_what_the_data_set_has(
    client: httpx.Client, meta: dict[str, None]
) -> None:
    assert store(client, make_instance(meta=meta)).status_code in (200, 202)


def test_a_preamble_may_hold_anything_and_comes_back(client: httpx.Client) -> None:
    whole = b"II*\0" + b"x" * 124 + make_instance()[128:]

    answer = store(client, whole)

    assert answer.status_code == 200
    (item,) = values(answer.json(), STORED)
    assert client.get(values(item, "00081190")[0], headers={"Accept": DICOM}).content == whole


def test_the_group_length_of_file_meta_may_be_missing(client: httpx.Client) -> None:
    whole = make_instance()

    assert store(client, whole[:132] + whole[144:]).status_code == 200


def test_identifiers_may_be_padded_in_any_way(client: httpx.Client) -> None:
    study = generate_uid()[:45]
    for padding in ("\0\0\0\0", "  "):
        whole = make_instance(StudyInstanceUID=study + padding)
        assert store(client, whole, path=f"/studies/{study}").status_code == 200


# ---- requests

TYPES = [
    "multipart/related; type=application/dicom; boundary=b-17",
    'multipart/related; boundary="b-17"',
    'Multipart/Related;boundary=b-17;type="APPLICATION/DICOM"',
    'multipart/related; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"; boundary=b-17',
    'multipart/related; charset=utf-8; type="application/dicom"; start="<x>"; boundary=b-17',
]
PARTS = [
    {},
    {"Content-Type": "application/dicom"},
    {"content-type": "Application/DICOM; transfer-syntax=1.2.840.10008.1.2.1; charset=binary"},
    {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"},
]


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("part", PARTS, ids=str)
def test_types_may_be_said_in_any_way_or_left_out(
    client: httpx.Client, content_type: str, part: dict[str, str]
) -> None:
    headers = {"Content-Type": content_type}

    assert send(client, DICOM, (part, make_instance()), headers=headers).status_code == 200


@pytest.mark.parametrize("around", [(b"", b""), (b"\r\n", b""), (b"preamble\r\n", b"\r\nepilogue")])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_lines_may_end_in_lf_and_text_stand_around(
    client: httpx.Client, line_end: bytes, around: tuple[bytes, bytes]
) -> None:
    whole = make_instance()
    lines = [b"--b-17", b"Content-Type: application/dicom", b"", whole, b"--b-17--", b""]
    body = around[0] + line_end.join(lines) + around[1]

    answer = client.post("/studies", content=body, headers={"Content-Type": TYPES[0]})

    assert answer.status_code == 200
    (item,) = values(answer.json(), STORED)
    assert client.get(values(item, "00081190")[0], headers={"Accept": DICOM}).content == whole


def test_a_part_of_another_kind_is_refused_by_itself(client: httpx.Client) -> None:
    other = {"Content-Type": "text/html"}, b"<html>"

    answer = send(client, DICOM, ({}, make_instance()), other)

    assert answer.status_code == 202
    assert len(values(answer.json(), OTHER_FAILURES)) == 1
    assert len(values(answer.json(), STORED)) == 1


def test_a_body_in_chunks_needs_no_length(client: httpx.Client) -> None:
    headers, body = multipart(make_instance())

    answer = client.post(
        "/studies",
        content=(body[at : at + 100] for at in range(0, len(body), 100)),
        headers=headers,
    )

    assert answer.status_code == 200
