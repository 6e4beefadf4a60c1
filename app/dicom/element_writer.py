"""Elements written in the encoding of the data set that they are put into (PS3.5 §7.1).

Strategy: what a correction puts into an object is text and sequences of text, so nothing here depends on the
order of bytes but headers. Sequences and items are written with their lengths.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

from app.dicom.character_encoding import Terms, encode
from app.dicom.element_header import ITEM, ITEM_GROUP, Encoding
from app.dicom.values import LONG_VRS

_IMPLICIT, _IMPLICIT_BIG = Struct("<HHI").pack, Struct(">HHI").pack
_SHORT, _SHORT_BIG = Struct("<HH2sH").pack, Struct(">HH2sH").pack
_LONG, _LONG_BIG = Struct("<HH2sHI").pack, Struct(">HH2sHI").pack
_LONGEST_SHORT = 0xFFFF
_PADDED_BY_NUL = frozenset({"UI", "OB", "UN"})
_SCRIPTS = ("Alphabetic", "Ideographic", "Phonetic")


class NotInCharacterSet(Exception):
    """A text has characters that the character set of the data set lacks."""


def header(encoding: Encoding, tag: int, vr: str, length: int) -> bytes:
    """Return the header of an element; without a VR where that is empty, or the encoding has none."""
    group, number = tag >> 16, tag & 0xFFFF
    if not vr or not encoding.explicit:
        return (_IMPLICIT if encoding.little else _IMPLICIT_BIG)(group, number, length)
    if vr not in LONG_VRS:
        if length <= _LONGEST_SHORT:
            return (_SHORT if encoding.little else _SHORT_BIG)(group, number, vr.encode(), length)
        vr = "UN"  # PS3.5 §6.2.2: a value too long for the header of its VR
    return (_LONG if encoding.little else _LONG_BIG)(group, number, vr.encode(), 0, length)


def item_header(encoding: Encoding, number: int, length: int) -> bytes:
    """Return the header of an item or a delimiter."""
    return (_IMPLICIT if encoding.little else _IMPLICIT_BIG)(ITEM_GROUP, number, length)


def item(encoding: Encoding, content: bytes) -> bytes:
    """Return an item of a sequence."""
    return item_header(encoding, ITEM, len(content)) + content


def plain(encoding: Encoding, tag: int, vr: str, value: bytes) -> bytes:
    """Return an element, its value padded to even length (PS3.5 §7.1.2)."""
    if len(value) % 2:
        value += b"\0" if vr in _PADDED_BY_NUL else b" "
    return header(encoding, tag, vr, len(value)) + value


def from_json(encoding: Encoding, tag: int, element: Mapping[str, Any], terms: Terms) -> bytes:
    """Return an element of the DICOM JSON Model that is text or a sequence. Raises NotInCharacterSet."""
    vr, values = element["vr"], element.get("Value", [])
    if vr == "SQ":
        items = (item(encoding, data_set(encoding, each or {}, terms)) for each in values)
        return plain(encoding, tag, vr, b"".join(items))
    raw = encode(text_of(vr, values), terms)
    if raw is None:
        raise NotInCharacterSet
    return plain(encoding, tag, vr, raw)


def data_set(encoding: Encoding, attributes: Mapping[str, Any], terms: Terms) -> bytes:
    """Return the elements of a DICOM JSON object, ascending. Raises NotInCharacterSet."""
    return b"".join(
        from_json(encoding, int(key, 16), element, terms)
        for key, element in sorted(attributes.items())
    )


def text_of(vr: str, values: Sequence[Any]) -> str:
    """Return the text of an element as its value field has it (PS3.5 §6.2)."""
    if vr == "PN":
        return "\\".join(_name(value or {}) for value in values)
    return "\\".join("" if value is None else str(value) for value in values)


def _name(value: Mapping[str, str]) -> str:
    return "=".join(value.get(script, "") for script in _SCRIPTS).rstrip("=")
