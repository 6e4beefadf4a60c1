"""Values of the DICOM JSON Model as bytes of Explicit VR Little Endian, in UTF-8 (PS3.18 §F.2, PS3.5 §6.2).

Strategy: one function for each kind of VR takes the values of an element and returns the bytes of its value
field, still without padding, and what had to be changed. A number in the place of a text, or a text that is a
number, is taken for what it says.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from struct import error as struct_error
from struct import pack
from typing import Any

from pydicom.valuerep import format_number_as_ds

from app.dicom.tag import is_tag

Encoded = tuple[bytes, str | None]  # the value field, and what was changed
Encode = Callable[[Sequence[Any]], Encoded]

_LONGEST_DS = 16  # characters
_SCRIPTS = ("Alphabetic", "Ideographic", "Phonetic")
_CODES = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_ROUNDED = "A number was rounded to the 16 characters that a DS can have."


class NotEncodable(Exception):
    """The values are none that the VR can have; the text says why and repeats no value."""


def inline_binary(text: Any) -> bytes:
    """Return the bytes of an InlineBinary. Raises NotEncodable."""
    if not isinstance(text, str):
        raise NotEncodable("its InlineBinary is no text")
    try:
        return a2b_base64("".join(text.split()), strict_mode=True)
    except (Base64Error, UnicodeError, ValueError) as exc:
        raise NotEncodable("its InlineBinary is no base64") from exc


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise NotEncodable("it has half a surrogate pair") from exc


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise NotEncodable("a value is no text")


def _strings(values: Sequence[Any]) -> Encoded:
    """AE, AS, CS, DA, DT, LO, SH, TM, UC, UI."""
    return _utf8("\\".join(map(_text, values))), None


def _one_text(values: Sequence[Any]) -> Encoded:
    """LT, ST, UR, UT."""
    if len(values) > 1:
        raise NotEncodable("it has several values, and can have one")
    return _utf8(_text(values[0])) if values else b"", None


def _decimals(values: Sequence[Any]) -> Encoded:
    """DS."""
    texts = []
    rounded = None
    for value in values:
        text = _text(value)
        if isinstance(value, float) and text.endswith(".0"):
            text = text[:-2]
        if len(text) > _LONGEST_DS and not isinstance(value, str):
            try:
                text = format_number_as_ds(float(value))
            except (ValueError, OverflowError) as exc:
                raise NotEncodable("a value is no finite number") from exc
            rounded = _ROUNDED
        texts.append(text)
    return _utf8("\\".join(texts)), rounded


def _integers(values: Sequence[Any]) -> Encoded:
    """IS."""
    whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]
    if any(isinstance(value, float) for value in whole):
        raise NotEncodable("a value is no integer")
    return _strings(whole)


def _names(values: Sequence[Any]) -> Encoded:
    """PN: component groups for three scripts (PS3.18 §F.2.2)."""
    return _utf8("\\".join(map(_name, values))), None


def _name(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _text(value)  # as some write it
    if not all(script in _SCRIPTS for script in value):
        raise NotEncodable("a name has a member that is none of Alphabetic, Ideographic, Phonetic")
    return "=".join(_text(value.get(script)) for script in _SCRIPTS).rstrip("=")


def _numbers(vr: str) -> Encode:
    code = _CODES[vr]
    convert = float if vr in ("FD", "FL") else _integer

    def encode(values: Sequence[Any]) -> Encoded:
        try:
            return pack(f"<{len(values)}{code}", *map(convert, values)), None
        except (struct_error, TypeError, ValueError, OverflowError) as exc:
            raise NotEncodable(f"a value is no number that {vr} can have") from exc

    return encode


def _integer(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    return int(value)


def _tags(values: Sequence[Any]) -> Encoded:
    """AT."""
    raw = b""
    for value in values:
        tag = value.upper() if isinstance(value, str) else ""
        if not is_tag(tag):
            raise NotEncodable("a value is no tag of 8 hex digits")
        raw += pack("<HH", int(tag[:4], 16), int(tag[4:], 16))
    return raw, None


ENCODINGS: Mapping[str, Encode] = {
    **dict.fromkeys(("AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC", "UI"), _strings),
    **dict.fromkeys(("LT", "ST", "UR", "UT"), _one_text),
    **{vr: _numbers(vr) for vr in _CODES},
    "AT": _tags,
    "DS": _decimals,
    "IS": _integers,
    "PN": _names,
}
