"""A Part 10 object with some attributes corrected, as stretches of the object and bytes between them.

Strategy: a `Splice` goes over the elements of the top level and cuts out what a correction replaces. Whatever
else there is stays where it is, byte for byte, and is never looked into: sequences are passed over by their
lengths, pixel data are not reached at all. New elements are written in the encoding of the data set and in its
character set. Only where that cannot say a corrected value (PS3.3 §C.12.1.1.2), the whole data set declares
UTF-8 and its text is written anew; values that hold no text stay where they are even then.

It does no I/O: it is given a window of bytes at a time and tells what it needs next, so an object of any size
is corrected in little memory.
"""

from collections.abc import Mapping
from typing import Any

from app.dicom.character_encoding import UTF_8, Terms, encode
from app.dicom.element_header import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM_GROUP,
    SEQUENCE_END,
    SHORT,
    UNDEFINED,
    Encoding,
    EndOfData,
    Header,
    actual_encoding,
)
from app.dicom.element_writer import data_set, from_json, header, item, item_header, plain
from app.dicom.file_meta import read_file_meta
from app.dicom.instance import ByteRange, Inserted, Stretch
from app.dicom.object_changes import MODIFIED_ATTRIBUTES, ObjectChanges
from app.dicom.pixel_value import PIXEL_VALUES
from app.dicom.recoding import CHARACTER_SET, TEXT_VRS, Level, Recoding, terms_of
from app.dicom.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from app.errors import BadInstance

FIRST_WINDOW = 64 * 1024  # bytes
_ENCODINGS = {
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT_LITTLE,
    EXPLICIT_VR_BIG_ENDIAN: EXPLICIT_BIG,
}
_PIXEL_TAGS = frozenset(int(tag, 16) for tag in PIXEL_VALUES)
_LOOKED_AT_BYTES = 4 * 1024  # a value without text that is longer is only passed over


class Splice:
    """Corrects one object; give `feed` the bytes from `position` on until it needs no more."""

    def __init__(
        self,
        size: int,
        changes: ObjectChanges,
        *,
        encoding: Encoding | None = None,
        pixels: tuple[int, int] | None = None,
    ) -> None:
        """Correct an object of `size` bytes.

        `encoding` is that of a data set without File Meta Information before it. `pixels` are where the value
        of the pixel data begins and where the next element does, as far as that is known.
        """
        self.position = 0
        self.pieces: list[Stretch] = []
        self.recodes = False  # text is written anew
        self.level = Level()
        self._size = size
        self._changes = changes
        self._replaced = {int(tag, 16): element for tag, element in changes.replaced.items()}
        self._appended = {int(tag, 16): element for tag, element in changes.appended.items()}
        self._waiting = sorted({*self._replaced, *self._appended})
        self._last = self._waiting[-1]
        self._groups = {tag >> 16 for tag in self._waiting}
        self._encoding = encoding
        self.pixels = pixels
        self._terms: Terms | None = None
        self._original: dict[int, bytes] = {}  # what was cut out

    def feed(self, window: bytes) -> int:
        """Go on with the bytes from `position`; return how many are needed from there next, 0 at the end.

        Raises BadInstance.
        """
        base, position, end = self.position, 0, len(window)
        if self._encoding is None:
            position = self._file_meta(window)
            if not position:
                return min(2 * end, self._size)
        try:
            while base + position < self._size:
                stop = self._element(_Window(window, base), position)
                if stop is None:
                    break
                position = stop
        except EndOfData:
            if base + end < self._size:
                self.position = base + position
                wanted = max(2 * (end - position), FIRST_WINDOW)
                return min(wanted, self._size - self.position)
        for tag in tuple(self._waiting):
            self._add(tag, None)
        self._keep(base + position, self._size)
        return 0

    def _file_meta(self, window: bytes) -> int:
        """Keep the File Meta Information; return where the data set begins, 0 where more is needed."""
        try:
            meta = read_file_meta(window)
        except BadInstance:  # there may be more of it
            if len(window) >= self._size:
                raise
            return 0
        at = meta.data_set_at
        if at + SHORT > len(window) < self._size:
            return 0
        claimed = _ENCODINGS.get(meta.transfer_syntax_uid, EXPLICIT_LITTLE)
        self._encoding = actual_encoding(window, at, claimed)
        self._keep(0, at)
        return at

    def _element(self, window: "_Window", position: int) -> int | None:
        """Deal with the element at `position`; return where the next one begins.

        None where the rest stays as it is. Raises EndOfData where the window has to reach further.
        """
        if position >= len(window.data):
            raise EndOfData
        head = self._in.header(window.data, position, len(window.data))
        group, number, _, start, length = head
        tag = group << 16 | number
        if not tag and not length:
            return None  # padding
        if group == ITEM_GROUP:
            self._keep(window.base + position, window.base + start)
            return start
        if self._terms is None and tag >= CHARACTER_SET:
            self._decide(window, head)
        for earlier in [each for each in self._waiting if each < tag]:
            self._add(earlier, None)
        if tag > self._last and not self.recodes and (length == UNDEFINED or tag in _PIXEL_TAGS):
            return None
        if not number and (self.recodes or group in self._groups):
            return start + length  # a group length, which would be wrong
        if tag in self._replaced or tag in self._appended:
            return self._cut(window, position, head)
        return self._kept(window, position, head)

    def _decide(self, window: "_Window", head: Header) -> None:
        """Choose the character set, now that the one of the data set is known."""
        group, number, _, start, length = head
        terms: Terms = ()
        if group << 16 | number == CHARACTER_SET:
            if start + length > len(window.data):
                raise EndOfData
            raw = window.data[start : start + length]
            terms = terms_of(raw)
            self.level.note(CHARACTER_SET, "CS", raw)
        if any(encode(text, terms) is None for text in self._changes.texts()):
            self.recodes = True
            terms = (UTF_8,)
            self._replaced[CHARACTER_SET] = {"vr": "CS", "Value": [UTF_8]}
            self._waiting.insert(0, CHARACTER_SET)
        self._terms = terms

    def _end_of(self, window: "_Window", head: Header) -> int:
        """Return where an element ends, which may be beyond the window. Raises EndOfData."""
        group, number, declared, start, length = head
        tag = group << 16 | number
        if length != UNDEFINED:
            return start + length
        if self.pixels is not None and window.base + start == self.pixels[0]:
            return self.pixels[1] - window.base
        if tag in _PIXEL_TAGS or declared not in ("", "SQ", "UN"):
            return window.recoding.past_fragments(start, len(window.data), self._in)
        inner = self._in
        if declared == "UN":
            inner = actual_encoding(window.data, start + SHORT, IMPLICIT_LITTLE)
        return window.recoding.skipped(start, len(window.data), inner)

    def _kept(self, window: "_Window", position: int, head: Header) -> int:
        """Keep an element, with its text in UTF-8 where that is needed; return where it ends."""
        group, number, declared, _, length = head
        tag, base = group << 16 | number, window.base
        vr = self.level.vr(tag, declared) if self.recodes else declared
        has_text = vr == "SQ" or vr in TEXT_VRS
        if not self.recodes or tag in _PIXEL_TAGS or (not has_text and length > _LOOKED_AT_BYTES):
            stop = self._end_of(window, head)
            self._keep(base + position, base + stop)
            return stop
        chunk, stop = window.recoding.element(
            position, head, len(window.data), self._in, self.level
        )
        if chunk == window.data[position:stop]:
            self._keep(base + position, base + stop)
        else:
            self._insert(chunk)
        return stop

    def _cut(self, window: "_Window", position: int, head: Header) -> int:
        """Take an element out, and put what is new in its place."""
        tag = head[0] << 16 | head[1]
        stop = self._end_of(window, head)
        if stop > len(window.data):
            raise EndOfData
        chunk = window.data[position:stop]
        if self.recodes:
            chunk, _ = window.recoding.element(
                position, head, len(window.data), self._in, self.level
            )
        if tag in self._waiting:  # else it occurs again: the first one counted
            self._original[tag] = chunk
            self._add(tag, chunk)
        return stop

    def _add(self, tag: int, before: bytes | None) -> None:
        """Write the new element of a tag; `before` is the one that the object has."""
        self._waiting.remove(tag)
        if tag in self._appended:
            self._insert(self._with_item(tag, before))
        elif self._replaced[tag] is not None:
            self._insert(from_json(self._in, tag, self._replaced[tag], self._terms or ()))

    def _with_item(self, tag: int, before: bytes | None) -> bytes:
        """Return a sequence with one item more."""
        new = self._appended[tag]
        if before is None:
            return plain(self._in, tag, "SQ", item(self._in, self._item(self._in, new)))
        _, _, declared, start, length = self._in.header(before, 0, len(before))
        inner = IMPLICIT_LITTLE if declared == "UN" else self._in  # PS3.5 §6.2.2
        if length == UNDEFINED:
            items = before[start:-SHORT] + item(inner, self._item(inner, new))
            ends = item_header(inner, SEQUENCE_END, 0)
            return header(self._in, tag, declared, UNDEFINED) + items + ends
        items = before[start:] + item(inner, self._item(inner, new))
        return header(self._in, tag, declared, len(items)) + items

    def _item(self, encoding: Encoding, attributes: Mapping[str, Any]) -> bytes:
        """Return the content of a new item; the values that the object had are those that it had."""
        terms = self._terms or ()
        modified = attributes.get(MODIFIED_ATTRIBUTES)
        if modified is None or encoding is not self._in:
            return data_set(encoding, attributes, terms)
        had = b"".join(
            self._original.get(int(tag, 16)) or from_json(encoding, int(tag, 16), element, terms)
            for tag, element in sorted(modified["Value"][0].items())
        )
        rest = {tag: value for tag, value in attributes.items() if tag != MODIFIED_ATTRIBUTES}
        first = plain(encoding, int(MODIFIED_ATTRIBUTES, 16), "SQ", item(encoding, had))
        return first + data_set(encoding, rest, terms)

    def _keep(self, start: int, stop: int) -> None:
        if stop <= start:
            return
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, ByteRange) and last.offset + last.length == start:
            self.pieces[-1] = ByteRange(last.offset, stop - last.offset)
        else:
            self.pieces.append(ByteRange(start, stop - start))

    def _insert(self, data: bytes) -> None:
        if self.pieces and isinstance(last := self.pieces[-1], Inserted):
            self.pieces[-1] = Inserted(last.data + data)
        elif data:
            self.pieces.append(Inserted(data))

    @property
    def _in(self) -> Encoding:
        if self._encoding is None:
            raise ValueError("the File Meta Information is read first")
        return self._encoding


class _Window:
    """Bytes of an object from `base` on."""

    __slots__ = ("base", "data", "recoding")

    def __init__(self, data: bytes, base: int) -> None:
        self.data = data
        self.base = base
        self.recoding = Recoding(data)
