"""Values as DICOM JSON has them (PS3.5 §6.2, PS3.18 §F.2)."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.character_set import DEFAULT_REPERTOIRE
from app.dicom.values import BIG_ENDIAN, LITTLE_ENDIAN, NotOfItsVR, in_little_endian


def converted(vr: str, raw: bytes) -> tuple[list[Any], bool]:
    values, complaint = LITTLE_ENDIAN[vr](raw, DEFAULT_REPERTOIRE)
    return values, complaint is None


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("CS", b"ORIGINAL\\PRIMARY ", ["ORIGINAL", "PRIMARY"]),
        ("CS", b" A \\\\ B", ["A", None, "B"]),
        ("LO", b"  ", []),
        ("LO", b"\\", [None, None]),
        ("SH", b" padded \0", ["padded"]),
        ("ST", b"  a\\b  ", ["  a\\b"]),
        ("LT", b"line\r\nline\0", ["line\r\nline"]),
        ("UT", b" a", [" a"]),
        ("UC", b" a\\b ", [" a", "b"]),
        ("UR", b"http://x/?a\\b ", ["http://x/?a\\b"]),
        ("UI", b"1.2\\1.3\0", ["1.2", "1.3"]),
        ("DA", b"20240229", ["20240229"]),
        ("DA", b"1993.08.22", ["1993.08.22"]),
        ("TM", b"10", ["10"]),
        ("TM", b"101530.123456", ["101530.123456"]),
        ("DT", b"20240229101530+0100", ["20240229101530+0100"]),
        ("IS", b"-12 \\+3", [-12, 3]),
        ("IS", b"1.0", [1]),
        ("DS", b"1.50\\.5\\-1e-3\\5 ", [1.5, 0.5, -0.001, 5.0]),
        ("DS", b"\\1", [None, 1.0]),
        ("DS", b"9007199254740993", ["9007199254740993"]),
        ("US", struct.pack("<2H", 1, 65535), [1, 65535]),
        ("SS", struct.pack("<h", -1), [-1]),
        ("AT", b"\x10\x00\x20\x00\xe0\x7f\x10\x00", ["00100020", "7FE00010"]),
        ("SV", struct.pack("<2q", -(2**53), 2**53 + 1), [-(2**53), str(2**53 + 1)]),
        ("UV", struct.pack("<Q", 2**64 - 1), [str(2**64 - 1)]),
        ("FD", struct.pack("<4d", 0.1, math.nan, math.inf, -math.inf), [0.1, "NaN", "inf", "-inf"]),
        ("PN", b"A^B", [{"Alphabetic": "A^B"}]),
        ("PN", b"A=B=C", [{"Alphabetic": "A", "Ideographic": "B", "Phonetic": "C"}]),
        ("PN", b"==C\\\\A ", [{"Phonetic": "C"}, None, {"Alphabetic": "A"}]),
        ("PN", b"==", []),
        ("US", b"", []),
    ],
)
def test_value_is_converted(vr: str, raw: bytes, values: list[Any]) -> None:
    assert converted(vr, raw) == (values, True)


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("DA", b"20240230", ["20240230"]),
        ("DA", b"2024-02-29", ["2024-02-29"]),
        ("TM", b"2500", ["2500"]),
        ("DT", b"soon", ["soon"]),
        ("UI", b"1.2.x", ["1.2.x"]),
        ("IS", b"1\\two\\3", [1, "two", 3]),
        ("IS", b"1.5", ["1.5"]),
        ("IS", b"1_000", ["1_000"]),
        ("IS", b"inf", ["inf"]),
        ("DS", b"nan\\1", ["nan", 1.0]),
        ("DS", b"1e999", ["1e999"]),
        ("DS", b"1,5", ["1,5"]),
        ("CS", b"\xe9", ["é"]),
        ("LO", b"a\0b\0", ["a\ufffdb"]),
        ("PN", b"A=B=C=D", [{"Alphabetic": "A", "Ideographic": "B", "Phonetic": "C"}]),
    ],
)
def test_wrong_value_is_kept_with_a_complaint(vr: str, raw: bytes, values: list[Any]) -> None:
    assert converted(vr, raw) == (values, False)


@pytest.mark.parametrize(("vr", "size"), [("US", 3), ("UL", 2), ("FD", 4), ("AT", 6), ("SV", 9)])
def test_number_of_wrong_length_is_not_of_its_vr(vr: str, size: int) -> None:
    with pytest.raises(NotOfItsVR):
        converted(vr, bytes(size))


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from(["SL", "IS"]))
def test_integer_survives(number: int, vr: str) -> None:
    raw = struct.pack("<i", number) if vr == "SL" else str(number).encode()

    assert converted(vr, raw) == ([number], True)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_decimal_survives(number: float) -> None:
    values, good = converted("DS", repr(number).encode())

    assert good
    assert float(values[0]) == number


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_byte_order_is_respected(numbers: list[int]) -> None:
    raw = struct.pack(f">{len(numbers)}I", *numbers)

    assert BIG_ENDIAN["UL"](raw, DEFAULT_REPERTOIRE) == (numbers, None)
    assert in_little_endian("OL", raw) == struct.pack(f"<{len(numbers)}I", *numbers)


@given(st.binary(), st.sampled_from(sorted(LITTLE_ENDIAN)))
def test_any_bytes_are_converted_or_not_of_their_vr(raw: bytes, vr: str) -> None:
    try:
        values, _ = converted(vr, raw)
    except NotOfItsVR:
        return
    assert isinstance(values, list)


def test_single_bytes_and_odd_lengths_are_not_swapped() -> None:
    assert in_little_endian("OB", b"abc") == b"abc"
    assert in_little_endian("OW", b"abc") == b"abc"
    assert in_little_endian("OD", b"abcdefgh") == b"hgfedcba"
