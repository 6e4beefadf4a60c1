"""The kinds of matching that a query can ask for (PS3.4 §C.2.2.2), and how a key's value chooses one."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from app.dicom.range_matching import (
    TEMPORAL_VRS,
    DateAndTime,
    Numbers,
    Times,
    parse_numbers,
    parse_times,
)
from app.dicom.wildcard_pattern import simplified

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
MULTIPLE_VALUE_VRS = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})
UNMATCHED_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ"})
UNKNOWN_VR = "UN"
_TRIED_VRS = ("LO", "PN", "DS", "DA", "TM", "DT")  # for a value whose VR nobody knows
_PATTERN_VRS = WILDCARD_VRS | {UNKNOWN_VR}

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_LONGEST_UID = 64
_NAME_DELIMITERS = "^= "
EMPTY_VALUE = '""'


@dataclass(frozen=True, slots=True)
class Universal:
    """Any value, and none (§C.2.2.2.3); the attribute is to be returned."""


@dataclass(frozen=True, slots=True)
class Empty:
    """No value, or no such attribute (Empty Value Matching, §C.2.2.2.7)."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these values: Single Value Matching and List of UID Matching (§C.2.2.2.1, §C.2.2.2.2)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A pattern with `*` and `?` (§C.2.2.2.4)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """Person names that match literally, or that have a word like each of the text's (§C.2.2.2.1.1).

    A word is like another that begins with it in any script and spelling, or that sounds the same.
    """

    text: str
    literal: AnyOf | Wildcard


@dataclass(frozen=True, slots=True)
class AllOf:
    """Each of these is met by some value: Multiple Value Matching (§C.2.2.2.8)."""

    matchings: tuple["Matching", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """What the text means in whichever VR the attribute turns out to have: nobody knows it here."""

    readings: tuple[tuple[str, "Matching"], ...]  # VR and matching


Matching: TypeAlias = (
    Universal | Empty | AnyOf | Wildcard | Fuzzy | Numbers | Times | DateAndTime | AllOf | Either
)


@dataclass(frozen=True, slots=True)
class Flags:
    """What a request turned on."""

    fuzzymatching: bool = False
    emptyvaluematching: bool = False
    multiplevaluematching: bool = False


def matching_of(vr: str, value: str, flags: Flags) -> Matching | None:
    """Return the matching that a key's value asks for, or None where the value is not valid."""
    value = value.strip(" \0")
    if value == "" or (vr in _PATTERN_VRS and value.strip("*") == ""):
        return Universal()
    if value == EMPTY_VALUE and flags.emptyvaluematching:
        return Empty()
    return _not_empty(vr, value, flags)


def _not_empty(vr: str, value: str, flags: Flags) -> Matching | None:
    if vr == UNKNOWN_VR:
        return _either(value, flags)
    if vr in TEMPORAL_VRS:
        return parse_times(vr, value)
    if vr in NUMBER_VRS:
        return parse_numbers(value)
    if "\\" in value and vr in MULTIPLE_VALUE_VRS:
        return _several(vr, value, flags)
    return None if vr in UNMATCHED_VRS else _one(vr, value, flags)


def _either(value: str, flags: Flags) -> Matching | None:
    """Return every reading that a value allows whose VR is unknown."""
    readings = tuple(
        (vr, found)
        for vr in _TRIED_VRS
        if (found := matching_of(vr, value, flags)) is not None and not isinstance(found, Universal)
    )
    return Either(readings) if readings else None


def _several(vr: str, value: str, flags: Flags) -> Matching | None:
    """Return the matching of a list: all of its values where that is turned on, else one of them.

    Without the flag the standard leaves the meaning open; clients mean what a list of UIDs means.
    """
    values = tuple(dict.fromkeys(part.strip() for part in value.split("\\") if part.strip()))
    found = tuple(each for one in values if (each := _one(vr, one, flags)) is not None)
    if not found or len(found) < len(values) or _has_wildcard(value):  # §C.2.2.2.8: no wildcards
        return None
    if flags.multiplevaluematching:
        return AllOf(found)
    if all(isinstance(each, AnyOf) for each in found):
        return AnyOf(tuple(one for each in found if isinstance(each, AnyOf) for one in each.values))
    return Either(tuple((vr, each) for each in found))


def _one(vr: str, value: str, flags: Flags) -> Matching | None:
    match vr:
        case "UI":
            return _uids(value)
        case "AT":
            return AnyOf((value.upper(),)) if _TAG.fullmatch(value) else None
        case "CS" if "," in value:  # a CS holds no comma, and viewers list modalities this way
            listed = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
            return None if not listed or _has_wildcard(value) else AnyOf(listed)
        case "PN" if not value.strip(_NAME_DELIMITERS):
            return Universal()
        case _:
            literal = vr in WILDCARD_VRS and _has_wildcard(value)
            found = Wildcard(simplified(value)) if literal else AnyOf((value,))
            return Fuzzy(value, found) if vr == "PN" and flags.fuzzymatching else found


def _uids(value: str) -> Matching | None:
    uids = tuple(dict.fromkeys(part.strip() for part in re.split(r"[,\\]", value)))
    valid = all(_UID.fullmatch(uid) and len(uid) <= _LONGEST_UID for uid in uids)
    return AnyOf(uids) if valid else None


def _has_wildcard(value: str) -> bool:
    return "*" in value or "?" in value
