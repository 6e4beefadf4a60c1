"""Values in the form in which they are compared, one function for the index and the query alike.

Each form of a value starts with a mark that says which comparison it serves:

    =  text as it is, a folded person name, a date or time: equality, wildcards, ranges
    #  a number, in hex digits whose order as text is the order of the numbers: equality, ranges
    @  a date-time in UTC: ranges between values that carry an offset
    ~  one word of a person name: fuzzy matching

Folding makes person names case- and accent-insensitive (PS3.4 §C.2.2.2.1); everything else is compared
as it stands, without the spaces around it.
"""

import math
import re
import struct
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.dicom.temporal import Moments, parse_date, parse_date_time, parse_time

TEXT, NUMBER, UTC, WORD = "=", "#", "@", "~"

NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
TEXT_VRS = frozenset({"AE", "AS", "AT", "CS", "LO", "LT", "SH", "ST", "UC", "UI", "UR", "UT"})

_SIGN = 1 << 63
_ALL = (1 << 64) - 1
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_BETWEEN_WORDS = re.compile(r"[\s^=.,\-]+")
# letters that Unicode does not decompose into a base letter and an accent
_UNDECOMPOSED = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "\u0131": "i",
        "ħ": "h",
    }
)


def ordered_number(value: float) -> str:
    """Return hex digits that sort as numbers do; numbers are told apart as IEEE doubles."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))  # -0.0 becomes 0.0
    bits = bits ^ _ALL if bits & _SIGN else bits | _SIGN
    return f"{bits:016X}".rstrip("0")


def folded(text: str) -> str:
    """Return text without case and accents."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold().translate(_UNDECOMPOSED)
    letters = unicodedata.normalize("NFKD", plain)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def folded_name(group: str) -> str:
    """Return one component group of a person name, folded, without empty components at its end."""
    components = [" ".join(component.split()) for component in folded(group).split("^")]
    return "^".join(components).rstrip("^")


def name_words(folded_group: str) -> list[str]:
    """Return the words of a folded component group."""
    return [word for word in _BETWEEN_WORDS.split(folded_group) if word]


def number_of(value: object) -> float | None:
    """Return the number that a value of a numeric VR stands for, or None if it is none."""
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def forms_of(vr: str, value: Any) -> Sequence[str]:
    """Return the forms of one value of the DICOM JSON Model; none where it cannot be compared."""
    form = _FORMS.get(vr)
    return form(value) if form is not None else ()


def _text(value: Any) -> Sequence[str]:
    text = value.strip(" \0") if isinstance(value, str) else ""
    return (TEXT + text,) if text else ()


def _number(value: Any) -> Sequence[str]:
    number = number_of(value)
    return (NUMBER + ordered_number(number),) if number is not None else ()


def _name(value: Any) -> Sequence[str]:
    groups = value if isinstance(value, dict) else {"Alphabetic": value}
    forms: list[str] = []
    for label in _NAME_GROUPS:
        group = groups.get(label)
        name = folded_name(group) if isinstance(group, str) else ""
        if name:
            forms.append(TEXT + name)
            forms += [WORD + word for word in name_words(name)]
    return forms


def _temporal(parse: Callable[[str], Moments | None]) -> Callable[[Any], Sequence[str]]:
    def form(value: Any) -> Sequence[str]:
        moments = parse(value) if isinstance(value, str) else None
        return (TEXT + moments.earliest,) if moments is not None else ()

    return form


def _date_time(value: Any) -> Sequence[str]:
    moments = parse_date_time(value) if isinstance(value, str) else None
    if moments is None:
        return ()
    return (TEXT + moments.earliest, UTC + moments.utc().earliest)


_FORMS: Mapping[str, Callable[[Any], Sequence[str]]] = {
    **dict.fromkeys(TEXT_VRS, _text),
    **dict.fromkeys(NUMBER_VRS, _number),
    "PN": _name,
    "DA": _temporal(parse_date),
    "TM": _temporal(parse_time),
    "DT": _date_time,
}
