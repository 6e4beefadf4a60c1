"""A data set whose text is brought to UTF-8 while everything else stays as it is (PS3.3 §C.12.1.1.2).

Strategy: elements keep their encoding and sequences the kind of length that they had. Text beyond ASCII is
decoded as the gate decodes it and written anew; sequences are gone through, as their items have text too, and
an item that declares a character set of its own declares UTF-8 afterwards. Group lengths, which would be wrong,
are left out. The pass trusts that the object has gone through the gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.dicom.character_encoding import UTF_8
from app.dicom.character_set import DEFAULT_REPERTOIRE, CharacterSet, character_set
from app.dicom.dictionary import implied_vr
from app.dicom.element_header import (
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    ITEM_GROUP,
    SEQUENCE_END,
    SHORT,
    UNDEFINED,
    Encoding,
    EndOfData,
    Header,
    actual_encoding,
)
from app.dicom.element_writer import header, item_header, plain
from app.dicom.values import PADDING

CHARACTER_SET = 0x00080005
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_CREATORS = range(0x10, 0x100)
_ESCAPE = 0x1B
_UNSAID = frozenset({"", "UN"})


@dataclass(slots=True)
class Level:
    """What the text of one data set, or item, depends on."""

    character_set: CharacterSet = DEFAULT_REPERTOIRE
    creators: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def note(self, tag: int, vr: str, raw: bytes) -> None:
        """Keep the character set and private creators that following elements depend on."""
        if tag == CHARACTER_SET:
            self.character_set = character_set(terms_of(raw))[0]
        elif tag >> 16 & 1 and tag & 0xFFFF in _CREATORS:
            name = raw.decode("latin-1").strip(PADDING)
            self.creators[f"{tag:08X}"] = {"vr": vr, "Value": [name]}

    def vr(self, tag: int, declared: str) -> str:
        """Return the VR of an element, from the dictionary where the bytes do not say it."""
        if declared not in _UNSAID:
            return declared
        return implied_vr(tag, self.creators, signed=False)


def terms_of(raw: bytes) -> tuple[str | None, ...]:
    """Return the values of (0008,0005)."""
    text = raw.decode("latin-1").strip(PADDING)
    return tuple(term.strip(PADDING) or None for term in text.split("\\")) if text else ()


class Recoding:
    """Goes over elements within one stretch of bytes."""

    def __init__(self, data: bytes) -> None:
        """Read `data`."""
        self._data = data

    def element(
        self, position: int, head: Header, end: int, encoding: Encoding, level: Level
    ) -> tuple[bytes, int]:
        """Return the element at `position` with its text in UTF-8, and where the next one begins.

        Raises EndOfData where it does not end before `end`.
        """
        group, number, declared, start, length = head
        tag = group << 16 | number
        vr = level.vr(tag, declared)
        inner = IMPLICIT_LITTLE if declared == "UN" else encoding
        if length == UNDEFINED:
            return self._without_length(position, tag, (vr, declared), start, end, encoding, level)
        stop = start + length
        if stop > end:
            raise EndOfData
        if vr == "SQ":
            inside, _ = self._items(start, stop, inner, level)
            return header(encoding, tag, declared, len(inside)) + inside, stop
        raw = self._data[start:stop]
        if not number:
            return b"", stop
        if tag == CHARACTER_SET:
            level.note(tag, vr, raw)
            return plain(encoding, tag, declared, UTF_8.encode("ascii")), stop
        level.note(tag, vr, raw)
        if vr not in TEXT_VRS or (raw.isascii() and _ESCAPE not in raw):
            return self._data[position:stop], stop
        text = level.character_set.decode(raw)[0].rstrip(PADDING)
        return plain(encoding, tag, declared, text.encode()), stop

    def everything(self, encoding: Encoding, level: Level) -> bytes:
        """Return all of it with its text in UTF-8."""
        written, _ = self._level(0, len(self._data), encoding, level, delimited=False)
        return written

    def skipped(self, start: int, end: int, encoding: Encoding) -> int:
        """Return where a sequence of undefined length ends. Raises EndOfData."""
        _, stop = self._items(start, end, encoding, Level(), delimited=True)
        return stop

    def _without_length(
        self,
        position: int,
        tag: int,
        vrs: tuple[str, str],
        start: int,
        end: int,
        encoding: Encoding,
        level: Level,
    ) -> tuple[bytes, int]:
        vr, declared = vrs
        if vr != "SQ" and declared not in _UNSAID:  # fragments
            stop = self.past_fragments(start, end, encoding)
            return self._data[position:stop], stop
        inner = encoding
        if declared == "UN":  # some writers keep the encoding of the data set within UN
            inner = actual_encoding(self._data, start + SHORT, IMPLICIT_LITTLE)
        inside, stop = self._items(start, end, inner, level, delimited=True)
        ends = item_header(inner, SEQUENCE_END, 0)
        return header(encoding, tag, declared, UNDEFINED) + inside + ends, stop

    def _items(
        self,
        position: int,
        end: int,
        encoding: Encoding,
        around: Level,
        *,
        delimited: bool = False,
    ) -> tuple[bytes, int]:
        """Return the items of a sequence without its delimiter, and where it ends."""
        written: list[bytes] = []
        while position < end:
            number, size = self._item(position, end, encoding)
            position += SHORT
            if number == SEQUENCE_END:
                return b"".join(written), position
            level = Level(around.character_set)
            stop = end if size == UNDEFINED else position + size
            content, position = self._level(
                position, stop, encoding, level, delimited=size == UNDEFINED
            )
            length = UNDEFINED if size == UNDEFINED else len(content)
            written += [item_header(encoding, ITEM, length), content]
            if size == UNDEFINED:
                written.append(item_header(encoding, ITEM_END, 0))
        if delimited:
            raise EndOfData
        return b"".join(written), end

    def _level(
        self, position: int, end: int, encoding: Encoding, level: Level, *, delimited: bool
    ) -> tuple[bytes, int]:
        written: list[bytes] = []
        while position < end:
            head = encoding.header(self._data, position, end)
            if head[0] == ITEM_GROUP:
                if head[1] == ITEM_END and delimited:
                    return b"".join(written), head[3]
                position = head[3] + head[4]
                continue
            chunk, position = self.element(position, head, end, encoding, level)
            written.append(chunk)
        if delimited:
            raise EndOfData
        return b"".join(written), end

    def _item(self, position: int, end: int, encoding: Encoding) -> tuple[int, int]:
        if end - position < SHORT:
            raise EndOfData
        _, number, size = encoding.item(self._data, position)
        return number, size

    def past_fragments(self, position: int, end: int, encoding: Encoding) -> int:
        """Return where an encapsulated value ends (PS3.5 §A.4). Raises EndOfData."""
        while True:
            number, size = self._item(position, end, encoding)
            position += SHORT
            if number == SEQUENCE_END:
                return position
            position += size
