"""Dates and times as text that sorts as time does."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.temporal import Moments, parse_date, parse_date_time, parse_time

OFFSETS = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1900, 1, 2), datetime(2999, 12, 30), timezones=OFFSETS)  # noqa: DTZ001


def written(time: datetime) -> str:
    offset = f"{time:%z}"[:5]
    return f"{time:%Y%m%d%H%M%S}.{time.microsecond:06d}{offset}"


@given(TIMES, TIMES)
def test_date_times_sort_in_utc_as_the_moments_do(one: datetime, other: datetime) -> None:
    first, second = parse_date_time(written(one)), parse_date_time(written(other))

    assert first is not None
    assert second is not None
    assert (first.utc().earliest < second.utc().earliest) == (one < other)
    assert first.utc().earliest == f"{one.astimezone(UTC):%Y%m%d%H%M%S%f}"


@given(TIMES, st.integers(4, 14))
def test_shortened_date_time_spans_all_that_it_leaves_open(time: datetime, digits: int) -> None:
    digits -= digits % 2
    full = f"{time:%Y%m%d%H%M%S%f}"

    moments = parse_date_time(full[:digits])

    assert moments is not None
    assert moments.earliest <= full <= moments.latest
    assert moments.earliest[:digits] == moments.latest[:digits] == full[:digits]


@pytest.mark.parametrize("text", ["", "2020", "20200230", "20201301", "00000101", "2020010", "x"])
def test_date_that_does_not_exist_is_none(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize("text", ["", "1", "24", "1060", "100061", "10.5", "100000.1234567", "-10"])
def test_time_that_does_not_exist_is_none(text: str) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "20", "202013", "20200230", "2020010124", "20200101+1500", "20200101+0199", "2020+1"],
)
def test_date_time_that_does_not_exist_is_none(text: str) -> None:
    assert parse_date_time(text) is None


def test_old_forms_with_dots_and_colons_are_understood() -> None:
    assert parse_date("1999.12.31") == Moments("19991231", "19991231")
    assert parse_time("10:30:05") == Moments("103005000000", "103005999999")


def test_leap_second_keeps_its_place() -> None:
    moments = parse_date_time("20161231235960+0000")

    assert moments is not None
    assert moments.utc().earliest == "20161231235960000000"


def test_moment_at_the_end_of_the_calendar_does_not_fail() -> None:
    moments = parse_date_time("99991231235959-1200")

    assert moments is not None
    assert moments.utc().earliest == "99991231235959000000"
