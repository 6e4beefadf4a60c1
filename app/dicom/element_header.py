"""Where an element begins: tag, VR and length in the three encodings (PS3.5 §7.1).

Strategy: an `Encoding` reads one header at a position and returns group, element number, VR, where the
value starts and how long it says it is. The VR is empty where the bytes do not name one. Lengths are not
judged here, but a header that does not fit into what is left is an `EndOfData`.
"""

import mmap
from collections.abc import Callable, Mapping
from struct import Struct

from app.dicom.values import BIG_ENDIAN, BINARY_WORD, LITTLE_ENDIAN, LONG_VRS, Convert

Buffer = bytes | bytearray | memoryview | mmap.mmap
Header = tuple[int, int, str, int, int]  # group, element number, VR, start of value, length

UNDEFINED = 0xFFFFFFFF
ITEM_GROUP = 0xFFFE
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
SHORT, LONG = 8, 12  # bytes of a header

_VRS = {vr.encode(): vr for vr in ("SQ", *BINARY_WORD, *LITTLE_ENDIAN)}
_FIRST_PRINTABLE, _LAST_PRINTABLE = 0x20, 0x7E


class EndOfData(Exception):
    """What is left is too short for a header."""


class Encoding:
    """Explicit or implicit VR, in little or big endian."""

    __slots__ = ("_code", "_length", "conversions", "explicit", "header", "item", "little")

    conversions: Mapping[str, Convert]
    header: Callable[[Buffer, int, int], Header]

    def __init__(self, *, explicit: bool, little: bool) -> None:
        """Prepare the unpacking of headers."""
        order = "<" if little else ">"
        self.explicit = explicit
        self.little = little
        self.conversions = LITTLE_ENDIAN if little else BIG_ENDIAN
        self.item = Struct(order + "HHI").unpack_from  # a header without VR
        self._code = Struct(order + "HH2sH").unpack_from
        self._length = Struct(order + "I").unpack_from
        self.header = self._explicit if explicit else self._implicit

    def _explicit(self, data: Buffer, position: int, end: int) -> Header:
        if end - position < SHORT:
            raise EndOfData
        group, number, code, length = self._code(data, position)
        vr = _VRS.get(code)
        if vr is None or group == ITEM_GROUP:
            return self._without_known_vr(data, position, end)
        if vr not in LONG_VRS:
            return group, number, vr, position + SHORT, length
        if end - position < LONG:
            raise EndOfData
        return group, number, vr, position + LONG, self._length(data, position + SHORT)[0]

    def _implicit(self, data: Buffer, position: int, end: int) -> Header:
        if end - position < SHORT:
            raise EndOfData
        group, number, length = self.item(data, position)
        return group, number, "", position + SHORT, length

    def _without_known_vr(self, data: Buffer, position: int, end: int) -> Header:
        """Return the header of an item or delimiter, or of an element whose VR is none of PS3.5.

        A VR of two capitals is one of the future, with a 32-bit length (PS3.5 §6.2). Other characters such as
        `??` stand before a 16-bit length. No characters at all are the length of an implicit header.
        """
        group, number, code, length = self._code(data, position)
        implicit_length = self.item(data, position)[2]
        if group == ITEM_GROUP:
            return group, number, "", position + SHORT, implicit_length
        if code.isalpha() and code.isupper() and length == 0 and end - position >= LONG:
            extended = self._length(data, position + SHORT)[0]
            return group, number, "", position + LONG, extended
        fits = implicit_length == UNDEFINED or position + SHORT + implicit_length <= end
        if fits and not _is_printable(code):
            return group, number, "", position + SHORT, implicit_length
        return group, number, "", position + SHORT, length


IMPLICIT_LITTLE = Encoding(explicit=False, little=True)
EXPLICIT_LITTLE = Encoding(explicit=True, little=True)
EXPLICIT_BIG = Encoding(explicit=True, little=False)


def actual_encoding(data: Buffer, position: int, claimed: Encoding) -> Encoding:
    """Return the encoding that a data set has, which is not always the one that its File Meta claims."""
    code = bytes(data[position + 4 : position + 6])
    if claimed.explicit:
        is_implicit = len(code) == 2 and not _is_printable(code)  # noqa: PLR2004
        return IMPLICIT_LITTLE if is_implicit else claimed
    return EXPLICIT_LITTLE if code in _VRS else claimed


def _is_printable(code: bytes) -> bool:
    return all(_FIRST_PRINTABLE <= byte <= _LAST_PRINTABLE for byte in code)
