"""One frame of pixel data, decoded (PS3.5 §8, Annex A.4, Annex G).

Strategy: `decode_frame` finds the codec of the transfer syntax. A codestream's head is compared with the
attributes first; what a codec returns must have the shape that they say. Samples come as the pixel cells of
Explicit VR Little Endian would hold them, several samples of a pixel side by side; lossy JPEG and the color
transformations of JPEG 2000 come as RGB. `stored_values` then cuts the stored bits out of the cells.
"""

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from app.dicom.pixel_description import RGB, YBR_FULL, YBR_ICT, YBR_RCT, PixelDescription
from app.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    is_encapsulated,
    transfer_syntax,
)
from app.errors import Undecodable
from app.pixels.codestream import Codestream, read_jpeg, read_jpeg_2000
from app.pixels.native import native_samples, swap_width, swapped
from app.pixels.run_length import decode_run_lengths

Samples = NDArray[Any]

_COLOR_SAMPLES = 3
_END_OF_IMAGE = b"\xff\xd9"
_NO_TRANSFORM = 0  # of an Adobe segment
_FAILURES = (imagecodecs.DelayedImportError, ValueError, RuntimeError, TypeError, OSError)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """The samples of a frame: rows, columns and, if there are several, samples of a pixel."""

    samples: Samples
    photometric_interpretation: str


def can_decode(syntax_uid: str) -> bool:
    """Tell whether frames of a transfer syntax can be decoded."""
    return not is_encapsulated(syntax_uid) or syntax_uid in _CODECS


def decode_frame(data: bytes, syntax_uid: str, description: PixelDescription) -> DecodedFrame:
    """Return the samples of one frame. Raises Undecodable."""
    codec = _CODECS.get(syntax_uid)
    if codec is None:
        if is_encapsulated(syntax_uid):
            name = transfer_syntax(syntax_uid).name
            raise Undecodable(f"Pixel data of the transfer syntax {name} cannot be decoded.")
        codec = _native
        if syntax_uid == EXPLICIT_VR_BIG_ENDIAN:
            data = swapped(data, swap_width(description))
    try:
        decoded = codec(data, description)
    except _FAILURES as exc:
        raise Undecodable(f"A frame cannot be decoded ({type(exc).__name__}).") from exc
    if decoded.samples.shape != description.shape:
        raise Undecodable("A frame has another size than the attributes say.")
    return decoded


def stored_values(samples: Samples, description: PixelDescription) -> Samples:
    """Return the values within the stored bits of pixel cells (PS3.5 §8.1.1)."""
    bits, stored = description.bits_allocated, description.bits_stored
    if description.is_float or stored == bits:
        return samples
    drop = bits - description.high_bit - 1  # bits above the High Bit
    shifted: Samples = samples.view(f"<u{samples.dtype.itemsize}") << drop
    # of a signed type, the shift to the right fills in the sign
    values: Samples = shifted.view(samples.dtype) >> (bits - stored)
    return values


def _native(data: bytes, description: PixelDescription) -> DecodedFrame:
    samples = native_samples(data, description)
    photometric = description.photometric_interpretation
    return DecodedFrame(samples, YBR_FULL if description.is_half_chroma else photometric)


def _deflated_frame(data: bytes, description: PixelDescription) -> DecodedFrame:
    inflator = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflator.decompress(data, description.decoded_bytes + 1)
    except zlib.error as exc:
        raise Undecodable("A frame cannot be inflated.") from exc
    return _native(inflated, description)


def _run_lengths(data: bytes, description: PixelDescription) -> DecodedFrame:
    samples = decode_run_lengths(data, description)
    return DecodedFrame(samples, description.photometric_interpretation)


def _jpeg(data: bytes, description: PixelDescription) -> DecodedFrame:
    """Decode JPEG, lossy or lossless; the transfer syntax of a file is sometimes the wrong one of the two."""
    head = read_jpeg(data)
    _check(head, description)
    if _END_OF_IMAGE not in data:
        raise Undecodable("A JPEG codestream ends too early.")
    photometric = description.photometric_interpretation
    if head.components != _COLOR_SAMPLES:
        return DecodedFrame(_cells(imagecodecs.jpeg8_decode(data), head, description), photometric)
    space = "RGB"  # also of what must not be transformed, whatever it is
    if not head.is_lossless_jpeg:
        photometric = RGB
        space = "YCBCR" if _is_ycbcr(head, description) else "RGB"
    samples = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace="RGB")
    return DecodedFrame(_cells(samples, head, description), photometric)


def _is_ycbcr(head: Codestream, description: PixelDescription) -> bool:
    """Tell whether lossy JPEG has to be transformed: its own segment goes before the attribute."""
    if head.adobe_transform is not None:
        return head.adobe_transform != _NO_TRANSFORM
    return head.component_ids != b"RGB" and description.photometric_interpretation != RGB


def _jpeg_ls(data: bytes, description: PixelDescription) -> DecodedFrame:
    head = read_jpeg(data)
    _check(head, description)
    samples = _cells(imagecodecs.jpegls_decode(data), head, description)
    return DecodedFrame(samples, description.photometric_interpretation)


def _jpeg_2000(data: bytes, description: PixelDescription) -> DecodedFrame:
    return _wavelet(partial(imagecodecs.jpeg2k_decode, planar=False), data, description)


def _high_throughput(data: bytes, description: PixelDescription) -> DecodedFrame:
    with _whatever_is_passed_over() as errors:
        frame = _wavelet(partial(imagecodecs.htj2k_decode, planar=False), data, description)
    if errors:
        raise Undecodable("A frame cannot be decoded.") from errors[0]
    return frame


@contextmanager
def _whatever_is_passed_over() -> Iterator[list[BaseException]]:
    """Collect errors that a codec cannot raise: what it returns then is partly what was in memory."""
    errors: list[BaseException] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda found: errors.append(found.exc_value or RuntimeError())
    try:
        yield errors
    finally:
        sys.unraisablehook = hook


def _wavelet(
    codec: Callable[[bytes], Samples], data: bytes, description: PixelDescription
) -> DecodedFrame:
    head = read_jpeg_2000(data)
    _check(head, description)
    photometric = description.photometric_interpretation
    if head.components == _COLOR_SAMPLES and (
        head.color_transformed or photometric in (YBR_RCT, YBR_ICT)
    ):
        photometric = RGB  # the codec has undone the transformation
    return DecodedFrame(_cells(codec(data), head, description), photometric)


def _jpeg_xl(data: bytes, description: PixelDescription) -> DecodedFrame:
    samples = imagecodecs.jpegxl_decode(data)
    head = Codestream(
        samples.shape[0],
        samples.shape[1],
        description.samples_per_pixel,
        samples.dtype.itemsize * 8,
    )
    _check(head, description)
    photometric = description.photometric_interpretation
    if description.samples_per_pixel == _COLOR_SAMPLES:
        photometric = RGB
    return DecodedFrame(_cells(samples, head, description), photometric)


def _check(head: Codestream, description: PixelDescription) -> None:
    size = (head.rows, head.columns, head.components)
    if size != (description.rows, description.columns, description.samples_per_pixel):
        raise Undecodable("A codestream has another size or number of components than the image.")
    if head.precision > description.bits_allocated:
        raise Undecodable("A codestream has more bits a sample than Bits Allocated (0028,0100).")


def _cells(samples: Samples, head: Codestream, description: PixelDescription) -> Samples:
    """Return what a codec made as pixel cells: codestreams do not always have the sign that the image has."""
    cells: Samples = samples.astype(description.dtype, copy=False)
    if description.samples_per_pixel == 1 and cells.ndim == 3 and cells.shape[2] == 1:  # noqa: PLR2004
        cells = cells[:, :, 0]
    unused = description.bits_allocated - head.precision
    if head.signed == description.signed or not unused:
        return cells
    if not description.signed:
        masked: Samples = cells & np.array((1 << head.precision) - 1, cells.dtype)
        return masked
    extended: Samples = (cells << unused) >> unused
    return extended


_Codec = Callable[..., DecodedFrame]
_ROOT = "1.2.840.10008.1.2."
_CODECS: Mapping[str, _Codec] = MappingProxyType(
    {
        _ROOT + "1.98": _native,
        _ROOT + "8.1": _deflated_frame,
        _ROOT + "5": _run_lengths,
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (50, 51, 53, 55, 57, 70)), _jpeg),
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (80, 81)), _jpeg_ls),
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (90, 91)), _jpeg_2000),
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (201, 202, 203)), _high_throughput),
        **dict.fromkeys((f"{_ROOT}4.{n}" for n in (110, 111, 112)), _jpeg_xl),
    }
)
