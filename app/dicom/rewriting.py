"""An object in Explicit VR Little Endian, whatever its encoding was (PS3.5 §7.1, Annex A).

Strategy: one walk over the elements. What is in Explicit VR Little Endian already is copied byte for byte; of
other encodings the headers are made anew and the bytes of big-endian values put in order. Sequences keep
the kind of length that they had. Group lengths, which would be wrong, and padding are left out. Changes
replace elements of the top level. The pass trusts that the object has gone through the gate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct

from app.dicom.dictionary import implied_vr
from app.dicom.element_header import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    ITEM_GROUP,
    SEQUENCE_END,
    SHORT,
    UNDEFINED,
    Encoding,
    EndOfData,
    actual_encoding,
)
from app.dicom.instance import ByteRange
from app.dicom.pixel_value import PIXEL_VALUES
from app.dicom.reading import Element
from app.dicom.values import LONG_VRS, PADDING, in_little_endian
from app.errors import BadInstance

Changes = Mapping[int, bytes | None]  # tag -> the whole element instead, or None to leave it out

_SHORT_HEADER, _LONG_HEADER = Struct("<HH2sH"), Struct("<HH2sHI")
_ITEM_HEADER = Struct("<HHI")
_LONGEST_SHORT = 0xFFFF
_CREATORS = range(0x10, 0x100)
_PIXEL_REPRESENTATION, _LUT_DESCRIPTOR = "00280103", "00283002"
_IMAGE_GROUP, _FILE_META_GROUP = 0x0028, 0x0002
_TEXT_VRS = frozenset({"LO", "CS", "IS"})
_ENDS_ITEM = _ITEM_HEADER.pack(ITEM_GROUP, ITEM_END, 0)
_ENDS_SEQUENCE = _ITEM_HEADER.pack(ITEM_GROUP, SEQUENCE_END, 0)


@dataclass(frozen=True, slots=True)
class NestedPixels:
    """Pixel data of an item, such as an icon, in native form."""

    data: bytes
    vr: str
    changes: Changes  # of the item's other elements


# from the attributes of the item (those of group 0028) and the fragments, the offset table first
Unwrap = Callable[[Mapping[str, Element], Sequence[bytes]], NestedPixels]


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Return an element, its value padded to even length (PS3.5 §7.1.2)."""
    padding = b"" if not len(value) % 2 else b"\0" if vr in ("OB", "UI", "UN") else b" "
    return _header(tag, vr, len(value) + len(padding)) + value + padding


def _header(tag: int, vr: str, length: int) -> bytes:
    group, number = tag >> 16, tag & 0xFFFF
    if vr not in LONG_VRS:
        if length <= _LONGEST_SHORT:
            return _SHORT_HEADER.pack(group, number, vr.encode(), length)
        vr = "UN"  # PS3.5 §6.2.2: a value too long for the header of its VR
    return _LONG_HEADER.pack(group, number, vr.encode(), 0, length)


def pixel_header(tag: int, vr: str, length: int) -> bytes:
    """Return the header of pixel data."""
    return _header(tag, vr, length)


def file_meta_with(data: bytes, end: int, transfer_syntax_uid: str) -> bytes:
    """Return preamble and File Meta Information with another transfer syntax (PS3.10 §7.1).

    What an application has put into the preamble speaks of the file as it was, and is left out.
    """
    position, kept = 132, list[bytes]()
    while position < end:
        group, number, _, start, length = EXPLICIT_LITTLE.header(data, position, end)
        stop = start + length
        if number == 0x0010:  # noqa: PLR2004 - Transfer Syntax UID
            kept.append(element(group << 16 | number, "UI", transfer_syntax_uid.encode("ascii")))
        elif number:
            kept.append(bytes(data[position:stop]))
        position = stop
    body = b"".join(kept)
    length_element = element(_FILE_META_GROUP << 16, "UL", len(body).to_bytes(4, "little"))
    return bytes(128) + b"DICM" + length_element + body


@dataclass(slots=True)
class _Level:
    """A level as it is written."""

    signed: bool = False
    changes: Changes = field(default_factory=dict)
    seen: dict[str, Element] = field(default_factory=dict)  # what other elements depend on
    chunks: list[tuple[int, bytes]] = field(default_factory=list)

    def written(self) -> bytes:
        """Return the level with elements replaced, added or left out."""
        changes = self.changes
        if not changes:
            return b"".join(chunk for _, chunk in self.chunks)
        waiting = sorted((tag, new) for tag, new in changes.items() if new is not None)
        result = []
        for tag, chunk in self.chunks:
            while waiting and waiting[0][0] <= tag:
                result.append(waiting.pop(0)[1])
            if tag not in changes:
                result.append(chunk)
        return b"".join([*result, *(new for _, new in waiting)])


class Rewriter:
    """Rewrites a data set, or what stands before or after its pixel data."""

    def __init__(self, data: bytes, unwrap: Unwrap | None) -> None:
        """Make nested encapsulated pixel data native by `unwrap`, if there is such a function."""
        self._data = data
        self._unwrap = unwrap

    def data_set(self, position: int, claimed: Encoding, changes: Changes) -> bytes:
        """Return the elements of the top level from `position`. Raises BadInstance."""
        level = _Level(changes=changes)
        try:
            self._level(level, position, len(self._data), claimed, depth=0)
        except EndOfData as exc:
            raise BadInstance("The data set ends within an element.") from exc
        return level.written()

    def _level(
        self, level: _Level, position: int, end: int, encoding: Encoding, *, depth: int
    ) -> int:
        """Collect the elements of a level; return where it ends."""
        data = self._data
        while end - position >= SHORT:
            group, number, vr, start, length = encoding.header(data, position, end)
            tag = group << 16 | number
            if group == ITEM_GROUP:
                if number == ITEM_END and depth:
                    return start
                position = start + length
                continue
            if not depth and f"{tag:08X}" in PIXEL_VALUES and start == end:
                return end  # what stands before pixel data ends with their header
            if not tag and not length:
                return end  # padding
            if not number or group <= _FILE_META_GROUP:
                position = start + length  # group lengths, and what has no place in a data set
                continue
            head = (tag, vr, start, length)
            chunk, position = self._element(level, position, head, end, encoding, depth)
            level.chunks.append((tag, chunk))
        return end

    def _element(
        self,
        level: _Level,
        position: int,
        head: tuple[int, str, int, int],
        end: int,
        encoding: Encoding,
        depth: int,
    ) -> tuple[bytes, int]:
        tag, declared, start, length = head
        vr = declared or implied_vr(tag, level.seen, signed=level.signed)
        copied = encoding is EXPLICIT_LITTLE
        if length == UNDEFINED:
            return self._without_length(
                level, position, (tag, vr, declared, start), end, encoding, depth
            )
        stop = start + length
        if vr == "SQ" and declared != "UN" and not (copied and self._unwrap is None):
            inside, _ = self._items(level, start, stop, encoding, depth)
            return _header(tag, "SQ", len(inside)) + inside, stop
        raw = self._data[start:stop]
        if not encoding.little:
            raw = in_little_endian(vr, raw)
        _note(level, tag, vr, raw)
        chunk = self._data[position:stop] if copied else _header(tag, vr, length) + raw
        return chunk, stop

    def _without_length(
        self,
        level: _Level,
        position: int,
        head: tuple[int, str, str, int],
        end: int,
        encoding: Encoding,
        depth: int,
    ) -> tuple[bytes, int]:
        tag, vr, declared, start = head
        if vr not in ("SQ", "UN") and declared:
            return self._fragments(level, (tag, position, start), end, encoding, depth)
        if declared == "UN":  # its content stays in Implicit VR Little Endian (PS3.5 §6.2.2)
            inner = actual_encoding(self._data, start + SHORT, IMPLICIT_LITTLE)
            _, stop = self._items(level, start, end, inner, depth)
            return _header(tag, "UN", UNDEFINED) + self._data[start:stop], stop
        inside, stop = self._items(level, start, end, encoding, depth)
        return _header(tag, "SQ", UNDEFINED) + inside + _ENDS_SEQUENCE, stop

    def _items(
        self, around: _Level, position: int, end: int, encoding: Encoding, depth: int
    ) -> tuple[bytes, int]:
        """Return the items of a sequence without its delimiter, and where it ends."""
        items: list[bytes] = []
        while end - position >= SHORT:
            _, number, size = encoding.item(self._data, position)
            start = position + SHORT
            if number == SEQUENCE_END:
                return b"".join(items), start
            level = _Level(signed=around.signed)
            stop = end if size == UNDEFINED else start + size
            position = self._level(level, start, stop, encoding, depth=depth + 1)
            content = level.written()
            length = UNDEFINED if size == UNDEFINED else len(content)
            items += [_ITEM_HEADER.pack(ITEM_GROUP, ITEM, length), content]
            if size == UNDEFINED:
                items.append(_ENDS_ITEM)
        return b"".join(items), end

    def _fragments(
        self,
        level: _Level,
        head: tuple[int, int, int],
        end: int,
        encoding: Encoding,
        depth: int,
    ) -> tuple[bytes, int]:
        """Return an encapsulated value, made native where it is that of an item, and where it ends."""
        tag, position, start = head
        places, stop = fragments_from(self._data, start, end, encoding)
        if not depth or self._unwrap is None:
            return self._data[position:stop], stop
        fragments = [self._data[each.offset : each.offset + each.length] for each in places]
        native = self._unwrap(level.seen, fragments)
        level.changes = native.changes
        return element(tag, native.vr, native.data), stop


def fragments_from(
    data: bytes, position: int, end: int, encoding: Encoding
) -> tuple[list[ByteRange], int]:
    """Return the items of an encapsulated value, and where the next element begins (PS3.5 §A.4)."""
    places: list[ByteRange] = []
    while end - position >= SHORT:
        _, number, length = encoding.item(data, position)
        position += SHORT
        if number == SEQUENCE_END:
            return places, position
        places.append(ByteRange(position, length))
        position += length
    raise BadInstance("An encapsulated value does not end.")


def _note(level: _Level, tag: int, vr: str, raw: bytes) -> None:
    """Keep what the VR of other elements, or the meaning of pixel data, depends on."""
    group, number = tag >> 16, tag & 0xFFFF
    is_creator = group & 1 and number in _CREATORS
    if group != _IMAGE_GROUP and not is_creator:
        return
    values: list[int | str] = []
    if vr in ("US", "SS"):  # of a descriptor of three, the first is looked at
        values = [int.from_bytes(raw[:2], "little", signed=vr == "SS")] if raw else []
    elif vr in _TEXT_VRS:
        values = [raw.decode("latin-1").strip(PADDING)]
    key = f"{tag:08X}"
    level.seen[key] = {"vr": vr, "Value": values}
    if key == _PIXEL_REPRESENTATION:
        level.signed = values[:1] == [1]
