"""RLE Lossless: each byte of the samples is a plane, compressed on its own (PS3.5 Annex G)."""

from struct import Struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from app.dicom.pixel_description import PixelDescription
from app.errors import Undecodable

_HEADER = Struct("<16I")  # the number of segments, and where each begins
_MOST_SEGMENTS = 15


def decode_run_lengths(data: bytes, description: PixelDescription) -> NDArray[Any]:
    """Return the samples of a frame. Raises Undecodable."""
    width = description.bits_allocated // 8
    planes = description.samples_per_pixel * width
    size = description.rows * description.columns
    if len(data) < _HEADER.size:
        raise Undecodable("A frame ends within its RLE header.")
    number, *starts = _HEADER.unpack_from(data)
    if number != planes or number > _MOST_SEGMENTS:
        raise Undecodable("A frame has another number of RLE segments than its samples have bytes.")
    ends = [*starts[1:number], len(data)]
    cells = np.empty((description.samples_per_pixel, width, size), np.uint8)
    for index, (start, end) in enumerate(zip(starts, ends, strict=False)):
        if not _HEADER.size <= start <= end <= len(data):
            raise Undecodable("A frame has an RLE segment that is not within it.")
        plane = imagecodecs.packbits_decode(data[start:end])
        if len(plane) < size:
            raise Undecodable("A frame has an RLE segment that is too short.")
        # the most significant byte comes first, in memory last
        cells[index // width, width - 1 - index % width] = np.frombuffer(plane, np.uint8, size)
    samples = np.ascontiguousarray(cells.transpose(2, 0, 1))
    return samples.view(description.dtype).reshape(description.shape)


def encode_run_lengths(samples: NDArray[Any]) -> bytes:
    """Return a frame of RLE Lossless."""
    rows, columns = samples.shape[:2]
    width = samples.dtype.itemsize
    planes = np.ascontiguousarray(samples).view(np.uint8).reshape(rows, columns, -1, width)
    segments = []
    for sample in range(planes.shape[2]):
        for byte in reversed(range(width)):
            segment = imagecodecs.packbits_encode(planes[:, :, sample, byte].copy())
            segments.append(segment + b"\0" * (len(segment) % 2))
    starts = np.cumsum([_HEADER.size, *map(len, segments)])[:-1]
    header = _HEADER.pack(len(segments), *starts, *[0] * (_MOST_SEGMENTS - len(segments)))
    return header + b"".join(segments)
