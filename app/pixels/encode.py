"""One frame of pixel data, encoded without loss (PS3.5 §8.2).

Strategy: the transfer syntaxes that allow both are filled without loss, too: nobody who asks for an object may
get less than is stored. A codestream says how many bits its samples have: Bits Stored, if all fit into them,
else all that are allocated, so that every pixel cell comes back as it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
from numpy.typing import NDArray

from app.dicom.pixel_description import PALETTE_COLOR, RGB, YBR_RCT, PixelDescription
from app.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    transfer_syntax,
)
from app.errors import Unencodable
from app.pixels.run_length import encode_run_lengths

Samples = NDArray[Any]

_COLOR_SAMPLES = 3
_BY_PIXEL = 2  # JPEG-LS: the samples of a pixel side by side
_FIRST_PREDICTOR = 1  # of JPEG Lossless: the sample to the left
_SIZ_DEPTH_AT = 42  # of a codestream that begins with SOC and SIZ: Ssiz of the first component
_SIGNED = 0x80


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A frame in a transfer syntax."""

    data: bytes
    photometric_interpretation: str
    planar_configuration: int = 0


def can_encode(syntax_uid: str) -> bool:
    """Tell whether there is a codec that makes frames of a transfer syntax."""
    return syntax_uid in _CODECS


def encode_frame(
    samples: Samples, photometric: str, syntax_uid: str, description: PixelDescription
) -> EncodedFrame:
    """Return samples in a transfer syntax. Raises Unencodable."""
    codec = _CODECS.get(syntax_uid)
    name = transfer_syntax(syntax_uid).name
    if codec is None:
        raise Unencodable(f"Pixel data cannot be encoded in the transfer syntax {name}.")
    if codec is not _native and (description.is_float or description.bits_allocated == 1):
        raise Unencodable(f"The transfer syntax {name} holds no such pixel data.")
    try:
        return codec(np.ascontiguousarray(samples), photometric, description)
    except (ValueError, RuntimeError, TypeError) as exc:
        raise Unencodable(f"Pixel data cannot be encoded in the transfer syntax {name}.") from exc


def _precision(samples: Samples, description: PixelDescription) -> int:
    """Return how many bits hold every sample."""
    stored = description.bits_stored
    if not description.signed:
        fits = samples.max() < 1 << stored
    else:
        half = 1 << (stored - 1)
        fits = samples.max() < half and samples.min() >= -half
    return stored if fits else description.bits_allocated


def _unsigned(samples: Samples, precision: int) -> Samples:
    """Return samples as codestreams hold them that know no sign."""
    cells = samples.view(f"u{samples.dtype.itemsize}")
    masked: Samples = cells & np.array((1 << precision) - 1, cells.dtype)
    return masked.astype(np.uint8 if precision <= 8 else np.uint16)  # noqa: PLR2004 - bits


def _native(samples: Samples, photometric: str, description: PixelDescription) -> EncodedFrame:
    """Return pixel cells; planes stay planes, as the attributes say."""
    if description.bits_allocated == 1:
        return EncodedFrame(np.packbits(samples, bitorder="little").tobytes(), photometric)
    planar = description.planar_configuration if description.samples_per_pixel > 1 else 0
    ordered = samples.transpose(2, 0, 1) if planar else samples
    cells = ordered.astype(description.dtype, copy=False)
    return EncodedFrame(cells.tobytes(), photometric, planar)


def _run_lengths(samples: Samples, photometric: str, _: PixelDescription) -> EncodedFrame:
    return EncodedFrame(encode_run_lengths(samples), photometric, planar_configuration=1)


def _jpeg_lossless(
    samples: Samples, photometric: str, description: PixelDescription
) -> EncodedFrame:
    _check_bits(description)
    precision = max(_precision(samples, description), 2)  # ISO/IEC 10918-1 table B.2
    # a color space of its own keeps the codec from transforming
    space = "RGB" if description.samples_per_pixel == _COLOR_SAMPLES else "GRAYSCALE"
    data = imagecodecs.jpeg8_encode(
        _unsigned(samples, precision),
        lossless=True,
        predictor=_FIRST_PREDICTOR,
        bitspersample=precision,
        colorspace=space,
        outcolorspace=space,
    )
    return EncodedFrame(bytes(data), photometric)


def _jpeg_ls(samples: Samples, photometric: str, description: PixelDescription) -> EncodedFrame:
    _check_bits(description)
    precision = max(_precision(samples, description), 2)  # ISO/IEC 14495-1 §C.2.2
    try:
        data: bytes | bytearray = jpeg_ls.CharLS.encode_buffer(
            _unsigned(samples, precision).tobytes(),
            description.rows,
            description.columns,
            description.samples_per_pixel,
            precision,
            interleave_mode=_BY_PIXEL if description.samples_per_pixel > 1 else 0,
        )
    except RuntimeError:  # it has no room for a frame that does not become smaller
        data = imagecodecs.jpegls_encode(_unsigned(samples, description.bits_allocated))
    return EncodedFrame(bytes(data), photometric)


def _jpeg_2000(samples: Samples, photometric: str, description: PixelDescription) -> EncodedFrame:
    _check_bits(description)
    is_rgb = photometric == RGB and description.samples_per_pixel == _COLOR_SAMPLES
    data = imagecodecs.jpeg2k_encode(
        samples,
        level=0,
        codecformat="j2k",
        reversible=True,
        mct=is_rgb,
        bitspersample=_precision(samples, description),
    )
    return EncodedFrame(bytes(data), YBR_RCT if is_rgb else photometric)


def _high_throughput(
    samples: Samples, photometric: str, description: PixelDescription
) -> EncodedFrame:
    _check_bits(description)
    is_rgb = photometric == RGB and description.samples_per_pixel == _COLOR_SAMPLES
    precision, allocated = _precision(samples, description), description.bits_allocated
    if not description.signed:
        # The codec takes all bits for used. The level of unsigned samples is shifted by half their range: they
        # are given as if the range were the whole one, and the codestream then says the true one.
        samples = samples + np.array((1 << allocated - 1) - (1 << precision - 1), samples.dtype)
    data = bytearray(imagecodecs.htj2k_encode(samples, reversible=True, rgb=is_rgb, tlm=True))
    depth = (_SIGNED if description.signed else 0) | (precision - 1)
    for component in range(description.samples_per_pixel):
        data[_SIZ_DEPTH_AT + 3 * component] = depth
    return EncodedFrame(bytes(data), YBR_RCT if is_rgb else photometric)


def _jpeg_xl(samples: Samples, photometric: str, description: PixelDescription) -> EncodedFrame:
    _check_bits(description)
    if description.signed or photometric not in ("MONOCHROME1", "MONOCHROME2", RGB, PALETTE_COLOR):
        raise Unencodable("JPEG XL holds unsigned grayscale and RGB only.")
    data = imagecodecs.jpegxl_encode(samples, lossless=True, usecontainer=False)
    return EncodedFrame(bytes(data), photometric)


def _check_bits(description: PixelDescription) -> None:
    if description.bits_allocated not in (8, 16):
        raise Unencodable("The transfer syntax holds samples of at most 16 bits.")


_ROOT = "1.2.840.10008.1.2."
_CODECS: Mapping[str, Callable[[Samples, str, PixelDescription], EncodedFrame]] = MappingProxyType(
    {
        EXPLICIT_VR_LITTLE_ENDIAN: _native,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: _native,
        _ROOT + "5": _run_lengths,
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (57, 70)), _jpeg_lossless),
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (80, 81)), _jpeg_ls),
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (90, 91)), _jpeg_2000),
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (201, 202, 203)), _high_throughput),
        _ROOT + "4.110": _jpeg_xl,
    }
)
ENCODABLE = tuple(_CODECS)
