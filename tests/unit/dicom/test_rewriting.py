"""A data set in Explicit VR Little Endian says the same as before (PS3.5 §7)."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from app.dicom.element_header import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from app.dicom.file_meta import read_file_meta
from app.dicom.part10 import read_instance
from app.dicom.rewriting import Rewriter, element
from app.errors import CoregisterError
from app.limits import Limits
from app.pixels.transcode import rewrite_surroundings
from tests.corpus import Writer, fragments, item, make_instance, private_elements
from tests.corpus import element as written

LIMITS = Limits(inline_bytes=2**30, inline_text_bytes=2**30)
ROOT = Path(pydicom.__file__).parent / "data"
FRAME_BYTES = 2**20


def files() -> list[Path]:
    found = []
    for path in sorted([*ROOT.glob("test_files/**/*"), *ROOT.glob("charset_files/*.dcm")]):
        if path.is_file() and path.stat().st_size < 2**20:
            try:
                record = read_instance(path.read_bytes(), LIMITS)
            except CoregisterError:
                continue
            if not record.deflated:
                found.append(path)
    return found


FILES = files()


def rewritten(data: bytes, changes: dict[int, bytes | None] | None = None) -> bytes:
    """Return an object in Explicit VR Little Endian; of its pixel data, nothing."""
    record = read_instance(data, LIMITS)
    place = record.bulk.get("7FE00010")
    start, end = len(data), len(data)
    if place is not None:
        encapsulated = record.pixels is not None and record.pixels.encapsulated
        start, end = place.offset, place.offset + place.length + 8 * encapsulated
    around = rewrite_surroundings(
        data[:start], data[end:], record.transfer_syntax_uid, ExplicitVRLittleEndian,
        changes or {}, FRAME_BYTES,
    )  # fmt: skip
    return around.file_meta + around.before + around.after


def attributes(data: bytes) -> dict[str, Any]:
    found = dict(read_instance(data, LIMITS).attributes)
    for tag in ("7FE00010", "FFFCFFFC"):
        found.pop(tag, None)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_attribute_of_pydicoms_files_is_kept(path: Path) -> None:
    data = path.read_bytes()
    before, after = attributes(data), attributes(rewritten(data))
    if read_instance(data, LIMITS).transfer_syntax_uid == ImplicitVRLittleEndian:
        # what Implicit VR leaves to the dictionary may be written as UN, whose bytes are the same
        after = {tag: after[tag] for tag in before}
    assert after == before


def test_there_are_files() -> None:
    assert len(FILES) > 100


def test_explicit_little_endian_is_copied_byte_for_byte() -> None:
    data = private_elements()
    at = read_file_meta(data).data_set_at
    pixels = read_instance(data, LIMITS).bulk["7FE00010"].offset

    out = rewritten(data)

    assert out[read_file_meta(out).data_set_at :] == data[at : pixels - 12]


@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_keep_their_kind_of_length(*, undefined: bool) -> None:
    inside = Writer(explicit=False).data_set({"ReferencedSOPClassUID": "1.2.3"})
    expected = Writer().data_set({"ReferencedSOPClassUID": "1.2.3"})
    end = b"\xfe\xff\xdd\xe0\0\0\0\0" if undefined else b""
    items, made = (
        item(part, 0xFFFFFFFF if undefined else None)
        + (b"\xfe\xff\x0d\xe0\0\0\0\0" if undefined else b"")
        + end
        for part in (inside, expected)
    )
    length = b"\xff\xff\xff\xff" if undefined else len(items).to_bytes(4, "little")
    made_length = b"\xff\xff\xff\xff" if undefined else len(made).to_bytes(4, "little")

    out = Rewriter(b"\x08\0\x10\x11" + length + items, None).data_set(0, IMPLICIT_LITTLE, {})

    assert out == b"\x08\0\x10\x11SQ\0\0" + made_length + made


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_vr_has_the_same_values(syntax: str) -> None:
    """Bytes of numbers are put in order, by the unit of their VR."""
    values: dict[str, Any] = {
        "SmallestImagePixelValue": 258,
        "EventElapsedTimes": ["1.5"],
        "RecommendedDisplayFrameRateInFloat": 2.5,
        "RealWorldValueSlope": 0.1,
        "SimpleFrameList": 66051,
        "ReferencedSamplePositions": 16909060,
    }
    data = make_instance(transfer_syntax=syntax, **values)
    before = attributes(data)

    assert attributes(rewritten(data)) == before
    assert before["00280106"]["Value"] == [258]


def test_group_lengths_and_padding_are_left_out() -> None:
    padded = written(0x00080000, b"UL", (9999).to_bytes(4, "little"))
    data = make_instance(PixelData=None, Rows=None, Columns=None) + bytes(64)
    at = read_file_meta(data).data_set_at

    out = rewritten(data[:at] + padded + data[at:])

    assert out[read_file_meta(out).data_set_at :] == data[at:-64]


def test_changes_replace_add_and_leave_out_elements() -> None:
    data = make_instance(PatientComments="to go")
    changes = {
        0x00280004: element(0x00280004, "CS", b"RGB"),
        0x00104000: None,
        0x00100021: element(0x00100021, "LO", b"new"),
    }

    before, after = attributes(data), attributes(rewritten(data, changes))

    assert after["00280004"]["Value"] == ["RGB"]
    assert after["00100021"]["Value"] == ["new"]
    assert "00104000" not in after
    assert list(after) == sorted(after)
    kept = before.keys() - {"00280004", "00104000"}
    assert {tag: after[tag] for tag in kept} == {tag: before[tag] for tag in kept}


def test_a_value_too_long_for_the_header_of_its_vr_becomes_un() -> None:
    """PS3.5 §6.2.2: Implicit VR can hold it, Explicit VR can not."""
    data = make_instance(transfer_syntax=ImplicitVRLittleEndian, ContourData="1" * 70_000)

    found = read_instance(rewritten(data), LIMITS)

    assert found.transfer_syntax_uid == ExplicitVRLittleEndian
    assert b"UN\0\0" in rewritten(data)


def icon(pixels: bytes, **more: Any) -> dict[str, Any]:
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 2,
        "Columns": 2,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": pixels,
        **more,
    }


def test_an_encapsulated_icon_becomes_native() -> None:
    """PS3.5 §A.4: pixel data of an item may only be encapsulated where those of the image are."""
    header = b"\1\0\0\0\x40\0\0\0" + bytes(56)
    frame = header + b"\x03\1\2\3\4\0"  # RLE: four bytes as they are
    frame += bytes(len(frame) % 2)
    data = make_instance(
        transfer_syntax=RLELossless,
        PixelData=fragments(frame),
        IconImageSequence=[icon(fragments(frame))],
    )

    (inside,) = attributes(rewritten(data))["00880200"]["Value"]

    assert read_instance(rewritten(data), LIMITS).transfer_syntax_uid == ExplicitVRLittleEndian
    assert rewritten(data).count(b"\xe0\x7f\x10\x00OB\0\0\4\0\0\0\1\2\3\4") == 1
    assert inside["00280010"]["Value"] == [2]


def test_an_icon_that_cannot_be_decoded_refuses_the_object() -> None:
    data = make_instance(
        transfer_syntax=JPEGBaseline8Bit,
        PixelData=fragments(b"\xff\xd8\xff\xd9"),
        IconImageSequence=[icon(fragments(b"\xff\xd8\xff\xd9"))],
    )
    with pytest.raises(CoregisterError):
        rewritten(data)


def test_file_meta_keep_everything_but_the_transfer_syntax() -> None:
    data = make_instance(
        transfer_syntax=ImplicitVRLittleEndian, meta={"SourceApplicationEntityTitle": "SOMEBODY"}
    )
    data = b"II*\0" + data[4:]  # a TIFF as well

    out = rewritten(data)
    meta = pydicom.dcmread(BytesIO(out), stop_before_pixels=True).file_meta

    assert out[:128] == bytes(128)
    assert meta.SourceApplicationEntityTitle == "SOMEBODY"
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.FileMetaInformationGroupLength == read_file_meta(out).data_set_at - 144


def test_un_of_undefined_length_keeps_its_bytes() -> None:
    """PS3.5 §6.2.2: what it holds is in Implicit VR, whatever is around it."""
    inner = Writer(explicit=False).data_set({"PatientComments": "inside"})
    body = item(inner) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    raw = b"\x11\0\x01\x10UN\0\0\xff\xff\xff\xff" + body

    out = Rewriter(raw, None).data_set(0, EXPLICIT_LITTLE, {})

    assert out == raw
