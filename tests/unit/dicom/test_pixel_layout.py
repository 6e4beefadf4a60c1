"""Where frames lie (PS3.5 §8, Annex A.4)."""

import struct
from typing import Any

import pytest
from pydicom.uid import MPEG4HP41, JPEGBaseline8Bit

from app.dicom.instance import InstanceRecord
from app.dicom.part10 import read_instance
from app.limits import Limits
from tests.corpus import (
    SEQUENCE_END,
    SIDE,
    UNDEFINED,
    element,
    fragments,
    item,
    make_instance,
    with_elements,
)

LIMITS = Limits()
SOI = b"\xff\xd8\xff\xe0"
A, B, C, D = (SOI + letter * 4 for letter in (b"a", b"b", b"c", b"d"))
REST = b"no start"


def encapsulated(*values: bytes, table: bytes = b"", **overrides: Any) -> bytes:
    value = fragments(*values, table=table)
    return make_instance(transfer_syntax=JPEGBaseline8Bit, PixelData=value, **overrides)


def frames_of(data: bytes, record: InstanceRecord | None = None) -> list[list[bytes]] | None:
    record = record or read_instance(data, LIMITS)
    if record.pixels is None:
        return None
    return [[data[p.offset : p.offset + p.length] for p in f] for f in record.pixels.frames]


def found(data: bytes, tag: str = "7FE00010") -> bool:
    return tag in {finding.tag for finding in read_instance(data, LIMITS).findings}


def test_native_frames_follow_each_other() -> None:
    pixels = bytes(range(6)) * 4
    data = make_instance(
        Rows=2, Columns=3, BitsAllocated=8, NumberOfFrames="4", PixelData=pixels, SamplesPerPixel=1
    )
    record = read_instance(data, LIMITS)

    assert record.pixels is not None
    assert not record.pixels.encapsulated
    assert frames_of(data) == [[bytes(range(6))]] * 4


@pytest.mark.parametrize(
    ("overrides", "size"),
    [
        ({"SamplesPerPixel": 3, "BitsAllocated": 8}, SIDE * SIDE * 3),
        ({"SamplesPerPixel": 3, "BitsAllocated": 8, "PhotometricInterpretation": "YBR_FULL_422"},
         SIDE * SIDE * 2),
        ({"BitsAllocated": 1}, SIDE * SIDE // 8),
        ({"BitsAllocated": 32}, SIDE * SIDE * 4),
        ({"SamplesPerPixel": None}, SIDE * SIDE * 2),
    ],
)  # fmt: skip
def test_size_of_native_frames_follows_from_the_attributes(
    overrides: dict[str, Any], size: int
) -> None:
    data = make_instance(NumberOfFrames="2", PixelData=bytes(size * 2), **overrides)
    record = read_instance(data, LIMITS)

    assert record.pixels is not None
    assert [part.length for (part,) in record.pixels.frames] == [size, size]


def test_single_bit_frames_that_begin_within_a_byte_have_no_layout() -> None:
    shape: dict[str, Any] = {
        "Rows": 3,
        "Columns": 3,
        "BitsAllocated": 1,
        "PixelData": b"\xff\xff\xff\0",
    }

    assert frames_of(make_instance(NumberOfFrames="2", **shape)) is None
    assert found(make_instance(NumberOfFrames="2", **shape))
    assert frames_of(make_instance(**shape)) == [[b"\xff\xff"]]


def test_short_native_pixel_data_leave_the_last_frames_out() -> None:
    data = make_instance(NumberOfFrames="3", PixelData=bytes(SIDE * SIDE * 2 * 2 + 10))

    assert frames_of(data) == [[bytes(SIDE * SIDE * 2)]] * 2
    assert found(data)


@pytest.mark.parametrize("missing", ["Rows", "Columns", "BitsAllocated"])
def test_image_without_size_has_no_layout(missing: str) -> None:
    overrides: dict[str, Any] = {missing: None}
    data = make_instance(**overrides)

    assert frames_of(data) is None
    assert found(data)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1000000000"])
def test_impossible_number_of_frames_has_no_layout(number: str) -> None:
    data = make_instance(NumberOfFrames=number)

    assert frames_of(data) is None
    assert found(data, "00280008")


def test_float_pixel_data_have_frames() -> None:
    whole = make_instance(PixelData=None, BitsAllocated=32, Rows=2, Columns=2)
    data = whole + element(0x7FE00008, b"OF", bytes(range(16)))

    assert frames_of(data) == [[bytes(range(16))]]


def test_one_fragment_a_frame_needs_no_table() -> None:
    assert frames_of(encapsulated(A, REST, NumberOfFrames="2")) == [[A], [REST]]


def test_single_frame_has_all_fragments() -> None:
    data = encapsulated(A, REST, REST)
    record = read_instance(data, LIMITS)

    assert record.pixels is not None
    assert record.pixels.encapsulated
    assert frames_of(data) == [[A, REST, REST]]


def test_basic_offset_table_groups_fragments() -> None:
    table = struct.pack("<2I", 0, 2 * (8 + 8))

    assert frames_of(encapsulated(A, REST, REST, table=table, NumberOfFrames="2")) == [
        [A, REST],
        [REST],
    ]


def test_extended_offset_table_groups_fragments() -> None:
    """PS3.3 §C.7.6.3.1.8: offsets of 64 bits, as an attribute of its own; inline or not."""
    offsets = element(0x7FE00001, b"OV", struct.pack("<2Q", 0, 8 + 8))
    data = with_elements(
        offsets,
        transfer_syntax=JPEGBaseline8Bit,
        NumberOfFrames="2",
        PixelData=fragments(REST, REST, REST),
    )

    assert frames_of(data) == [[REST], [REST, REST]]
    outside = read_instance(data, Limits(inline_bytes=8))
    assert frames_of(data, outside) == [[REST], [REST, REST]]


@pytest.mark.parametrize("second", [8, 17, 4096])
def test_offset_that_is_no_fragment_does_not_count(second: int) -> None:
    table = struct.pack("<2I", 0, second)

    assert frames_of(encapsulated(A, REST, B, table=table, NumberOfFrames="2")) == [[A, REST], [B]]


def test_codestreams_tell_frames_apart_at_last() -> None:
    assert frames_of(encapsulated(A, REST, B, C, REST, NumberOfFrames="3")) == [
        [A, REST],
        [B],
        [C, REST],
    ]


def test_undecidable_fragments_have_no_layout() -> None:
    data = encapsulated(REST, REST, REST, NumberOfFrames="2")

    assert frames_of(data) is None
    assert found(data)
    assert frames_of(encapsulated()) is None


def test_video_is_one_stream() -> None:
    data = make_instance(
        transfer_syntax=MPEG4HP41, NumberOfFrames="100", PixelData=fragments(A, REST)
    )

    assert frames_of(data) == [[A, REST]]


def test_fragments_of_an_icon_are_not_the_frames_of_the_image() -> None:
    icon = item(element(0x7FE00010, b"OB", fragments(B) + SEQUENCE_END, UNDEFINED))
    data = encapsulated(A)
    at = data.index(b"\x28\x00\x02\x00US")
    data = data[:at] + element(0x00880200, b"SQ", icon) + data[at:]
    record = read_instance(data, LIMITS)

    assert frames_of(data) == [[A]]
    assert set(record.bulk) == {"00880200.1.7FE00010", "7FE00010"}


def test_chrominance_that_is_whole_in_spite_of_its_name_is_found() -> None:
    """Twice as much of it as YBR_FULL_422 has: the length of the value tells."""
    color: dict[str, Any] = {
        "SamplesPerPixel": 3,
        "BitsAllocated": 8,
        "PhotometricInterpretation": "YBR_FULL_422",
    }
    whole = make_instance(PixelData=bytes(SIDE * SIDE * 3 * 2), NumberOfFrames="2", **color)
    half = make_instance(PixelData=bytes(SIDE * SIDE * 2 * 2), NumberOfFrames="2", **color)

    for data, size in ((whole, SIDE * SIDE * 3), (half, SIDE * SIDE * 2)):
        frames = frames_of(data)
        assert frames is not None
        assert [len(frame) for (frame,) in frames] == [size, size]
