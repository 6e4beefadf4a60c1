"""Rendered resources of what is no image: reports, documents, video (PS3.18 §8.7.4, §10.4.1.1.3)."""

from typing import Any

import httpx
import pytest
from pydicom.uid import (
    MPEG2MPML,
    MPEG4HP41,
    BasicTextSRStorage,
    EncapsulatedCDAStorage,
    EncapsulatedPDFStorage,
    EncapsulatedSTLStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    VideoEndoscopicImageStorage,
    generate_uid,
)

from tests.corpus import SCRIPT, fragments, make_instance
from tests.server import store

pytestmark = pytest.mark.stack

NO_PIXELS: dict[str, Any] = dict.fromkeys(
    (
        "PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
        "SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation",
    )
)  # fmt: skip
PDF = b"%PDF-1.7\n" + b"0123456789" * 600 + b"\n%%EOF"  # long enough to be a bulk value, odd


def put(client: httpx.Client, **attributes: Any) -> str:
    """Store an instance; return its path."""
    uids = {
        name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }
    answer = store(client, make_instance(**{**uids, **attributes}))
    assert answer.status_code in (200, 202), answer.text
    study, series, instance = uids.values()
    return f"/studies/{study}/series/{series}/instances/{instance}"


def document(client: httpx.Client, data: bytes, **attributes: Any) -> str:
    return put(client, **NO_PIXELS, EncapsulatedDocument=data, **attributes)


def report(client: httpx.Client, text: str = "No finding.") -> str:
    code = [{"CodeValue": "1", "CodingSchemeDesignator": "99X", "CodeMeaning": "Findings"}]
    item = {
        "RelationshipType": "CONTAINS", "ValueType": "TEXT", "ConceptNameCodeSequence": code,
        "TextValue": text,
    }  # fmt: skip
    return put(
        client, **NO_PIXELS, SOPClassUID=BasicTextSRStorage, Modality="SR", ValueType="CONTAINER",
        ConceptNameCodeSequence=code, ContentSequence=[item],
    )  # fmt: skip


def test_a_report_is_a_page(client: httpx.Client) -> None:
    path = report(client)

    answer = client.get(f"{path}/rendered")

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "No finding." in answer.text
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    again = client.get(f"{path}/rendered", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_a_report_can_be_plain_text_in_another_character_set(client: httpx.Client) -> None:
    path = report(client)

    answer = client.get(f"{path}/rendered?charset=iso-8859-1", headers={"Accept": "text/plain"})

    assert answer.headers["Content-Type"] == "text/plain; charset=iso8859-1"
    assert "Findings: No finding." in answer.content.decode("latin-1")


def test_a_script_in_a_report_is_text(client: httpx.Client) -> None:
    answer = client.get(f"{report(client, SCRIPT)}/rendered")

    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("accept", ["image/jpeg", "application/pdf", "application/dicom"])
def test_a_report_is_nothing_else(client: httpx.Client, accept: str) -> None:
    path = report(client)

    answer = client.get(f"{path}/rendered", headers={"Accept": accept})

    assert (answer.status_code, "text/html" in answer.json()["detail"]) == (406, True)
    for suffix in ("thumbnail", "frames/1/rendered", "frames/1/thumbnail"):
        refused = client.get(f"{path}/{suffix}")
        assert (refused.status_code, "report" in refused.json()["detail"]) == (406, True)


@pytest.mark.parametrize(
    ("sop_class", "named", "media_type"),
    [
        (EncapsulatedPDFStorage, "application/pdf", "application/pdf"),
        (EncapsulatedPDFStorage, None, "application/pdf"),
        (EncapsulatedCDAStorage, "text/XML", "text/xml"),
        (EncapsulatedSTLStorage, "model/stl", "model/stl"),
        (EncapsulatedSTLStorage, None, "model/stl"),
        ("1.2.3.4", None, "application/octet-stream"),
        ("1.2.3.4", "text/html, bad", "application/octet-stream"),
    ],
)
def test_a_document_is_what_was_encapsulated(
    client: httpx.Client, sop_class: str, named: str | None, media_type: str
) -> None:
    more = {"SOPClassUID": sop_class, "MIMETypeOfEncapsulatedDocument": named}
    path = document(client, PDF, EncapsulatedDocumentLength=len(PDF), **more)

    answer = client.get(f"{path}/rendered")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.content == PDF
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert client.get(f"{path}/rendered", headers={"Accept": "image/png"}).status_code == 406


def test_a_short_document_is_whole_and_one_of_unsaid_length_keeps_its_padding(
    client: httpx.Client,
) -> None:
    short = document(
        client, b"%PDF-1", EncapsulatedDocumentLength=5, SOPClassUID=EncapsulatedPDFStorage
    )
    unsaid = document(client, PDF, SOPClassUID=EncapsulatedPDFStorage)

    assert client.get(f"{short}/rendered").content == b"%PDF-"
    assert client.get(f"{unsaid}/rendered").content == PDF + b"\0" * (len(PDF) % 2)


def test_parts_of_a_document_can_be_asked_for(client: httpx.Client) -> None:
    path = document(client, PDF, SOPClassUID=EncapsulatedPDFStorage)

    answer = client.get(f"{path}/rendered", headers={"Range": "bytes=0-4"})

    assert (answer.status_code, answer.content) == (206, b"%PDF-")


@pytest.mark.parametrize(
    ("syntax", "media_type"), [(MPEG2MPML, "video/mpeg"), (MPEG4HP41, "video/mp4")]
)
def test_a_video_is_its_stream(client: httpx.Client, syntax: str, media_type: str) -> None:
    pieces = [bytes(range(256)) * 20, b"the end!"]
    path = put(
        client, SOPClassUID=VideoEndoscopicImageStorage, Modality="ES", transfer_syntax=syntax,
        NumberOfFrames="50", SamplesPerPixel=3, PhotometricInterpretation="YBR_PARTIAL_420",
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=fragments(*pieces),
    )  # fmt: skip

    answer = client.get(f"{path}/rendered")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.content == b"".join(pieces)
    part = client.get(f"{path}/rendered", headers={"Range": "bytes=-4", "Accept": "video/*"})
    assert (part.status_code, part.content) == (206, b"end!")
    for suffix in ("rendered?accept=image/jpeg", "thumbnail", "frames/1/rendered"):
        assert client.get(f"{path}/{suffix}").status_code == 406


def test_an_instance_without_any_form_says_what_it_is(client: httpx.Client) -> None:
    path = put(
        client, **NO_PIXELS, SOPClassUID=GrayscaleSoftcopyPresentationStateStorage, Modality="PR"
    )

    for suffix in ("rendered", "thumbnail", "frames/1/rendered"):
        answer = client.get(f"{path}/{suffix}")
        assert answer.status_code == 406
        assert "Presentation State" in answer.json()["detail"]


def test_a_study_or_series_without_images_is_its_report(client: httpx.Client) -> None:
    series = report(client).partition("/instances")[0]

    for path in (series, series.partition("/series")[0]):
        assert "No finding." in client.get(f"{path}/rendered").text
        for suffix in ("thumbnail", "rendered?accept=image/jpeg"):
            assert client.get(f"{path}/{suffix}").status_code == 406


def test_a_study_of_which_nothing_can_be_shown_is_not_acceptable(client: httpx.Client) -> None:
    state = put(
        client, **NO_PIXELS, SOPClassUID=GrayscaleSoftcopyPresentationStateStorage, Modality="PR"
    )

    answer = client.get(f"{state.partition('/series')[0]}/rendered")

    assert (answer.status_code, "rendered form" in answer.json()["detail"]) == (406, True)
