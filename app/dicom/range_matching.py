"""Ranges of dates, times and numbers, as a key writes them (PS3.4 §C.2.2.2.5).

`a-b`, `a-` and `-b`, both ends included. Of numbers, which the standard knows no ranges of, a minus that stands
right before the first number is its sign: `-5` is minus five, `-5--2` and `-5-` begin at minus five, and up to
five is written `-+5` or `- 5` (in a URL a plus is a space, so that both are the same).
"""

import re
from dataclasses import dataclass

from app.dicom.temporal import Moments, parse_date, parse_date_bound, parse_date_time, parse_time

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER_RANGE = re.compile(rf"({_NUMBER})?\s*-\s*({_NUMBER})?", re.ASCII)
_ONE_NUMBER = re.compile(_NUMBER, re.ASCII)
_DATE_TIME_RANGE = re.compile(r"([\d.]+(?:[+-]\d{4}(?![\d.]))?)?\s*-\s*([\d.]+(?:[+-]\d{4})?)?")
_LOST_PLUS = re.compile(r"(?<=\d) (?=\d{4}(?:\s*-|$))")  # in a URL a plus is a space
_PARSERS = {"DA": parse_date, "TM": parse_time, "DT": parse_date_time}
_BOUND_PARSERS = {**_PARSERS, "DA": parse_date_bound}
TEMPORAL_VRS = frozenset(_PARSERS)

_Bounds = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers from `low` to `high`, both included; None is unbounded."""

    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Times:
    """Moments from `low` to `high`, in the form of `app.dicom.temporal`, both included."""

    low: str | None
    high: str | None
    utc: bool = False  # compared in UTC, because the key has an offset


@dataclass(frozen=True, slots=True)
class DateAndTime:
    """Moments whose date is in one attribute and whose time in `time`, a tag beside it (§C.2.2.2.5.4)."""

    time: str
    low: tuple[str, str] | None  # date and time; None is unbounded
    high: tuple[str, str] | None


def parse_numbers(value: str) -> Numbers | None:
    """Return the number, or the range of numbers, that a key asks for; None if it is not valid."""
    if _ONE_NUMBER.fullmatch(value):
        return Numbers(float(value), float(value))
    found = _NUMBER_RANGE.fullmatch(value)
    if found is None or not any(found.groups()):
        return None
    low, high = (float(bound) if bound else None for bound in found.groups())
    return None if low is not None and high is not None and low > high else Numbers(low, high)


def parse_times(vr: str, value: str) -> Times | None:
    """Return the stretch of time that a DA, TM or DT key asks for, or None if it is not valid."""
    if vr == "DT":
        value = _LOST_PLUS.sub("+", value)
    single = _PARSERS[vr](value)
    if single is not None:
        return _between(single, single)
    bounds = _bounds(vr, value)
    if bounds is None:
        return None
    low, high = (_BOUND_PARSERS[vr](bound) if bound else None for bound in bounds)
    if any(bound and end is None for bound, end in zip(bounds, (low, high), strict=True)):
        return None
    return _between(low, high)


def are_ranges_alike(date: str, time: str) -> bool:
    """Tell whether a DA key and a TM key ask for ranges of the same form, which then are one range."""
    dates, times = _bounds("DA", date), _bounds("TM", time)
    return (
        dates is not None
        and times is not None
        and [bool(bound) for bound in dates] == [bool(bound) for bound in times]
    )


def parse_date_and_time(date: str, time_tag: str, time: str) -> DateAndTime | None:
    """Return the one range that two ranges of the same form are, or None if it is not valid."""
    dates, times = _bounds("DA", date) or (None, None), _bounds("TM", time) or (None, None)
    low, high = (
        (parse_date_bound(day), parse_time(clock)) if day and clock else (None, None)
        for day, clock in zip(dates, times, strict=True)
    )
    first = (low[0].earliest, low[1].earliest) if low[0] and low[1] else None
    last = (high[0].latest, high[1].latest) if high[0] and high[1] else None
    if bool(first) != bool(dates[0]) or bool(last) != bool(dates[1]):
        return None
    return None if first and last and first > last else DateAndTime(time_tag, first, last)


def _bounds(vr: str, value: str) -> _Bounds | None:
    """Return what stands before and after the hyphen, or None if the value is no range."""
    if vr == "DT":
        found = _DATE_TIME_RANGE.fullmatch(value)
        parts = list(found.groups(default="")) if found is not None else []
    else:
        parts = [part.strip() for part in value.split("-")]
    if len(parts) != 2 or not any(parts):  # noqa: PLR2004
        return None
    return parts[0] or None, parts[1] or None


def _between(low: Moments | None, high: Moments | None) -> Times | None:
    utc = any(end is not None and end.offset_minutes is not None for end in (low, high))
    if utc:
        low = low.utc() if low is not None else None
        high = high.utc() if high is not None else None
    first = low.earliest if low is not None else None
    last = high.latest if high is not None else None
    return None if first and last and first > last else Times(first, last, utc)
