"""DICOM dates and times as FHIR dates and dateTimes; a time zone is never invented."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.fhir.attributes import text

# PS3.5 Table 6.2-1: DA is YYYYMMDD; YYYY.MM.DD is what ACR-NEMA wrote and readers may accept
_DATE = re.compile(r"([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})")
# TM is HHMMSS.FFFFFF, shorter from the right; with colons in old objects
_TIME = re.compile(r"([0-9]{2})(:?)([0-9]{2})(?:\2([0-9]{2})(?:\.([0-9]{1,6}))?)?")
_OFFSET = re.compile(r"([+-])([0-9]{2})([0-9]{2})")
# DT is YYYYMMDDHHMMSS.FFFFFF&ZZXX; one that is shorter than a day is of no use here
_DATE_TIME = re.compile(r"([0-9]{8})([0-9.]*)([+-][0-9]{4})?")

_DATE_LENGTH = 10
_LEAST_OFFSET, _LARGEST_OFFSET = timedelta(hours=-12), timedelta(hours=14)


@dataclass(frozen=True, slots=True)
class _Clock:
    hour: int
    minute: int
    second: int
    fraction: str  # up to three digits, or none


def fhir_date(value: str) -> str | None:
    """Return a DA value as a FHIR date, or None where it is no day of the calendar."""
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4])).isoformat()
    except ValueError:
        return None


def fhir_date_time(
    attributes: Mapping[str, Any], *, day: str, time: str, time_zone: str | None
) -> str | None:
    """Return the attributes `day` and `time` as a FHIR dateTime.

    FHIR wants a time zone with every time (R4 §2.24.0.1). It is the data set's own
    TimezoneOffsetFromUTC, else the site's; where there is neither, the answer is the date alone.
    An hour without minutes, which FHIR cannot say, gives the date as well.
    """
    own = text(attributes, "TimezoneOffsetFromUTC")
    return date_time_of(text(attributes, day), text(attributes, time), own, time_zone)


def date_time_of(day: str, time: str, own_offset: str, time_zone: str | None) -> str | None:
    """Return a day (DA, or a DT with its time) and a time (TM) as a FHIR dateTime.

    The offset of a DT goes before that of the data set, and that before the site's.
    """
    if whole := _DATE_TIME.fullmatch(day):
        day, time, own_offset = whole[1], whole[2] or time, whole[3] or own_offset
    on = fhir_date(day)
    clock = _clock(time)
    if on is None or clock is None:
        return on
    local = datetime.fromisoformat(on).replace(
        hour=clock.hour, minute=clock.minute, second=clock.second
    )
    offset = _own_offset(own_offset)
    if offset is None and time_zone is not None:
        offset = local.replace(tzinfo=ZoneInfo(time_zone)).utcoffset()
    # before standard time zones, offsets had seconds: FHIR has none
    if offset is None or offset.total_seconds() % 60:
        return on
    return f"{local.isoformat()}{clock.fraction}{_offset_text(offset)}"


def earliest(first: str | None, second: str | None) -> str | None:
    """Return the earlier of two FHIR dateTimes; of one day with and without a time, the former.

    The choice depends on the two values alone, not on their order.
    """
    if first == second:
        return first
    known = [value for value in (first, second) if value]
    return min(known, key=_order) if known else None


def _order(value: str) -> tuple[str, bool, float, str]:
    day, is_date = value[:_DATE_LENGTH], len(value) <= _DATE_LENGTH
    try:
        instant = 0.0 if is_date else (datetime.fromisoformat(value) - _EPOCH).total_seconds()
    except (ValueError, TypeError):  # somebody else wrote what is no dateTime: it comes last
        return "~", True, 0.0, value
    return day, is_date, instant, value


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _clock(value: str) -> _Clock | None:
    match = _TIME.fullmatch(value)
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[3]), int(match[4] or 0)
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004  (the parts of a day)
        return None
    fraction = (match[5] or "")[:3]
    # a leap second has no place in most calendars: the last one before it is the nearest
    return _Clock(hour, minute, min(second, 59), f".{fraction}" if fraction else "")


def _own_offset(value: str) -> timedelta | None:
    """Return TimezoneOffsetFromUTC (PS3.3 §C.12.1.1.8) where it is one."""
    match = _OFFSET.fullmatch(value)
    if match is None or value == "-0000" or int(match[3]) > 59:  # noqa: PLR2004
        return None
    size = timedelta(hours=int(match[2]), minutes=int(match[3]))
    offset = -size if match[1] == "-" else size
    return offset if _LEAST_OFFSET <= offset <= _LARGEST_OFFSET else None


def _offset_text(offset: timedelta) -> str:
    sign = "-" if offset < timedelta(0) else "+"
    hours, minutes = divmod(int(abs(offset).total_seconds()) // 60, 60)
    return f"{sign}{hours:02}:{minutes:02}"
