"""A data set as DICOM JSON, in one pass over its bytes (PS3.5 §7, PS3.18 §F.2).

Strategy: `data_set` walks the elements of one level. A short plain value is converted at once, which is all
that most elements need; whatever else there is (sequences, binary and long values, pixel data, undefined
lengths) goes through `_unusual`. Every length is compared with what is left before anything is read. Values
that are not put inline are never copied: only their place is kept. Sequences recurse, bounded by the limit
on nesting.
"""

from collections.abc import Mapping

from app.dicom.character_set import character_set
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
    Header,
    actual_encoding,
)
from app.dicom.instance import ByteRange
from app.dicom.pixel_value import PIXEL_VALUES, PixelValue, locate_fragments, locate_pixels
from app.dicom.reading import Element, Reading, Scope, cut_short, inline, only_zeros
from app.dicom.values import BINARY_WORD, NotOfItsVR, in_little_endian
from app.errors import BadInstance, TooDeep, Truncated

Located = tuple[Element, int]  # an element, and where the next one begins

_CHARACTER_SET, _PIXEL_REPRESENTATION = "00080005", "00280103"
_WATCHED = frozenset({_CHARACTER_SET, _PIXEL_REPRESENTATION})
_UNSAID = frozenset({"", "UN"})
_NO_ATTRIBUTES = frozenset({0x0000, 0x0002, ITEM_GROUP})  # commands, File Meta, delimiters
# PS3.18 §F.2.6 allows a BulkDataURI for these; a value of another VR that is too long becomes UN
_BULK_VRS = frozenset(
    ["DS", "FL", "FD", "IS", "LT", "SL", "SS", "ST", "SV", "UC", "UL", "US", "UT", "UV"]
)


class DataSetReader:
    """Reads one data set; `pixels` is where its pixel data were found."""

    def __init__(self, reading: Reading) -> None:
        """Read within the limits of `reading`, and note there what is found."""
        self.pixels: PixelValue | None = None
        self._reading = reading
        self._data = reading.data
        self._plain_bytes = reading.limits.inline_text_bytes

    def data_set(
        self, position: int, end: int, encoding: Encoding, scope: Scope, *, delimited: bool = False
    ) -> tuple[dict[str, Element], int]:
        """Return the elements from `position`, ascending, and where they end. Raises BadInstance."""
        data, header = self._data, encoding.header
        result: dict[str, Element] = {}
        while position < end:
            try:
                head = header(data, position, end)
            except EndOfData:
                self._check_padding(position, scope)
                break
            group, number = head[0], head[1]
            if number == 0 or group in _NO_ATTRIBUTES:
                if self._ends_here(head, position, scope, delimited=delimited):
                    return _ascending(result), head[3]
                position = self._passed_over(head, end, scope)
                continue
            key = f"{group:04X}{number:04X}"
            element, position = self._element(key, head, end, encoding, scope, result)
            if key in result:
                self._find(scope, key, "The attribute occurs again; the first is kept.")
                continue
            result[key] = element
            if key in _WATCHED:
                self._watch(key, element, scope)
        if delimited:
            raise Truncated(f"{scope.name} does not end before byte {position}.")
        return _ascending(result), position

    def _element(
        self,
        key: str,
        head: Header,
        end: int,
        encoding: Encoding,
        scope: Scope,
        result: Mapping[str, Element],
    ) -> Located:
        group, number, vr, start, length = head
        self._reading.count()
        declared = vr
        if vr in _UNSAID:
            vr = implied_vr(group << 16 | number, result, signed=scope.signed)
            if declared:  # PS3.5 §6.2.2: what UN holds is in Implicit VR Little Endian
                encoding = IMPLICIT_LITTLE
        convert = encoding.conversions.get(vr)
        stop = start + length
        if convert is None or stop > end or length > self._plain_bytes or key in PIXEL_VALUES:
            return self._unusual(key, (vr, declared), (start, length), end, encoding, scope)
        raw = bytes(self._data[start:stop])
        try:
            values, complaint = convert(raw, scope.character_set)
        except NotOfItsVR:
            self._find(scope, key, f"The length is none that {vr} can have; the value stays UN.")
            return self._binary(scope.prefix + key, "UN", (start, length), encoding), stop
        if complaint is not None:
            if declared == "UN":  # the dictionary's VR does not fit: the bytes say more
                return self._binary(scope.prefix + key, "UN", (start, length), encoding), stop
            self._find(scope, key, complaint)
        return {"vr": vr, "Value": values} if values else {"vr": vr}, stop

    def _unusual(
        self,
        key: str,
        vrs: tuple[str, str],
        value: tuple[int, int],
        end: int,
        encoding: Encoding,
        scope: Scope,
    ) -> Located:
        vr, declared = vrs
        start, length = value
        path = scope.prefix + key
        if key in PIXEL_VALUES:
            said = "" if declared in _UNSAID else vr
            return self._pixel_value(path, said, value, end, encoding, scope)
        if length == UNDEFINED:
            return self._without_length(path, vrs, start, end, encoding, scope)
        stop = start + length
        if stop > end:
            raise cut_short(path, start, length, end - start)
        if vr == "SQ":
            return self._sequence(path, value, end, encoding, scope)
        if vr not in BINARY_WORD:
            if vr not in _BULK_VRS:
                self._find(scope, key, f"The value is longer than {vr} can be; it is kept as UN.")
                vr = "UN"
            return self._reading.outside(path, vr, ByteRange(start, length)), stop
        return self._binary(path, vr, value, encoding), stop

    def _binary(self, path: str, vr: str, value: tuple[int, int], encoding: Encoding) -> Element:
        start, length = value
        if length > self._reading.limits.inline_bytes:
            return self._reading.outside(path, vr, ByteRange(start, length))
        raw = bytes(self._data[start : start + length])
        return inline(vr, raw if encoding.little else in_little_endian(vr, raw))

    def _pixel_value(
        self,
        path: str,
        vr: str,
        value: tuple[int, int],
        end: int,
        encoding: Encoding,
        scope: Scope,
    ) -> Located:
        pixels, stop = locate_pixels(self._reading, path, vr, value, end, encoding)
        if not pixels.place.length:
            return {"vr": pixels.vr}, stop
        if not scope.depth and self.pixels is None:
            self.pixels = pixels
        return self._reading.outside(path, pixels.vr, pixels.place), stop

    def _without_length(
        self,
        path: str,
        vrs: tuple[str, str],
        start: int,
        end: int,
        encoding: Encoding,
        scope: Scope,
    ) -> Located:
        """Return a sequence, or a value of fragments, that ends with a delimiter (PS3.5 §7.5.1, §A.4)."""
        vr, declared = vrs
        if vr == "SQ" or declared in _UNSAID:
            if declared == "UN" or (not declared and encoding is EXPLICIT_LITTLE):
                # some writers keep the encoding of the data set within UN, others lose it
                encoding = actual_encoding(self._data, start + SHORT, encoding)
            return self._sequence(path, (start, UNDEFINED), end, encoding, scope)
        if vr not in BINARY_WORD:
            raise BadInstance(f"{path} at byte {start} has no length, which {vr} must have.")
        _, stop = locate_fragments(self._reading, path, start, end, encoding)
        return self._reading.outside(path, vr, ByteRange(start, stop - SHORT - start)), stop

    def _sequence(
        self, path: str, value: tuple[int, int], end: int, encoding: Encoding, scope: Scope
    ) -> Located:
        position, length = value
        if scope.depth >= self._reading.limits.nesting_depth:
            raise TooDeep("Sequences are nested deeper than the limit nesting_depth.")
        stop = end if length == UNDEFINED else position + length
        items: list[Element] = []
        while position < stop:
            if stop - position < SHORT:
                raise cut_short(f"An item of {path}", position, SHORT, stop - position)
            group, number, size = encoding.item(self._data, position)
            position += SHORT
            if group == ITEM_GROUP and number == SEQUENCE_END:
                if length != UNDEFINED and position != stop:
                    raise BadInstance(f"{path} ends at byte {position}, before its length.")
                return _sequence_of(items), position
            if group != ITEM_GROUP or number != ITEM:
                raise BadInstance(f"{path} has no item at byte {position - SHORT}.")
            prefix = f"{path}.{len(items) + 1}."
            item, position = self._item(prefix, (position, size), stop, encoding, scope)
            items.append(item)
        if length == UNDEFINED:
            raise Truncated(f"{path} does not end before byte {position}.")
        return _sequence_of(items), stop

    def _item(
        self, prefix: str, value: tuple[int, int], end: int, encoding: Encoding, around: Scope
    ) -> Located:
        """Return an item; what it does not say of its text it inherits (PS3.5 §7.5.3)."""
        start, size = value
        self._reading.count()
        scope = Scope(prefix, around.depth + 1, around.character_set, signed=around.signed)
        if size == UNDEFINED:
            return self.data_set(start, end, encoding, scope, delimited=True)
        if size > end - start:
            raise cut_short(f"The item {prefix[:-1]}", start, size, end - start)
        item, stop = self.data_set(start, start + size, encoding, scope)
        if stop != start + size:
            raise BadInstance(f"{scope.name} ends at byte {stop}, before its length.")
        return item, stop

    def _ends_here(self, head: Header, position: int, scope: Scope, *, delimited: bool) -> bool:
        """Tell whether a header that is no attribute ends the data set."""
        group, number, _, _, length = head
        if group == ITEM_GROUP:
            if number == ITEM_END and scope.depth and not length:
                return True
            if delimited or number != SEQUENCE_END or length:
                raise BadInstance(f"{scope.name} has a delimiter out of place at byte {position}.")
            return False
        if group or number or length:
            return False
        self._check_padding(position, scope)
        return True

    def _passed_over(self, head: Header, end: int, scope: Scope) -> int:
        """Return where an element ends that DICOM JSON leaves out (PS3.18 §F.2.2)."""
        group, number, _, start, length = head
        key = f"{group:04X}{number:04X}"
        self._reading.count()
        if length > end - start:
            raise cut_short(scope.prefix + key, start, length, end - start)
        if number and group != ITEM_GROUP:
            self._find(scope, key, "The attribute has no place in a data set; it is left out.")
        return start + length

    def _check_padding(self, position: int, scope: Scope) -> None:
        """Raise Truncated where what is left is neither an element nor zeros."""
        if scope.depth or not only_zeros(self._data, position):
            raise Truncated(f"{scope.name} has bytes from {position} on that are no element.")
        self._reading.find("FFFCFFFC", "Zeros follow the data set.")

    def _watch(self, key: str, element: Element, scope: Scope) -> None:
        """Note what the elements that follow depend on."""
        values = element.get("Value") or []
        if key == _PIXEL_REPRESENTATION:
            scope.signed = values[:1] == [1]
        elif all(value is None or isinstance(value, str) for value in values):
            scope.character_set, complaint = character_set(tuple(values))
            if complaint:
                self._find(scope, key, complaint)

    def _find(self, scope: Scope, key: str, message: str) -> None:
        self._reading.find(scope.prefix + key, message)


def _ascending(elements: dict[str, Element]) -> dict[str, Element]:
    keys = list(elements)
    ordered = sorted(keys)
    return elements if keys == ordered else {key: elements[key] for key in ordered}


def _sequence_of(items: list[Element]) -> Element:
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
