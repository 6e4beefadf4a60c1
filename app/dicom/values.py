"""Values of data elements as the DICOM JSON Model has them (PS3.5 §6.2, PS3.18 §F.2).

Strategy: one function for each kind of VR takes the bytes of a value field and returns its values (none
where it is empty, None for an empty one among several) and a complaint where they are not what the VR asks
for. A value that is no number, date or UID stays the text that it is. Padding that PS3.5 calls not
significant goes.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from struct import Struct, unpack
from typing import Any

from app.dicom.character_set import CharacterSet
from app.dicom.temporal import parse_date, parse_date_time, parse_time
from app.dicom.uid import is_uid

Converted = tuple[list[Any], str | None]
Convert = Callable[[bytes, CharacterSet], Converted]

PADDING = " \0"  # PS3.5 §6.2: spaces, and NUL for UI
LARGEST_EXACT = 2**53  # beyond it a JSON number may not be read back exactly (RFC 8259 §6)
_COMPONENT_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

LONG_VRS = frozenset(
    ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]
)  # 32-bit length, PS3.5 §7.1.2
BINARY_WORD = {"OB": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8, "UN": 1}  # bytes, PS3.5 §7.3
_BYTES_OF_UNIT = {"AT": 2, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_STRUCT_CODE = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
_ESCAPE = 0x1B
_PADDING_BYTES = b" \0"
_NOT_DEFAULT = "The value has characters outside the default repertoire."


class NotOfItsVR(Exception):
    """The bytes cannot be values of the VR at all."""


def _ascii(raw: bytes) -> tuple[str, str | None]:
    raw = raw.rstrip(_PADDING_BYTES)
    if raw.isascii():
        return _without_nul(raw.decode("ascii"), None)
    return _without_nul(raw.decode("latin-1"), _NOT_DEFAULT)


def _text(raw: bytes, character_set: CharacterSet) -> tuple[str, str | None]:
    raw = raw.rstrip(_PADDING_BYTES)
    if raw.isascii() and _ESCAPE not in raw:
        return _without_nul(raw.decode("ascii"), None)
    return _without_nul(*character_set.decode(raw))


def _without_nul(text: str, complaint: str | None) -> tuple[str, str | None]:
    """Replace NUL within a text: databases behind cannot keep it."""
    if "\0" in text:
        return text.replace("\0", "\ufffd"), "A value has NUL characters."
    return text, complaint


def _several(text: str) -> list[Any]:
    text = text.strip(PADDING)
    if "\\" in text:
        return [part.strip(PADDING) or None for part in text.split("\\")]
    return [text] if text else []


def _codes(raw: bytes, _: CharacterSet) -> Converted:
    """AE, AS, CS."""
    text, complaint = _ascii(raw)
    return _several(text), complaint


def _strings(raw: bytes, character_set: CharacterSet) -> Converted:
    """LO, SH."""
    text, complaint = _text(raw, character_set)
    return _several(text), complaint


def _unlimited_strings(raw: bytes, character_set: CharacterSet) -> Converted:
    """UC: leading spaces are significant."""
    text, complaint = _text(raw, character_set)
    text = text.rstrip(PADDING)
    if "\\" in text:
        return [part.rstrip(PADDING) or None for part in text.split("\\")], complaint
    return ([text] if text else []), complaint


def _one_text(raw: bytes, character_set: CharacterSet) -> Converted:
    """LT, ST, UT: a backslash is a character like any other."""
    text, complaint = _text(raw, character_set)
    text = text.rstrip(PADDING)
    return ([text] if text else []), complaint


def _address(raw: bytes, _: CharacterSet) -> Converted:
    """UR."""
    text, complaint = _ascii(raw)
    text = text.strip(PADDING)
    return ([text] if text else []), complaint


def _checked(is_valid: Callable[[str], object], complaint: str) -> Convert:
    """DA, TM, DT, UI."""

    def convert(raw: bytes, _: CharacterSet) -> Converted:
        text, problem = _ascii(raw)
        values = _several(text)
        for value in values:
            if value is not None and not is_valid(value):
                problem = complaint
        return values, problem

    return convert


def _names(raw: bytes, character_set: CharacterSet) -> Converted:
    """PN: component groups for three scripts (PS3.5 §6.2.1)."""
    text, complaint = _text(raw, character_set)
    text = text.strip(PADDING)
    if not text:
        return [], complaint
    if "=" not in text and "\\" not in text:
        return [{"Alphabetic": text}], complaint
    names: list[dict[str, str] | None] = []
    for name in text.split("\\"):
        groups = [group.strip(PADDING) for group in name.split("=")]
        if len(groups) > len(_COMPONENT_GROUPS):
            complaint = "A person name has more than three component groups."
        pairs = zip(_COMPONENT_GROUPS, groups, strict=False)
        names.append({script: group for script, group in pairs if group} or None)
    return ([] if names == [None] else names), complaint


def as_integer(text: str) -> int | str:
    """Return a number, or the text of one that JSON readers would round. Raises ValueError, OverflowError."""
    try:
        number = int(text)
    except ValueError:
        decimal = float(text)
        if not decimal.is_integer():  # "1.0" is seen in the wild
            raise
        number = int(decimal)
    return number if -LARGEST_EXACT <= number <= LARGEST_EXACT else text


def as_decimal(text: str) -> float | str:
    """Return a number, or the text of one that JSON readers would round. Raises ValueError, OverflowError."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    if abs(number) >= LARGEST_EXACT and text.lstrip("+-").isdecimal():
        return text
    return number


def _number_strings(parse: Callable[[str], int | float | str], complaint: str) -> Convert:
    """DS, IS."""

    def convert(raw: bytes, _: CharacterSet) -> Converted:
        text, problem = _ascii(raw)
        values = _several(text)
        if "_" in text:  # which Python would take for a separator of digits
            return values, complaint
        for place, value in enumerate(values):
            if value is None:
                continue
            try:
                values[place] = parse(value)
            except (ValueError, OverflowError):
                problem = complaint
        return values, problem

    return convert


def _numbers(vr: str, order: str) -> Convert:
    """US, SS, UL, SL."""
    code, size = _STRUCT_CODE[vr], _BYTES_OF_UNIT[vr]
    single = Struct(order + code).unpack

    def convert(raw: bytes, _: CharacterSet) -> Converted:
        length = len(raw)
        if length == size:
            return [*single(raw)], None
        if length % size:
            raise NotOfItsVR
        return [*unpack(f"{order}{length // size}{code}", raw)], None

    return convert


def _floats(vr: str, order: str) -> Convert:
    """FL, FD: what is no finite number is a string (PS3.18 §F.2.3)."""
    numbers = _numbers(vr, order)

    def convert(raw: bytes, character_set: CharacterSet) -> Converted:
        values, _ = numbers(raw, character_set)
        for place, value in enumerate(values):
            if not isfinite(value):
                values[place] = "NaN" if value != value else "inf" if value > 0 else "-inf"  # noqa: PLR0124
        return values, None

    return convert


def _very_long(vr: str, order: str) -> Convert:
    """SV, UV: a number that JSON readers would round is a string (PS3.18 §F.2.3)."""
    numbers = _numbers(vr, order)

    def convert(raw: bytes, character_set: CharacterSet) -> Converted:
        values, _ = numbers(raw, character_set)
        return [v if -LARGEST_EXACT <= v <= LARGEST_EXACT else str(v) for v in values], None

    return convert


def _tags(order: str) -> Convert:
    """AT."""

    def convert(raw: bytes, _: CharacterSet) -> Converted:
        if len(raw) % 4:
            raise NotOfItsVR
        words = unpack(f"{order}{len(raw) // 2}H", raw)
        pairs = zip(words[::2], words[1::2], strict=True)
        return [f"{group:04X}{element:04X}" for group, element in pairs], None

    return convert


def _conversions(order: str) -> Mapping[str, Convert]:
    table: dict[str, Convert] = {
        **dict.fromkeys(("AE", "AS", "CS"), _codes),
        **dict.fromkeys(("LO", "SH"), _strings),
        **dict.fromkeys(("LT", "ST", "UT"), _one_text),
        "UC": _unlimited_strings,
        "UR": _address,
        "PN": _names,
        "DS": _number_strings(as_decimal, "A value is no decimal number."),
        "IS": _number_strings(as_integer, "A value is no integer."),
        "DA": _checked(parse_date, "A value is no date."),
        "TM": _checked(parse_time, "A value is no time."),
        "DT": _checked(parse_date_time, "A value is no date and time."),
        "UI": _checked(is_uid, "A value is no UID."),
        "AT": _tags(order),
    }
    for vr in ("US", "SS", "UL", "SL"):
        table[vr] = _numbers(vr, order)
    for vr in ("FL", "FD"):
        table[vr] = _floats(vr, order)
    for vr in ("SV", "UV"):
        table[vr] = _very_long(vr, order)
    return table


LITTLE_ENDIAN = _conversions("<")
BIG_ENDIAN = _conversions(">")


def unit_bytes(vr: str) -> int:
    """Return how many bytes of a value are in reverse in big endian; 1 is none (PS3.5 §7.3)."""
    return BINARY_WORD.get(vr) or _BYTES_OF_UNIT.get(vr, 1)


def in_little_endian(vr: str, raw: bytes) -> bytes:
    """Return a big-endian value in little endian: as InlineBinary has it (PS3.18 §F.2.7, PS3.5 §7.3)."""
    size = unit_bytes(vr)
    if size == 1 or len(raw) % size:
        return raw
    swapped = bytearray(len(raw))
    for place in range(size):
        swapped[place::size] = raw[size - 1 - place :: size]
    return bytes(swapped)
