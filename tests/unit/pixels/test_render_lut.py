"""Look-up tables, by hand and against pydicom (PS3.3 §C.11.1.1, §C.7.9.2)."""

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRLittleEndian

from app.errors import NotAcceptable
from app.pixels.render_lut import segmented_table_of, table_of


def test_values_outside_take_the_first_or_the_last_entry() -> None:
    table = table_of([3, 5, 16], [10, 20, 30])

    assert table.of(np.array([-9, 4, 5, 6, 7, 8, 999])).tolist() == [10, 10, 10, 20, 30, 30, 30]


def test_a_count_of_zero_is_65536() -> None:
    table = table_of([0, 0, 16], np.arange(65536, dtype="<u2").tobytes())

    assert table.of(np.array([0, 65535])).tolist() == [0, 65535]


@pytest.mark.parametrize(
    ("data", "little"),
    [(b"\x01\x00\x02\x00\x03\x00", True), (b"\x00\x01\x00\x02\x00\x03", False), ([1, 2, 3], True)],
)
def test_words_are_read_in_their_byte_order(data: bytes | Sequence[int], *, little: bool) -> None:
    assert table_of([3, 0, 16], data, little_endian=little).entries.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "little"),
    [(b"\x01\x02\x03\x04", True), (b"\x02\x01\x04\x03", False), ([0x0201, 0x0403], True)],
)
def test_of_8_bit_entries_two_share_a_word(data: bytes | Sequence[int], *, little: bool) -> None:
    assert table_of([4, 0, 8], data, little_endian=little).entries.tolist() == [1, 2, 3, 4]


def test_8_bit_entries_may_also_have_a_word_each() -> None:
    assert table_of([2, 0, 8], b"\x01\x00\x02\x00").entries.tolist() == [1, 2]


def test_a_first_value_below_zero_counts_whatever_vr_it_was_written_with() -> None:
    table = table_of([3, 65534, 8], [7, 8, 9], signed=True)

    assert table.first == -2
    assert table.of(np.array([-3, -2, -1, 0])).tolist() == [7, 7, 8, 9]


@pytest.mark.parametrize("descriptor", [[1, 2], [4, 0, 0], [4, 0, 17]])
def test_a_descriptor_that_is_none_is_refused(descriptor: list[int]) -> None:
    with pytest.raises(NotAcceptable):
        table_of(descriptor, [1, 2, 3, 4])


def test_a_table_without_entries_is_refused() -> None:
    with pytest.raises(NotAcceptable):
        table_of([4, 0, 16], b"")


def test_segments_are_expanded_as_computed_by_hand() -> None:
    """Three entries, a line to 40 in four steps, and the two segments again at the end."""
    words = [0, 3, 1, 2, 20, 1, 4, 40, 2, 2, 0, 0]
    data = struct.pack(f"<{len(words)}H", *words)

    table = segmented_table_of([14, 0, 16], data)

    once = [1, 2, 20, 25, 30, 35, 40]
    assert table.entries.tolist() == once * 2


def test_segments_of_8_bits_are_expanded() -> None:
    assert segmented_table_of([4, 0, 8], bytes([0, 1, 9, 1, 3, 12])).entries.tolist() == [
        9,
        10,
        11,
        12,
    ]


@pytest.mark.parametrize("words", [[1, 4, 40], [7, 1, 1], [], [0, 0], [2, 1, 0, 0]])
def test_segments_that_are_none_are_refused(words: list[int]) -> None:
    with pytest.raises(NotAcceptable):
        segmented_table_of([4, 0, 16], struct.pack(f"<{len(words)}H", *words))


def test_segments_never_make_more_entries_than_are_described() -> None:
    words = [0, 1, 5, *[1, 65535, 9] * 50]

    assert len(segmented_table_of([100, 0, 16], words).entries) == 100


@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(0, 65535), min_size=1, max_size=5).map(lambda v: [0, len(v), *v]),
            st.tuples(st.integers(1, 20), st.integers(0, 65535)).map(lambda t: [1, *t]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_segments_make_the_palette_that_pydicom_makes(segments: list[list[int]]) -> None:
    words = [0, 1, 7, *(word for segment in segments for word in segment)]
    count = 1 + sum(segment[1] for segment in segments)
    data = struct.pack(f"<{len(words)}H", *words)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for color in ("Red", "Green", "Blue"):
        setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [count, 0, 16])
        setattr(dataset, f"Segmented{color}PaletteColorLookupTableData", data)

    expected = apply_color_lut(np.arange(count, dtype=np.uint16), dataset)[:, 0]
    found = segmented_table_of([count, 0, 16], data).entries

    assert (np.abs(found.astype(int) - expected) <= 1).all()  # it rounds halves another way
    assert len(found) == len(expected)
