"""Native pixel data, whose cells lie one after the other (PS3.5 §8.1)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.dicom.pixel_description import PixelDescription
from app.errors import Undecodable

_WORD_BITS = 16


def swap_width(description: PixelDescription) -> int:
    """Return how many bytes of big-endian pixel data are in reverse; 1 is none (PS3.5 §7.3).

    Cells of 8 bits or less are in reverse where words are: in OW.
    """
    bits = max(description.bits_allocated, _WORD_BITS if description.vr == "OW" else 8)
    return bits // 8


def native_bytes(description: PixelDescription) -> int:
    """Return the size of one native frame."""
    if description.bits_allocated == 1:
        return -(-description.samples // 8)
    size = description.decoded_bytes
    return size * 2 // 3 if description.is_half_chroma else size


def native_samples(data: bytes, description: PixelDescription) -> NDArray[Any]:
    """Return the samples of a native frame, those of a pixel side by side. Raises Undecodable."""
    full, size = description.decoded_bytes, native_bytes(description)
    half_chroma = description.is_half_chroma and len(data) < full  # some are, but only by name
    if len(data) < (size if half_chroma or description.bits_allocated == 1 else full):
        raise Undecodable("The pixel data of a frame are shorter than its size.")
    if description.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return bits[: description.samples].reshape(description.shape)
    if half_chroma:
        return _full_chroma(data[:size], description)
    cells = np.frombuffer(data, description.dtype, description.samples)
    if description.samples_per_pixel > 1 and description.planar_configuration == 1:
        planes = cells.reshape(description.samples_per_pixel, description.rows, description.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return cells.reshape(description.shape)


def swapped(data: bytes, width: int) -> bytes:
    """Return data with the bytes of each unit in reverse; what is left over at the end stays."""
    if width == 1:
        return data
    whole = len(data) - len(data) % width
    return np.frombuffer(data[:whole], f"u{width}").byteswap().tobytes() + data[whole:]


def _full_chroma(data: bytes, description: PixelDescription) -> NDArray[Any]:
    """Return Y, CB and CR of each pixel, of which two had the same CB and CR (PS3.3 §C.7.6.3.1.2)."""
    if description.columns % 2 or description.bits_allocated != 8:  # noqa: PLR2004
        raise Undecodable("Pixel data with half the chrominance have an odd number of columns.")
    pairs = np.frombuffer(data, np.uint8).reshape(-1, 4)
    samples = np.empty((pairs.shape[0], 2, 3), np.uint8)
    samples[:, :, 0] = pairs[:, :2]
    samples[:, :, 1:] = pairs[:, None, 2:]
    return samples.reshape(description.shape)
