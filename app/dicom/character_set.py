"""Text in the character sets of (0008,0005), with their code extensions (PS3.5 §6.1, PS3.3 §C.12.1.1.2).

Strategy: bytes that are plain ASCII never come here. Without an escape sequence a value is decoded in one
go by the codec of the first value of (0008,0005). With escape sequences it is cut into pieces that are an
escape sequence, a control character, a stretch of 7-bit or a stretch of 8-bit bytes; an escape sequence
designates the codec of the 7-bit (G0) or the 8-bit half (G1), and delimiters and control characters bring
back the initial ones (PS3.5 §6.1.2.5.3).
"""

import re
from dataclasses import dataclass

from pydicom.charset import python_encoding

_ASCII = "ascii"
_NOT_DECODABLE = (
    "The value cannot be decoded in its character set; replacement characters stand in."
)
_NOT_DECLARED = "The value has characters beyond ASCII, but no character set is declared for them."

_G0 = {
    b"\x1b(B": _ASCII,
    b"\x1b(J": "shift_jis",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
}
_G1 = {
    b"\x1b)I": "shift_jis",
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "iso8859_11",
    b"\x1b-b": "iso8859_15",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb2312",
}
_TWO_BYTE_G0 = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}
_PIECE = re.compile(
    rb"(?P<escape>\x1b(?:\$[()][ACD]|\$B|\([BJ]|\)I|-[A-Zb]))"
    rb"|(?P<high>[\x80-\xff]+)|(?P<control>[\x00-\x1a\x1c-\x1f]+)|(?P<low>[\x20-\x7f]+)"
)
_DELIMITERS = re.compile(rb"[\\^=]")

# PS3.3 Tables C.12-2 to C.12-5; pydicom lists them all but this one
_ENCODINGS = {**python_encoding, "ISO_IR 203": "iso8859_15", "ISO 2022 IR 203": "iso8859_15"}
_EXTENSIONS = {"ISO 2022 IR 149": "euc_kr", "ISO 2022 IR 58": "gb2312"}
STAND_ALONE = frozenset({"UTF8", "GB18030", "GBK"})
_MISSPELT = re.compile(r"ISO[ _-]*(2022)?[ _-]*IR[ _-]*(\d+)")


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """How the text values of a data set are encoded."""

    # the codec where no escape sequence says otherwise; None: default repertoire
    initial: str | None
    # a codec that the default repertoire is extended by; some senders leave its escape sequences out
    extension: str | None = None

    def decode(self, raw: bytes) -> tuple[str, str | None]:
        """Return the text, and what was wrong with it if anything was."""
        initial = self.initial
        if b"\x1b" in raw and initial not in STAND_ALONE:
            return _decode_extended(raw, initial or _ASCII)
        if initial is None:
            return _decode_undeclared(raw, self.extension)
        return _decode(raw, initial)


DEFAULT_REPERTOIRE = CharacterSet(None)


def character_set(terms: tuple[str | None, ...]) -> tuple[CharacterSet, str | None]:
    """Return the character set that the values of (0008,0005) declare, and a complaint about them."""
    complaint = None
    if any((term or "") not in _ENCODINGS for term in terms):
        complaint = "A value is no defined term for a character set."
    codecs = codecs_of(terms)
    first = codecs[0] if codecs else None
    if not terms or terms[0] in {None, "", "ISO_IR 6", "ISO 2022 IR 6"} or first is None:
        extensions = (_EXTENSIONS.get(term or "") for term in terms)
        return CharacterSet(None, next(filter(None, extensions), None)), complaint
    return CharacterSet(first), complaint


def codecs_of(terms: tuple[str | None, ...]) -> list[str | None]:
    """Return the codec of each term, None of one that is none."""
    return [_ENCODINGS.get(term or "") or _ENCODINGS.get(_respelt(term or "")) for term in terms]


def _respelt(term: str) -> str:
    """Return the defined term that a misspelt one stands for (`ISO-IR 100`, `ISO2022IR87`)."""
    found = _MISSPELT.fullmatch(term.strip().upper())
    if found is None:
        return term.strip().upper()
    extended, number = found.groups()
    return f"ISO 2022 IR {number}" if extended else f"ISO_IR {number}"


def _decode(raw: bytes, codec: str) -> tuple[str, str | None]:
    try:
        return raw.decode(codec), None
    except UnicodeDecodeError:
        return raw.decode(codec, "replace"), _NOT_DECODABLE


def _decode_undeclared(raw: bytes, extension: str | None) -> tuple[str, str | None]:
    """Return text beyond ASCII that should not be: what senders mean by it, most likely first."""
    for codec in filter(None, ("utf-8", extension)):
        try:
            return raw.decode(codec), _NOT_DECLARED
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), _NOT_DECLARED


def _decode_extended(raw: bytes, initial: str) -> tuple[str, str | None]:
    g0, g1 = _ASCII, initial
    complaint = None
    text: list[str] = []
    end = 0
    for piece in _PIECE.finditer(raw):
        if piece.start() != end:
            text.append("�")
            complaint = _NOT_DECODABLE
        end = piece.end()
        found = piece[0]
        match piece.lastgroup:
            case "escape":
                g0, g1 = _G0.get(found, g0), _G1.get(found, g1)
                continue
            case "high" if g1 == _ASCII:
                part, problem = _decode_undeclared(found, None)
            case "high":
                part, problem = _decode(found, g1)
            case "low" if g0 in _TWO_BYTE_G0:
                part, problem = _decode(_TWO_BYTE_G0[g0] + found, g0)
            case "low":
                part, problem = found.decode(_ASCII), None
                if _DELIMITERS.search(found):
                    g0, g1 = _ASCII, initial
            case _:
                part, problem = found.decode(_ASCII), None
                g0, g1 = _ASCII, initial
        text.append(part)
        complaint = complaint or problem
    if end != len(raw):
        complaint = _NOT_DECODABLE
    return "".join(text), complaint
