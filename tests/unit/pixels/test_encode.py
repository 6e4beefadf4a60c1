"""What is encoded is decoded to the same, here and by other decoders."""

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dicom.pixel_description import PixelDescription
from app.errors import Unencodable
from app.pixels.codestream import read_jpeg, read_jpeg_2000
from app.pixels.decode import decode_frame
from app.pixels.encode import ENCODABLE, encode_frame

ROOT = "1.2.840.10008.1.2."
RLE, LOSSLESS_JPEG, JPEG_LS = ROOT + "5", ROOT + "4.70", ROOT + "4.80"
JPEG_2000, HTJ2K, HTJ2K_RPCL, JPEG_XL = (
    ROOT + "4.90",
    ROOT + "4.201",
    ROOT + "4.202",
    ROOT + "4.110",
)
OTHERS = {
    LOSSLESS_JPEG: imagecodecs.jpegsof3_decode,
    HTJ2K: imagecodecs.jpeg2k_decode,  # OpenJPEG; ours is OpenJPH
    HTJ2K_RPCL: imagecodecs.jpeg2k_decode,
}


def described(
    rows: int, columns: int, *, samples: int = 1, allocated: int = 16, stored: int = 16,
    signed: bool = False,
) -> PixelDescription:  # fmt: skip
    photometric = "RGB" if samples == 3 else "MONOCHROME2"
    return PixelDescription(
        rows, columns, samples, photometric, 0, allocated, stored, stored - 1, signed
    )


def noise(description: PixelDescription, bits: int, seed: int = 0) -> np.ndarray:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if description.signed else (0, 1 << bits)
    random = np.random.default_rng(seed)
    return random.integers(low, high, description.shape).astype(description.dtype)


@settings(max_examples=150, deadline=None)
@given(
    syntax=st.sampled_from(ENCODABLE),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    samples=st.sampled_from([1, 3]),
    stored=st.integers(2, 16),
    signed=st.booleans(),
    beyond=st.booleans(),
    seed=st.integers(0, 100),
)
def test_every_sample_comes_back(
    syntax: str, size: tuple[int, int], samples: int, stored: int, signed: bool, beyond: bool,
    seed: int,
) -> None:  # fmt: skip
    """Also the bits of a cell that are none of the stored ones."""
    allocated = 8 if stored <= 8 else 16
    description = described(
        *size, samples=samples, allocated=allocated, stored=stored, signed=signed
    )
    given_samples = noise(description, allocated if beyond else stored, seed)
    if syntax == JPEG_XL and signed:
        with pytest.raises(Unencodable):
            encode_frame(given_samples, "MONOCHROME2", syntax, description)
        return

    photometric = description.photometric_interpretation
    frame = encode_frame(given_samples, photometric, syntax, description)
    as_sent = replace(description, photometric_interpretation=frame.photometric_interpretation)
    decoded = decode_frame(frame.data, syntax, as_sent)

    np.testing.assert_array_equal(decoded.samples, given_samples)
    assert decoded.photometric_interpretation == photometric


@pytest.mark.parametrize("syntax", OTHERS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("allocated", "stored"), [(8, 8), (16, 12), (16, 16), (16, 10)])
@pytest.mark.parametrize("samples", [1, 3])
def test_another_decoder_reads_the_same(
    syntax: str, signed: bool, allocated: int, stored: int, samples: int
) -> None:
    description = described(
        33, 47, samples=samples, allocated=allocated, stored=stored, signed=signed
    )
    given_samples = noise(description, stored)
    frame = encode_frame(given_samples, description.photometric_interpretation, syntax, description)

    others = OTHERS[syntax](frame.data)

    mask = (1 << stored) - 1
    np.testing.assert_array_equal(others.astype(int) & mask, given_samples.astype(int) & mask)


@pytest.mark.parametrize("syntax", [LOSSLESS_JPEG, JPEG_LS, JPEG_2000, HTJ2K])
@pytest.mark.parametrize(("bits", "said"), [(12, 12), (16, 16)])
def test_a_codestream_says_how_many_bits_its_samples_have(
    syntax: str, bits: int, said: int
) -> None:
    """Bits Stored, or all, where samples are larger than those hold."""
    description = described(64, 64, stored=12)
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype("<u2") + (1 << bits - 1)
    frame = encode_frame(smooth, "MONOCHROME2", syntax, description)

    read = read_jpeg if syntax in (LOSSLESS_JPEG, JPEG_LS) else read_jpeg_2000
    assert read(frame.data).precision == said


def test_rgb_becomes_rct_in_jpeg_2000_and_stays_elsewhere() -> None:
    description = described(8, 8, samples=3, allocated=8, stored=8)
    given_samples = noise(description, 8)
    became = {
        syntax: encode_frame(given_samples, "RGB", syntax, description).photometric_interpretation
        for syntax in (RLE, LOSSLESS_JPEG, JPEG_LS, JPEG_2000, HTJ2K, JPEG_XL)
    }

    assert became == {
        RLE: "RGB", LOSSLESS_JPEG: "RGB", JPEG_LS: "RGB", JPEG_XL: "RGB",
        JPEG_2000: "YBR_RCT", HTJ2K: "YBR_RCT",
    }  # fmt: skip
    ybr = encode_frame(given_samples, "YBR_FULL", JPEG_2000, description)
    assert ybr.photometric_interpretation == "YBR_FULL"
    assert not read_jpeg_2000(ybr.data).color_transformed


def test_htj2k_is_in_the_order_that_its_transfer_syntax_asks_for() -> None:
    """PS3.5 §A.4.11: RPCL, with pointers to its tile parts."""
    description = described(64, 64)
    data = encode_frame(noise(description, 16), "MONOCHROME2", HTJ2K_RPCL, description).data

    assert data[data.index(b"\xff\x52") + 5] == 2  # SGcod: RPCL
    assert b"\xff\x55" in data[: data.index(b"\xff\x90")]  # TLM


@pytest.mark.parametrize("syntax", [LOSSLESS_JPEG, JPEG_LS, JPEG_2000, HTJ2K, JPEG_XL])
def test_what_a_transfer_syntax_does_not_hold_is_refused(syntax: str) -> None:
    deep = described(4, 4, allocated=32, stored=32)
    one_bit = described(4, 4, allocated=1, stored=1)

    for description in (deep, one_bit):
        with pytest.raises(Unencodable):
            encode_frame(np.zeros((4, 4), description.dtype), "MONOCHROME2", syntax, description)


def test_a_transfer_syntax_without_a_codec_is_refused() -> None:
    description = described(4, 4)
    with pytest.raises(Unencodable, match=r"H\.264"):
        encode_frame(noise(description, 16), "MONOCHROME2", ROOT + "4.102", description)
