"""Writes a DICOM JSON object as a data set in Explicit VR Little Endian (PS3.18 §F.2, PS3.5 §7).

Strategy: sequences and items have undefined lengths, so nothing has to be measured before it is written, and
bulk values are passed on as views of where they are: memory does not grow with the object. Text is in UTF-8,
and (0008,0005) says so. What makes no element is an error that names the attribute.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Protocol

from app.dicom.dictionary import implied_vr
from app.dicom.element_header import (
    ITEM,
    ITEM_END,
    ITEM_GROUP,
    SEQUENCE_END,
    UNDEFINED,
    Buffer,
)
from app.dicom.instance import COERCED, DISCARDED, Finding
from app.dicom.json_values import ENCODINGS, NotEncodable, inline_binary
from app.dicom.tag import is_tag
from app.dicom.values import BINARY_WORD, LONG_VRS
from app.errors import BadMetadata, InstanceTooLarge, TooDeep
from app.limits import Limits

CHARACTER_SET, UTF_8 = "00080005", "ISO_IR 192"
_PIXEL_REPRESENTATION = "00280103"
_SHORT = Struct("<HH2sH").pack
_LONG = Struct("<HH2sHI").pack
_ITEM = Struct("<HHI").pack
_ITEM_BEGIN = _ITEM(ITEM_GROUP, ITEM, UNDEFINED)
_ITEM_STOP = _ITEM(ITEM_GROUP, ITEM_END, 0)
_SEQUENCE_STOP = _ITEM(ITEM_GROUP, SEQUENCE_END, 0)
_LONGEST_SHORT, _LONGEST = 0xFFFE, 0xFFFFFFFE  # even lengths
_META_GROUP = 0x0002
_NO_ATTRIBUTES = frozenset({0x0000, ITEM_GROUP})
_VRS = frozenset({*ENCODINGS, *BINARY_WORD, "SQ"})
_FORMS = ("Value", "BulkDataURI", "InlineBinary")


@dataclass(frozen=True, slots=True)
class BulkValue:
    """The bytes of a value: one stretch, or where it is encapsulated one for each fragment."""

    stretches: Sequence[Buffer]
    encapsulated: bool = False


class Resolve(Protocol):
    """Finds the value that a BulkDataURI stands for. Raises BadInstance."""

    def __call__(self, path: str, uri: str) -> BulkValue:
        """Return the value of the attribute at `path`."""


class DataSetWriter:
    """Writes one object; `findings` tell what was changed on the way."""

    def __init__(self, resolve: Resolve, limits: Limits) -> None:
        """Take bulk values from `resolve`."""
        self.findings: list[Finding] = []
        self._resolve = resolve
        self._limits = limits

    def pieces(self, attributes: Mapping[str, Any]) -> Iterator[Buffer]:
        """Yield the bytes of the data set. Raises BadMetadata, TooDeep, InstanceTooLarge."""
        stated = attributes.get(CHARACTER_SET)
        whole = {**attributes, CHARACTER_SET: stated or {"vr": "CS", "Value": [UTF_8]}}
        yield from self._data_set(whole, "", 0)

    def _data_set(self, attributes: Mapping[str, Any], prefix: str, depth: int) -> Iterator[Buffer]:
        for key, element in _ascending(attributes, prefix):
            path = prefix + key
            group, number = int(key[:4], 16), int(key[4:], 16)
            if group == _META_GROUP or (number == 0 and group not in _NO_ATTRIBUTES):
                continue  # File Meta and group lengths are made anew
            if group in _NO_ATTRIBUTES:
                message = "The attribute has no place in a data set; it is left out."
                self.findings.append(Finding(path, message, DISCARDED))
                continue
            vr = _vr_of(key, element, path, attributes)
            try:
                yield from self._element(path, (group, number), vr, element, depth)
            except NotEncodable as exc:
                raise BadMetadata(f"{path}: {exc}.", attributes=(key,)) from exc

    def _element(
        self, path: str, tag: tuple[int, int], vr: str, element: Mapping[str, Any], depth: int
    ) -> Iterator[Buffer]:
        if "BulkDataURI" in element:
            uri = element["BulkDataURI"]
            if not isinstance(uri, str):
                raise NotEncodable("its BulkDataURI is no text")
            yield from _bulk(tag, vr, self._resolve(path, uri))
            return
        if "InlineBinary" in element:
            if vr not in BINARY_WORD:
                raise NotEncodable(f"{vr} has no InlineBinary")
            yield from _plain(tag, vr, [inline_binary(element["InlineBinary"])])
            return
        values = element.get("Value", [])
        if not isinstance(values, list):
            raise NotEncodable("its Value is no array")
        if vr == "SQ":
            yield from self._sequence(path, tag, values, depth)
        elif vr in ENCODINGS:
            yield from _plain(tag, vr, [self._encoded(path, vr, values)])
        elif values:
            raise NotEncodable(f"{vr} has an InlineBinary or a BulkDataURI, no Value")
        else:
            yield from _plain(tag, vr, [])

    def _encoded(self, path: str, vr: str, values: list[Any]) -> bytes:
        if path.endswith(CHARACTER_SET):
            if values not in ([], [UTF_8]):
                message = "The metadata came in UTF-8, so the attribute says ISO_IR 192 now."
                self.findings.append(Finding(path, message, COERCED))
            values = [UTF_8]
        raw, change = ENCODINGS[vr](values)
        if change is not None:
            self.findings.append(Finding(path, change, COERCED))
        return raw

    def _sequence(
        self, path: str, tag: tuple[int, int], items: list[Any], depth: int
    ) -> Iterator[Buffer]:
        if depth >= self._limits.nesting_depth:
            raise TooDeep("Sequences are nested deeper than the limit nesting_depth.")
        if not items:
            yield _LONG(*tag, b"SQ", 0, 0)
            return
        yield _LONG(*tag, b"SQ", 0, UNDEFINED)
        for number, item in enumerate(items, 1):
            if item is not None and not isinstance(item, dict):
                raise NotEncodable("an item is no object")
            yield _ITEM_BEGIN
            yield from self._data_set(item or {}, f"{path}.{number}.", depth + 1)
            yield _ITEM_STOP
        yield _SEQUENCE_STOP


def _ascending(attributes: Mapping[str, Any], prefix: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return tags and elements in their order. Raises BadMetadata where a key or an element is none."""
    found: dict[str, Mapping[str, Any]] = {}
    where = f"The item {prefix[:-1]}" if prefix else "The data set"
    for name, element in attributes.items():
        key = name.upper()
        if not is_tag(key):
            raise BadMetadata(f"{where} has a key that is no tag of 8 hex digits.")
        if not isinstance(element, dict) or sum(form in element for form in _FORMS) > 1:
            message = (
                f"{prefix}{key} is no object with at most one of Value, BulkDataURI, InlineBinary."
            )
            raise BadMetadata(message, attributes=(key,))
        if key in found:
            raise BadMetadata(f"{prefix}{key} occurs twice.", attributes=(key,))
        found[key] = element
    return sorted(found.items())


def _vr_of(key: str, element: Mapping[str, Any], path: str, attributes: Mapping[str, Any]) -> str:
    vr = element.get("vr")
    if vr is None:  # which only XML may leave out, but some JSON writers do
        signed = attributes.get(_PIXEL_REPRESENTATION, {}).get("Value") == [1]
        vr = implied_vr(int(key, 16), attributes, signed=signed)
    if not isinstance(vr, str) or vr not in _VRS:
        raise BadMetadata(f"{path} has a vr that is none of PS3.5.", attributes=(key,))
    return vr


def _bulk(tag: tuple[int, int], vr: str, value: BulkValue) -> Iterator[Buffer]:
    if not value.encapsulated:
        if vr == "SQ":
            raise NotEncodable("a sequence cannot be bulk data")
        yield from _plain(tag, vr, value.stretches)
        return
    yield _LONG(*tag, b"OB", 0, UNDEFINED)
    yield _ITEM(ITEM_GROUP, ITEM, 0)  # no Basic Offset Table: a frame is a fragment (PS3.5 §A.4)
    for fragment in value.stretches:
        if len(fragment) > _LONGEST:
            raise InstanceTooLarge("A fragment is longer than DICOM can say.")
        yield _ITEM(ITEM_GROUP, ITEM, len(fragment) + len(fragment) % 2)
        yield fragment
        yield b"\0" * (len(fragment) % 2)
    yield _SEQUENCE_STOP


def _plain(tag: tuple[int, int], vr: str, stretches: Sequence[Buffer]) -> Iterator[Buffer]:
    length = sum(map(len, stretches))
    if length > _LONGEST:
        raise InstanceTooLarge("A value is longer than DICOM can say.")
    even = length + length % 2
    if vr in LONG_VRS:
        yield _LONG(*tag, vr.encode(), 0, even)
    elif even <= _LONGEST_SHORT:
        yield _SHORT(*tag, vr.encode(), even)
    else:
        yield _LONG(*tag, b"UN", 0, even)  # PS3.5 §6.2.2: too long for a 16-bit length
    yield from stretches
    if length % 2:
        yield b"\0" if vr == "UI" or vr in BINARY_WORD else b" "
