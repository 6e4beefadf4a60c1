"""Native pixel cells (PS3.5 §8.1) and RLE (Annex G), against what they were made of."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.decoders.rle import _rle_decode_frame

from app.dicom.pixel_description import PixelDescription
from app.errors import Undecodable
from app.pixels.decode import decode_frame, stored_values
from app.pixels.native import native_bytes, native_samples, swap_width, swapped
from app.pixels.run_length import decode_run_lengths, encode_run_lengths

BIG_ENDIAN = "1.2.840.10008.1.2.2"
GRAY = PixelDescription(4, 6, 1, "MONOCHROME2", 0, 16, 16, 15, False)
COLOR = replace(GRAY, samples_per_pixel=3, photometric_interpretation="RGB")
BYTES = replace(GRAY, bits_allocated=8, bits_stored=8, high_bit=7)


def noise(description: PixelDescription, seed: int = 1) -> np.ndarray:
    data = np.random.default_rng(seed).bytes(description.decoded_bytes)
    return np.frombuffer(data, description.dtype).reshape(description.shape)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("color", [False, True])
def test_cells_come_back_in_either_byte_order(bits: int, signed: bool, color: bool) -> None:
    description = replace(
        COLOR if color else GRAY, bits_allocated=bits, bits_stored=bits, high_bit=bits - 1,
        signed=signed,
    )  # fmt: skip
    samples = noise(description)
    data = samples.tobytes()

    np.testing.assert_array_equal(native_samples(data, description), samples)
    big = swapped(data, swap_width(description))
    np.testing.assert_array_equal(decode_frame(big, BIG_ENDIAN, description).samples, samples)


def test_bytes_are_in_words_only_where_the_vr_says_so() -> None:
    """PS3.5 §7.3: OW is, OB is not."""
    assert swap_width(replace(BYTES, vr="OW")) == 2
    assert swap_width(replace(BYTES, vr="OB")) == 1
    assert swap_width(replace(GRAY, bits_allocated=32, vr="OW")) == 4


def test_planes_are_put_side_by_side() -> None:
    samples = noise(COLOR)
    planes = np.moveaxis(samples, -1, 0).tobytes()

    np.testing.assert_array_equal(
        native_samples(planes, replace(COLOR, planar_configuration=1)), samples
    )


def test_two_pixels_share_their_chrominance() -> None:
    """PS3.3 §C.7.6.3.1.2: Y1 Y2 CB CR."""
    description = PixelDescription(1, 4, 3, "YBR_FULL_422", 0, 8, 8, 7, False)

    frame = decode_frame(bytes([1, 2, 10, 20, 3, 4, 30, 40]), "1.2.840.10008.1.2.1", description)

    assert frame.photometric_interpretation == "YBR_FULL"
    assert frame.samples.tolist() == [[[1, 10, 20], [2, 10, 20], [3, 30, 40], [4, 30, 40]]]
    assert native_bytes(description) == 8
    whole = native_samples(bytes(range(12)), description)  # half the chrominance only by name
    assert whole.tobytes() == bytes(range(12))


def test_bits_are_unpacked_from_the_least_significant_one() -> None:
    """PS3.5 §8.1.1."""
    description = PixelDescription(1, 10, 1, "MONOCHROME2", 0, 1, 1, 0, False)

    samples = native_samples(b"\x05\x02", description)

    assert samples.tolist() == [[1, 0, 1, 0, 0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize("description", [GRAY, COLOR, BYTES])
def test_too_few_bytes_are_refused(description: PixelDescription) -> None:
    with pytest.raises(Undecodable, match="shorter"):
        native_samples(bytes(description.decoded_bytes - 1), description)


@pytest.mark.parametrize(
    ("stored", "high", "signed", "cell", "value"),
    [
        (12, 11, False, 0xF123, 0x123),
        (12, 15, False, 0x123F, 0x123),
        (12, 11, True, 0x0FFF, -1),
        (12, 11, True, 0x07FF, 2047),
        (10, 12, True, 0xF00F, -0x1FF),
        (16, 15, True, 0xFFFF, -1),
    ],
)
def test_stored_bits_are_cut_out_of_their_cells(
    stored: int, high: int, signed: bool, cell: int, value: int
) -> None:
    description = replace(GRAY, bits_stored=stored, high_bit=high, signed=signed)
    cells = np.array([[cell]], "<u2").view(description.dtype)

    assert stored_values(cells, description).tolist() == [[value]]


@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 300),
    color=st.booleans(),
    bits=st.sampled_from([8, 16, 32]),
    levels=st.sampled_from([2, 101]),
    seed=st.integers(0, 10),
)
def test_run_lengths_come_back_and_another_decoder_agrees(
    rows: int, columns: int, color: bool, bits: int, levels: int, seed: int
) -> None:
    description = replace(
        COLOR if color else GRAY, rows=rows, columns=columns, bits_allocated=bits,
        bits_stored=bits, high_bit=bits - 1,
    )  # fmt: skip
    samples = noise(description, seed) % levels

    frame = encode_run_lengths(samples.astype(description.dtype))

    np.testing.assert_array_equal(decode_run_lengths(frame, description), samples)
    assert len(frame) % 2 == 0
    otherwise = _rle_decode_frame(frame, rows, columns, description.samples_per_pixel, bits)
    planes = np.frombuffer(otherwise, description.dtype).reshape(-1, rows, columns)
    np.testing.assert_array_equal(planes, np.atleast_3d(samples).transpose(2, 0, 1))
