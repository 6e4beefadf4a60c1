"""Offset tables and delimiters around frames (PS3.5 §A.4)."""

from struct import unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames, parse_basic_offsets
from pydicom.filebase import DicomBytesIO

from app.dicom.encapsulation import encapsulated_element, fragment, native_element
from app.errors import Unencodable


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=20))
def test_another_parser_finds_each_frame_by_the_offset_table(frames: list[bytes]) -> None:
    around = encapsulated_element([len(frame) for frame in frames])
    whole = around.before + b"".join(map(fragment, frames)) + around.after
    value = whole[12:-8]

    assert whole[:12] == b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    stream = DicomBytesIO(value)
    stream.is_little_endian = True
    offsets = parse_basic_offsets(stream)
    assert len(offsets) == len(frames)
    found = list(generate_frames(value, number_of_frames=len(frames)))
    assert found == [frame + b"\0" * (len(frame) % 2) for frame in frames]
    assert around.changes == {}


def test_offsets_beyond_32_bits_go_into_the_extended_table() -> None:
    """PS3.3 §C.7.6.3.1.8: then the Basic Offset Table is empty."""
    lengths = [3_000_000_001, 2_000_000_000, 10]

    around = encapsulated_element(lengths)

    assert around.before.endswith(b"\xfe\xff\x00\xe0\0\0\0\0")
    offsets, padded = around.changes[0x7FE00001], around.changes[0x7FE00002]
    assert offsets is not None
    assert padded is not None
    assert unpack("<3Q", offsets[12:]) == (0, 3_000_000_010, 5_000_000_018)
    assert unpack("<3Q", padded[12:]) == (3_000_000_002, 2_000_000_000, 10)


def test_native_pixel_data_are_padded_and_of_bounded_length() -> None:
    around = native_element(0x7FE00010, "OB", 27)

    assert (around.before[-4:], around.after) == ((28).to_bytes(4, "little"), b"\0")
    with pytest.raises(Unencodable):
        native_element(0x7FE00010, "OW", 2**32)
