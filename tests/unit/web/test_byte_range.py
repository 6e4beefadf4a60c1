"""The Range header, by RFC 9110 §14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.instance import ByteRange
from app.web.byte_range import MOST_RANGES, content_range, cut, parse_ranges

DATA = bytes(range(100))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", [(0, 10)]),
        ("Bytes = 5 - 5", [(5, 1)]),
        ("bytes=90-", [(90, 10)]),
        ("bytes=90-1000", [(90, 10)]),
        ("bytes=-10", [(90, 10)]),
        ("bytes=-1000", [(0, 100)]),
        ("bytes=0-0,-1", [(0, 1), (99, 1)]),
        ("bytes=0-1, , 4-5", [(0, 2), (4, 2)]),
        ("bytes=100-", []),
        ("bytes=-0", []),
        ("bytes=0-0,200-", [(0, 1)]),
    ],
)
def test_a_range_is_what_the_standard_says(header: str, expected: list[tuple[int, int]]) -> None:
    assert parse_ranges(header, 100) == [ByteRange(*each) for each in expected]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=9-5",
        "bytes=a-b",
        "items=0-5",
        "0-5",
        "bytes=0-5;6-7",
        "bytes=0-99,0-99",  # more than the whole
        f"bytes={'9' * 40}-",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(MOST_RANGES + 1)),
    ],
)
def test_what_is_no_range_or_too_much_is_ignored(header: str) -> None:
    assert parse_ranges(header, 100) is None


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 50))
def test_every_range_lies_within_the_value(header: str, length: int) -> None:
    for part in parse_ranges(header, length) or []:
        assert 0 <= part.offset < part.offset + part.length <= length


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 10)), max_size=6),
    st.integers(0, 70),
    st.integers(0, 70),
)
def test_a_cut_of_stretches_is_the_cut_of_what_they_make_up(
    places: list[tuple[int, int]], first: int, length: int
) -> None:
    stretches = tuple(ByteRange(*place) for place in places)
    value = b"".join(DATA[part.offset : part.offset + part.length] for part in stretches)

    found = cut(stretches, ByteRange(first, length))

    got = b"".join(
        DATA[part.offset : part.offset + part.length]
        for part in found
        if isinstance(part, ByteRange)
    )
    assert got == value[first : first + length]


def test_the_content_range_counts_its_last_byte() -> None:
    assert content_range(ByteRange(0, 10), 100) == "bytes 0-9/100"
