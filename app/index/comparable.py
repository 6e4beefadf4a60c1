"""Values in the form in which they are compared, one function for the index and the query alike.

Each form of a value starts with a mark that says what it is, so that forms of one kind are found by a query
of that kind only, whatever VR an attribute has in which object:

    =  text as it is: equality, wildcards
    ^  a folded component group of a person name: equality, wildcards
    ~  one word of a person name as it is spelled everywhere (`app.dicom.person_name`): prefixes
    !  what such a word sounds like
    #  a number, in hex digits whose order as text is the order of the numbers: equality, ranges
    /  a date,  :  a time,  &  a date-time: ranges
    @  a date-time in UTC: ranges between values that carry an offset

Folding makes person names case- and accent-insensitive (PS3.4 §C.2.2.2.1); everything else is compared
as it stands, without the spaces around it.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from app.dicom.attribute_matching import NUMBER_VRS
from app.dicom.person_name import folded_name, sound, spellings
from app.dicom.temporal import Moments, parse_date, parse_date_time, parse_time

TEXT, NAME, WORD, SOUND, NUMBER, UTC = "=", "^", "~", "!", "#", "@"
TEMPORAL = {"DA": "/", "TM": ":", "DT": "&"}

TEXT_VRS = frozenset({"AE", "AS", "AT", "CS", "LO", "LT", "SH", "ST", "UC", "UI", "UR", "UT"})

_SIGN = 1 << 63
_ALL = (1 << 64) - 1
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_NAMES_KNOWN = 4096  # a study's instances share theirs


def ordered_number(value: float) -> str:
    """Return hex digits that sort as numbers do; numbers are told apart as IEEE doubles."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))  # -0.0 becomes 0.0
    bits = bits ^ _ALL if bits & _SIGN else bits | _SIGN
    return f"{bits:016X}".rstrip("0")


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
        if isinstance(group, str):
            forms += _group_forms(group)
    return forms


@lru_cache(maxsize=_NAMES_KNOWN)
def _group_forms(group: str) -> tuple[str, ...]:
    """Return the forms of one component group of a person name."""
    name = folded_name(group)
    if not name:
        return ()
    words = spellings(group)
    heard = dict.fromkeys(code for word in words if (code := sound(word)) is not None)
    return (NAME + name, *(WORD + word for word in words), *(SOUND + code for code in heard))


def _temporal(mark: str, parse: Callable[[str], Moments | None]) -> Callable[[Any], Sequence[str]]:
    def form(value: Any) -> Sequence[str]:
        moments = parse(value) if isinstance(value, str) else None
        return (mark + moments.earliest,) if moments is not None else ()

    return form


def _date_time(value: Any) -> Sequence[str]:
    moments = parse_date_time(value) if isinstance(value, str) else None
    if moments is None:
        return ()
    return (TEMPORAL["DT"] + moments.earliest, UTC + moments.utc().earliest)


_FORMS: Mapping[str, Callable[[Any], Sequence[str]]] = {
    **dict.fromkeys(TEXT_VRS, _text),
    **dict.fromkeys(NUMBER_VRS, _number),
    "PN": _name,
    "DA": _temporal(TEMPORAL["DA"], parse_date),
    "TM": _temporal(TEMPORAL["TM"], parse_time),
    "DT": _date_time,
}
