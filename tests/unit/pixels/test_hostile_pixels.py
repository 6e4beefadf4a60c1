"""Frames that are not what they say end in Undecodable, and in nothing else."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dicom.pixel_description import PixelDescription, describe_pixels
from app.errors import Undecodable
from app.limits import MIB, Limits
from app.pixels.decode import can_decode, decode_frame
from app.pixels.encode import ENCODABLE, encode_frame
from app.pixels.pool import WorkerPool

ROOT = "1.2.840.10008.1.2."
SYNTAXES = [uid for uid in ENCODABLE if not uid.endswith((".1", ".1.99"))]
DESCRIPTION = PixelDescription(24, 20, 1, "MONOCHROME2", 0, 16, 16, 15, False)
SAMPLES = np.arange(24 * 20, dtype="<u2").reshape(24, 20) * 97
FRAMES = {
    syntax: encode_frame(SAMPLES, "MONOCHROME2", syntax, DESCRIPTION).data for syntax in SYNTAXES
}
ATTRIBUTES = {
    "00280002": {"vr": "US", "Value": [1]},
    "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
    "00280010": {"vr": "US", "Value": [24]},
    "00280011": {"vr": "US", "Value": [20]},
    "00280100": {"vr": "US", "Value": [16]},
    "00280101": {"vr": "US", "Value": [16]},
    "00280102": {"vr": "US", "Value": [15]},
    "00280103": {"vr": "US", "Value": [0]},
}


def decoded_or_refused(data: bytes, syntax: str, description: PixelDescription) -> None:
    try:
        samples = decode_frame(data, syntax, description).samples
    except Undecodable:
        return
    assert samples.shape == description.shape


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_frame_that_is_cut_off_ends_well(syntax: str) -> None:
    whole = FRAMES[syntax]
    for length in {0, 1, 2, 3, 10, 50, *range(0, len(whole), 37)}:
        decoded_or_refused(whole[:length], syntax, DESCRIPTION)
    with pytest.raises(Undecodable):
        decode_frame(b"", syntax, DESCRIPTION)


@settings(max_examples=200, deadline=None)
@given(
    syntax=st.sampled_from(SYNTAXES),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_frame_with_other_bytes_ends_well(syntax: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(FRAMES[syntax])
    for position, byte in changes:
        data[position % len(data)] = byte
    decoded_or_refused(bytes(data), syntax, DESCRIPTION)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_attributes_that_lie_about_the_size_are_found_out(syntax: str) -> None:
    for lie in (
        replace(DESCRIPTION, rows=2400),
        replace(DESCRIPTION, columns=21),
        replace(DESCRIPTION, samples_per_pixel=3, photometric_interpretation="RGB"),
        replace(DESCRIPTION, bits_allocated=32, bits_stored=32, high_bit=31)
        if syntax == ROOT + "5"
        else replace(DESCRIPTION, bits_allocated=8, bits_stored=8, high_bit=7),
    ):
        with pytest.raises(Undecodable):
            decode_frame(FRAMES[syntax], syntax, lie)


def test_a_deflated_frame_that_unfolds_to_much_more_is_not_unfolded() -> None:
    deflator = zlib.compressobj(9, wbits=-15)
    bomb = deflator.compress(bytes(200 * MIB)) + deflator.flush()

    frame = decode_frame(bomb, ROOT + "8.1", DESCRIPTION)

    assert frame.samples.shape == (24, 20)  # what is too much is not even looked at


@pytest.mark.parametrize("frame_bytes", [959, 960])
def test_a_frame_above_the_limit_is_refused_before_it_is_decoded(frame_bytes: int) -> None:
    if frame_bytes == 960:
        assert describe_pixels(ATTRIBUTES, frame_bytes=frame_bytes) == DESCRIPTION
        return
    with pytest.raises(Undecodable, match="frame_bytes"):
        describe_pixels(ATTRIBUTES, frame_bytes=frame_bytes)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("00280010", 0),
        ("00280011", None),
        ("00280100", 12),
        ("00280101", 17),
        ("00280102", 16),
        ("00280002", 2),
        ("00280010", "24"),
    ],
)
def test_attributes_that_make_no_image_are_refused(tag: str, value: object) -> None:
    changed = {**ATTRIBUTES, tag: {"vr": "US", "Value": [value]} if value is not None else {}}
    with pytest.raises(Undecodable, match=r"00(28|00)"):
        describe_pixels(changed, frame_bytes=MIB)


async def test_a_codestream_that_needs_too_much_memory_leaves_its_worker_alive() -> None:
    """JPEG XL says its size only to its decoder."""
    import imagecodecs  # noqa: PLC0415

    bomb = imagecodecs.jpegxl_encode(np.zeros((20_000, 20_000), np.uint16), lossless=True, effort=1)
    assert len(bomb) < MIB
    pool = WorkerPool(1, Limits(pixel_memory_bytes=400 * MIB, pixel_seconds=30))
    try:
        with pytest.raises(Undecodable):
            await pool.run(decode_frame, bytes(bomb), ROOT + "4.110", DESCRIPTION)
        frame = await pool.run(decode_frame, FRAMES[ROOT + "5"], ROOT + "5", DESCRIPTION)
        np.testing.assert_array_equal(frame.samples, SAMPLES)
    finally:
        await pool.close()


def test_what_has_no_codec_is_said_not_to_be_decodable() -> None:
    video = ROOT + "4.102"
    assert not can_decode(video)
    with pytest.raises(Undecodable, match=r"H\.264"):
        decode_frame(b"", video, DESCRIPTION)
