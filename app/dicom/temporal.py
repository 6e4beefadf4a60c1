"""Dates and times in a form whose order as text is their order in time (PS3.5 §6.2, PS3.4 §C.2.2.2.5).

A DA becomes `YYYYMMDD`, a TM `HHMMSSFFFFFF`, a DT `YYYYMMDDHHMMSSFFFFFF`. A value that leaves its last
components out names a stretch of time: `earliest` fills them with their least value, `latest` with their
greatest. An offset from UTC is applied by `utc`.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})|(\d{4})\.(\d{2})\.(\d{2})")  # dots: ACR-NEMA
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?")
_DATE_TIME = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?"
)
_LAST_TIME = "235959999999"
_WIDEST_OFFSET_HOURS = 14


@dataclass(frozen=True, slots=True)
class Moments:
    """The stretch of time that a value names; both ends belong to it."""

    earliest: str
    latest: str
    offset_minutes: int | None = None  # from UTC, where the value says so

    def utc(self) -> "Moments":
        """Return the same stretch counted in UTC; a value without offset is taken as UTC."""
        if not self.offset_minutes:
            return self
        zone = timezone(timedelta(minutes=self.offset_minutes))
        return Moments(_in_utc(self.earliest, zone), _in_utc(self.latest, zone), 0)


def parse_date(text: str) -> Moments | None:
    """Return the day that a DA names, or None if it is not valid."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    day = "".join(part for part in found.groups() if part)
    return Moments(day, day) if _is_day(day) else None


def parse_date_bound(text: str) -> Moments | None:
    """Return the day that bounds a range, or None if it is not valid.

    Clients end any month with day 31; as text that sorts after every day of the month.
    """
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    day = "".join(part for part in found.groups() if part)
    return (
        Moments(day, day) if _is_day(f"{day[:4]}01{day[6:]}") and _is_day(f"{day[:6]}01") else None
    )


def parse_time(text: str) -> Moments | None:
    """Return the stretch of a day that a TM names, or None if it is not valid."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    hour, minute, second, fraction = found.groups()
    return _clock("", hour, minute, second, fraction)


def parse_date_time(text: str) -> Moments | None:
    """Return the stretch of time that a DT names, or None if it is not valid."""
    found = _DATE_TIME.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    first = f"{year}{month or '01'}{day or '01'}"
    if not _is_day(first):
        return None
    last_month = month or "12"
    last = f"{year}{last_month}{day or monthrange(int(year), int(last_month))[1]}"
    if hour is None:
        moments: Moments | None = Moments(first + "0" * 12, last + _LAST_TIME)
    else:
        moments = _clock(first, hour, minute, second, fraction)
    if moments is None or zone is None:
        return moments
    offset = _offset(zone)
    return None if offset is None else Moments(moments.earliest, moments.latest, offset)


def _clock(
    day: str, hour: str, minute: str | None, second: str | None, fraction: str | None
) -> Moments | None:
    if int(hour) > 23 or int(minute or 0) > 59 or int(second or 0) > 60:  # noqa: PLR2004
        return None
    given = hour + (minute or "") + (second or "") + (fraction or "")
    return Moments(day + given.ljust(12, "0"), day + given + _LAST_TIME[len(given) :])


def _is_day(digits: str) -> bool:
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:])
    return year > 0 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]  # noqa: PLR2004


def _offset(zone: str) -> int | None:
    hours, minutes = int(zone[1:3]), int(zone[3:])
    if hours > _WIDEST_OFFSET_HOURS or minutes > 59:  # noqa: PLR2004
        return None
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)


def _in_utc(moment: str, zone: timezone) -> str:
    """Return a moment in UTC; a leap second, which the clock here lacks, keeps its place."""
    second = min(int(moment[12:14]), 59)
    local = datetime.strptime(f"{moment[:12]}{second:02d}", "%Y%m%d%H%M%S").replace(tzinfo=zone)
    try:
        shifted = local.astimezone(UTC)
    except OverflowError:  # the first or last day that there is
        return moment
    return f"{shifted:%Y%m%d%H%M}{moment[12:]}".rjust(20, "0")
