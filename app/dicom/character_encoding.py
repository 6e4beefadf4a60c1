"""Text as bytes of the character sets that (0008,0005) declares (PS3.5 §6.1, PS3.3 §C.12.1.1.2).

Strategy: with code extensions each component of a value is written in one set: the initial one, or one that an
escape sequence of its own designates, since every delimiter brings back the initial ones (PS3.5 §6.1.2.5.3).
What was made counts only if it reads back as the same text; else the declared sets cannot say it.
"""

import re
from collections.abc import Sequence

from app.dicom.character_set import STAND_ALONE, character_set, codecs_of

UTF_8 = "ISO_IR 192"
Terms = tuple[str | None, ...]

_COMPONENT = re.compile(r"([\\^=\t\n\f\r])")
_ASCII_AGAIN = b"\x1b(B"
_KATAKANA = "shift_jis"  # of which a single byte is JIS X 0201
# codec -> the escape sequence that designates its half of 8-bit bytes
_DESIGNATE_G1 = {
    _KATAKANA: b"\x1b)I",
    "latin_1": b"\x1b-A",
    "iso8859_2": b"\x1b-B",
    "iso8859_3": b"\x1b-C",
    "iso8859_4": b"\x1b-D",
    "iso_ir_144": b"\x1b-L",
    "iso_ir_127": b"\x1b-G",
    "iso_ir_126": b"\x1b-F",
    "iso_ir_138": b"\x1b-H",
    "iso_ir_148": b"\x1b-M",
    "iso_ir_166": b"\x1b-T",
    "iso8859_15": b"\x1b-b",
    "euc_kr": b"\x1b$)C",
    "iso_ir_58": b"\x1b$)A",
}
# codecs that write escape sequences themselves -> the one that each may write
_DESIGNATES_G0 = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}
_ESCAPES = re.compile(rb"\x1b(?:\$[()]?[@-D]|[(.][A-J])")


def encode(text: str, terms: Terms) -> bytes | None:
    """Return text in the declared character sets, None where they cannot say it."""
    if text.isascii():
        return None if "\x1b" in text else text.encode("ascii")
    codecs = codecs_of(terms)
    initial = codecs[0] if codecs else None
    if initial is not None and (len(codecs) == 1 or initial in STAND_ALONE):
        raw = _in_codec(text, initial)
    else:
        parts = [_component(part, initial, codecs[1:]) for part in _COMPONENT.split(text)]
        raw = None if None in parts else b"".join(part or b"" for part in parts)
    if raw is None or character_set(terms)[0].decode(raw) != (text, None):
        return None
    return raw


def _component(text: str, initial: str | None, extensions: Sequence[str | None]) -> bytes | None:
    if text.isascii():
        return text.encode("ascii")
    if initial is not None and (raw := _in_codec(text, initial)) is not None:
        return raw
    for codec in filter(None, extensions):
        if codec in _DESIGNATES_G0:
            raw = _try(text, codec)
            allowed = {_DESIGNATES_G0[codec], _ASCII_AGAIN}
            if raw is not None and set(_ESCAPES.findall(raw)) <= allowed:
                return raw
        elif codec in _DESIGNATE_G1 and (raw := _in_codec(text, codec)) is not None:
            return _DESIGNATE_G1[codec] + raw
    return None


def _in_codec(text: str, codec: str) -> bytes | None:
    raw = _try(text, codec)
    # what Shift JIS has beyond single bytes is no part of JIS X 0201
    return None if raw is not None and codec == _KATAKANA and len(raw) != len(text) else raw


def _try(text: str, codec: str) -> bytes | None:
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return None
