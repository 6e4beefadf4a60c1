"""What stands around the frames in the value of pixel data (PS3.5 §A.4, PS3.3 §C.7.6.3.1.8)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from struct import Struct, pack

from app.dicom.element_header import ITEM, ITEM_GROUP, SEQUENCE_END, SHORT, UNDEFINED
from app.dicom.rewriting import Changes, element, pixel_header
from app.errors import Unencodable

PIXEL_DATA = 0x7FE00010
_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_ITEM_HEADER = Struct("<HHI")
_LARGEST = UNDEFINED - 1  # length or offset of 32 bits


@dataclass(frozen=True, slots=True)
class PixelElement:
    """What stands before and after the frames, and which attributes go with it."""

    before: bytes
    after: bytes
    changes: Changes = field(default_factory=dict)


def fragment(data: bytes) -> bytes:
    """Return a frame as one fragment. Raises Unencodable."""
    if len(data) > _LARGEST:
        raise Unencodable("A frame is larger than a fragment can be.")
    padding = b"\0" * (len(data) % 2)
    return _ITEM_HEADER.pack(ITEM_GROUP, ITEM, len(data) + len(padding)) + data + padding


def encapsulated_element(lengths: Sequence[int]) -> PixelElement:
    """Return what stands around frames that are a fragment each, `lengths` being those of their data.

    The Basic Offset Table says where they begin, or where it cannot the Extended Offset Table.
    """
    padded = [length + length % 2 for length in lengths]
    offsets = [0, *accumulate(SHORT + length for length in padded)][:-1]
    changes: dict[int, bytes | None] = {}
    table = b""
    if offsets[-1] <= _LARGEST:
        table = pack(f"<{len(offsets)}I", *offsets)
    else:
        for tag, numbers in ((_EXTENDED_OFFSETS, offsets), (_EXTENDED_LENGTHS, padded)):
            changes[tag] = element(tag, "OV", pack(f"<{len(numbers)}Q", *numbers))
    before = pixel_header(PIXEL_DATA, "OB", UNDEFINED) + fragment(table)
    return PixelElement(before, _ITEM_HEADER.pack(ITEM_GROUP, SEQUENCE_END, 0), changes)


def native_element(tag: int, vr: str, length: int) -> PixelElement:
    """Return what stands around native frames of a length together. Raises Unencodable."""
    if length > _LARGEST:
        raise Unencodable("Native pixel data would be larger than an element can be.")
    return PixelElement(pixel_header(tag, vr, length + length % 2), b"\0" * (length % 2))
