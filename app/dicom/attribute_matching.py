"""The kinds of matching that a query can ask for (PS3.4 §C.2.2.2), and how a key's value chooses one."""

import re
from dataclasses import dataclass

from app.dicom.temporal import Moments, parse_date, parse_date_bound, parse_date_time, parse_time
from app.dicom.wildcard_pattern import simplified

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
MULTIPLE_VALUE_VRS = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})
UNMATCHED_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ"})
UNKNOWN_VR = "UN"
_PATTERN_VRS = WILDCARD_VRS | {UNKNOWN_VR}

_TEMPORAL = {"DA": parse_date, "TM": parse_time, "DT": parse_date_time}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER_RANGE = re.compile(rf"({_NUMBER})?\s*-\s*({_NUMBER})?")
_DATE_TIME_RANGE = re.compile(r"([\d.]+(?:[+-]\d{4}(?![\d.]))?)?\s*-\s*([\d.]+(?:[+-]\d{4})?)?")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_LONGEST_UID = 64
EMPTY_VALUE = '""'


@dataclass(frozen=True, slots=True)
class Universal:
    """Any value, and none (§C.2.2.2.3); the attribute is to be returned."""


@dataclass(frozen=True, slots=True)
class Empty:
    """No value, or no such attribute (Empty Value Matching)."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these values: Single Value Matching and List of UID Matching (§C.2.2.2.1, §C.2.2.2.2)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Each of these values: Multiple Value Matching (§C.2.2.2.8)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A pattern with `*` and `?` (§C.2.2.2.4)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Words:
    """Person names with words that start like each of these: what fuzzymatching does here."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers from `low` to `high`, both included; None is unbounded."""

    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Times:
    """Moments from `low` to `high`, in the form of `app.dicom.temporal`, both included (§C.2.2.2.5)."""

    low: str | None
    high: str | None
    utc: bool = False  # compared in UTC, because the key has an offset


Matching = Universal | Empty | AnyOf | AllOf | Wildcard | Words | Numbers | Times


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
    if vr in _TEMPORAL:
        return _times(vr, value)
    if vr in NUMBER_VRS:
        return _numbers(value)
    if "\\" in value and flags.multiplevaluematching and vr in MULTIPLE_VALUE_VRS:
        return _all_of(value)
    return None if vr in UNMATCHED_VRS else _text(vr, value, flags)


def _text(vr: str, value: str, flags: Flags) -> Matching | None:
    if vr == "UI":
        return _uids(value)
    if vr == "AT":
        return AnyOf((value.upper(),)) if _TAG.fullmatch(value) else None
    if vr == "CS" and re.search(r"[,\\]", value):
        return _alternatives(value)
    if vr == "PN" and flags.fuzzymatching:
        words = tuple(word for word in re.split(r"[\s^=,*?]+", value) if word)
        return Words(words) if words else Universal()
    if vr in _PATTERN_VRS and ("*" in value or "?" in value):
        return Wildcard(simplified(value))
    return AnyOf((value,))


def _alternatives(value: str) -> Matching | None:
    """Return the values of a list; a CS holds no comma, and viewers list modalities this way."""
    texts = tuple(
        dict.fromkeys(text for part in re.split(r"[,\\]", value) if (text := part.strip()))
    )
    if not texts or any("*" in text or "?" in text for text in texts):
        return None
    return AnyOf(texts)


def _all_of(value: str) -> Matching | None:
    values = tuple(part.strip() for part in value.split("\\"))
    if not all(values) or any("*" in part or "?" in part for part in values):
        return None
    return AllOf(values)


def _uids(value: str) -> Matching | None:
    uids = tuple(dict.fromkeys(part.strip() for part in re.split(r"[,\\]", value)))
    valid = all(_UID.fullmatch(uid) and len(uid) <= _LONGEST_UID for uid in uids)
    return AnyOf(uids) if valid else None


def _numbers(value: str) -> Matching | None:
    if re.fullmatch(_NUMBER, value):
        return Numbers(float(value), float(value))
    found = _NUMBER_RANGE.fullmatch(value)
    if found is None or not any(found.groups()):
        return None
    low, high = (float(bound) if bound else None for bound in found.groups())
    return None if low is not None and high is not None and low > high else Numbers(low, high)


def _times(vr: str, value: str) -> Matching | None:
    parse = _TEMPORAL[vr]
    single = parse(value)
    if single is not None:
        return _between(single, single)
    if vr == "DT":
        found = _DATE_TIME_RANGE.fullmatch(value)
        bounds = found.groups() if found is not None else ()
    else:
        bounds = tuple(value.split("-"))
    if len(bounds) != 2 or not any(bounds):  # noqa: PLR2004
        return None
    parse = parse_date_bound if vr == "DA" else parse
    low, high = (parse(bound) if bound and bound.strip() else None for bound in bounds)
    if any(bound and bound.strip() and not parse(bound) for bound in bounds):
        return None
    return _between(low, high)


def _between(low: Moments | None, high: Moments | None) -> Matching | None:
    utc = any(end is not None and end.offset_minutes is not None for end in (low, high))
    if utc:
        low = low.utc() if low is not None else None
        high = high.utc() if high is not None else None
    first = low.earliest if low is not None else None
    last = high.latest if high is not None else None
    return None if first and last and first > last else Times(first, last, utc)
