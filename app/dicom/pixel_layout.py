"""Where each frame lies in the pixel data (PS3.5 §8, Annex A.4, PS3.3 §C.7.6.3).

Strategy: native frames follow from the image's size. For encapsulated pixel data, ways to tell which
fragments belong to which frame are tried in turn: the Extended Offset Table, the Basic Offset Table, one
fragment a frame, one frame in all, and at last where codestreams begin. What cannot be decided is None
together with a finding, never a guess.
"""

from binascii import a2b_base64
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

from app.dicom.element_header import SHORT
from app.dicom.instance import ByteRange, PixelLayout
from app.dicom.pixel_value import PixelValue
from app.dicom.reading import Reading

Frames = tuple[tuple[ByteRange, ...], ...]

_SAMPLES_PER_PIXEL, _PHOTOMETRIC_INTERPRETATION = "00280002", "00280004"
_NUMBER_OF_FRAMES, _ROWS, _COLUMNS, _BITS_ALLOCATED = "00280008", "00280010", "00280011", "00280100"
_EXTENDED_OFFSET_TABLE = "7FE00001"
_HALF_CHROMA = ("YBR_FULL_422", "YBR_PARTIAL_422")
_CODESTREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # JPEG and JPEG-LS SOI, JPEG 2000 SOC


def layout_of(
    pixels: PixelValue, attributes: Mapping[str, Any], reading: Reading, *, is_video: bool
) -> PixelLayout | None:
    """Return the layout of pixel data, or None with a finding where frames cannot be told apart."""
    number = _number(attributes, _NUMBER_OF_FRAMES, default=1)
    if number is None or not 1 <= number <= reading.limits.frames:
        reading.find(_NUMBER_OF_FRAMES, "It is no number of frames that can be served one by one.")
        return None
    if pixels.fragments is None:
        frames = _native_frames(pixels, attributes, reading, number)
        return None if frames is None else PixelLayout(False, frames)
    if is_video:  # one stream, in which no frame stands alone
        return PixelLayout(True, (pixels.fragments[1:],))
    encapsulated = _encapsulated_frames(pixels.fragments, attributes, reading, number)
    if encapsulated is None:
        reading.find(pixels.tag, "It cannot be told which fragments make up which frame.")
        return None
    return PixelLayout(True, encapsulated)


def _number(attributes: Mapping[str, Any], tag: str, default: int | None = None) -> int | None:
    values = attributes.get(tag, {}).get("Value")
    if not values:
        return default
    return values[0] if isinstance(values[0], int) and values[0] > 0 else None


def _native_frames(
    pixels: PixelValue, attributes: Mapping[str, Any], reading: Reading, number: int
) -> Frames | None:
    rows, columns = _number(attributes, _ROWS), _number(attributes, _COLUMNS)
    bits = _number(attributes, _BITS_ALLOCATED)
    samples = _number(attributes, _SAMPLES_PER_PIXEL, default=1)
    if rows is None or columns is None or bits is None or samples is None:
        reading.find(pixels.tag, "The size of a frame does not follow from the attributes.")
        return None
    frame_bits = rows * columns * samples * bits
    photometric = attributes.get(_PHOTOMETRIC_INTERPRETATION, {}).get("Value")
    if photometric and photometric[0] in _HALF_CHROMA and samples == 3:  # noqa: PLR2004 - Y, CB, CR
        # PS3.3 §C.7.6.3.1.2: two pixels share their chrominance, but some writers only say so
        is_whole = pixels.place.length * 8 >= frame_bits * number
        frame_bits = frame_bits if is_whole else frame_bits * 2 // 3
    if number > 1 and frame_bits % 8:
        reading.find(pixels.tag, "Frames do not begin at whole bytes; they cannot be served alone.")
        return None
    size = -(-frame_bits // 8)
    complete = min(number, pixels.place.length // size)
    if complete < number:
        reading.find(pixels.tag, "The pixel data are shorter than the frames that are declared.")
    first = pixels.place.offset
    return tuple((ByteRange(first + size * index, size),) for index in range(complete))


def _encapsulated_frames(
    items: Sequence[ByteRange], attributes: Mapping[str, Any], reading: Reading, number: int
) -> Frames | None:
    if len(items) < 2:  # noqa: PLR2004 - the offset table and at least one fragment
        return None
    table, *fragments = items
    for starts in (
        _extended_offsets(attributes, reading, number),
        _offsets(_cut(reading, table), "I", number),
    ):
        frames = _split_at(fragments, starts)
        if frames is not None:
            return frames
    if len(fragments) == number:
        return tuple((fragment,) for fragment in fragments)
    if number == 1:
        return (tuple(fragments),)
    return _split_at_codestreams(fragments, reading, number)


def _extended_offsets(
    attributes: Mapping[str, Any], reading: Reading, number: int
) -> Sequence[int]:
    """Return the Extended Offset Table (PS3.3 §C.7.6.3.1.8), if it has an entry for each frame."""
    place = reading.bulk.get(_EXTENDED_OFFSET_TABLE)
    if place is not None:
        return _offsets(_cut(reading, place), "Q", number)
    text = attributes.get(_EXTENDED_OFFSET_TABLE, {}).get("InlineBinary", "")
    return _offsets(a2b_base64(text), "Q", number)


def _cut(reading: Reading, place: ByteRange) -> bytes:
    return bytes(reading.data[place.offset : place.offset + place.length])


def _offsets(raw: bytes, code: str, number: int) -> Sequence[int]:
    """Return the offsets of a table that has an entry for each frame, else nothing."""
    layout = Struct(f"<{number}{code}")
    return layout.unpack(raw) if len(raw) == layout.size else ()


def _split_at(fragments: Sequence[ByteRange], starts: Sequence[int]) -> Frames | None:
    """Return frames that begin at offsets counted from the first fragment's header, if all are such."""
    if not starts or starts[0] != 0:
        return None
    first = fragments[0].offset - SHORT
    headers = [fragment.offset - SHORT - first for fragment in fragments]
    indices = [bisect_left(headers, start) for start in starts]
    if any(i >= len(headers) or headers[i] != s for i, s in zip(indices, starts, strict=True)):
        return None
    return _grouped(fragments, indices)


def _split_at_codestreams(
    fragments: Sequence[ByteRange], reading: Reading, number: int
) -> Frames | None:
    data = reading.data
    indices = [
        index
        for index, fragment in enumerate(fragments)
        if bytes(data[fragment.offset : fragment.offset + 4]).startswith(_CODESTREAM_STARTS)
    ]
    if len(indices) != number or indices[0] != 0:
        return None
    return _grouped(fragments, indices)


def _grouped(fragments: Sequence[ByteRange], indices: Sequence[int]) -> Frames | None:
    ends = [*indices[1:], len(fragments)]
    if any(end <= index for index, end in zip(indices, ends, strict=True)):
        return None
    return tuple(tuple(fragments[i:end]) for i, end in zip(indices, ends, strict=True))
