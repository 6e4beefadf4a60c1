"""The value field of pixel data, whose bytes are only located (PS3.5 §8, Annex A.4)."""

from dataclasses import dataclass

from app.dicom.element_header import ITEM, ITEM_GROUP, SEQUENCE_END, SHORT, UNDEFINED, Encoding
from app.dicom.instance import ByteRange
from app.dicom.reading import Reading, cut_short
from app.dicom.values import BINARY_WORD
from app.errors import BadInstance, Truncated

FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA = "7FE00008", "7FE00009", "7FE00010"
PIXEL_VALUES = frozenset({FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA})


@dataclass(frozen=True, slots=True)
class PixelValue:
    """Where pixel data are; the first fragment is the Basic Offset Table where they are encapsulated."""

    tag: str
    vr: str
    place: ByteRange
    fragments: tuple[ByteRange, ...] | None


def locate_pixels(
    reading: Reading, path: str, vr: str, value: tuple[int, int], end: int, encoding: Encoding
) -> tuple[PixelValue, int]:
    """Return where pixel data are, and where the next element begins. Raises BadInstance.

    `vr` is empty where the object does not say it.
    """
    start, length = value
    fragments = None
    if length == UNDEFINED:
        fragments, stop = locate_fragments(reading, path, start, end, encoding)
        length = stop - SHORT - start
    else:
        stop = start + length
        if stop > end:
            raise cut_short(path, start, length, end - start)
    if vr not in BINARY_WORD:
        vr = "OW" if fragments is None else "OB"  # PS3.5 §A.4
    tag = path.rpartition(".")[2]
    return PixelValue(tag, vr, ByteRange(start, length), fragments), stop


def locate_fragments(
    reading: Reading, path: str, position: int, end: int, encoding: Encoding
) -> tuple[tuple[ByteRange, ...], int]:
    """Return the items of an encapsulated value, and where the next element begins (PS3.5 §A.4)."""
    fragments: list[ByteRange] = []
    while end - position >= SHORT:
        group, number, length = encoding.item(reading.data, position)
        start = position + SHORT
        if group != ITEM_GROUP or number not in (ITEM, SEQUENCE_END):
            raise BadInstance(f"{path} has no fragment at byte {position}, where one must be.")
        if number == SEQUENCE_END:
            return tuple(fragments), start
        if length > end - start:
            raise cut_short(f"A fragment of {path}", start, length, end - start)
        reading.count()
        fragments.append(ByteRange(start, length))
        position = start + length
    raise Truncated(f"{path} has fragments that do not end before byte {position}.")
