from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fhir.date_time import earliest, fhir_date, fhir_date_time
from tests.unit.fhir.dicom_json import attributes


def started(time_zone: str | None = None, **values: Any) -> str | None:
    return fhir_date_time(
        attributes(**values), day="StudyDate", time="StudyTime", time_zone=time_zone
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20240229", "2024-02-29"),
        ("2024.02.29", "2024-02-29"),
        ("20230229", None),
        ("20241301", None),
        ("00000101", None),
        ("2024-02-29", None),
        ("2024", None),
        ("", None),
        ("\uff12\uff10\uff12\uff14\uff10\uff12\uff12\uff19", None),
    ],
)
def test_only_a_day_of_the_calendar_is_a_date(value: str, expected: str | None) -> None:
    assert fhir_date(value) == expected


def test_a_time_without_any_zone_gives_the_date_alone() -> None:
    """A zone is never invented (R4 §2.24.0.1)."""
    assert started(StudyDate="20240105", StudyTime="101112") == "2024-01-05"


def test_the_offset_of_the_data_set_comes_before_the_zone_of_the_site() -> None:
    given = {"StudyDate": "20240705", "StudyTime": "101112", "TimezoneOffsetFromUTC": "-0330"}

    assert started("Europe/Vienna", **given) == "2024-07-05T10:11:12-03:30"


@pytest.mark.parametrize(("day", "offset"), [("20240105", "+01:00"), ("20240705", "+02:00")])
def test_the_zone_of_the_site_knows_summer_time(day: str, offset: str) -> None:
    given = {"StudyDate": day, "StudyTime": "101112.123456"}

    assert (
        started("Europe/Vienna", **given) == f"{day[:4]}-{day[4:6]}-{day[6:]}T10:11:12.123{offset}"
    )


@pytest.mark.parametrize(
    "offset", ["-0000", "+1500", "-1300", "+0160", "Z", "0100", "+01:00", "+9999"]
)
def test_an_offset_that_is_none_gives_the_date_alone(offset: str) -> None:
    given = {"StudyDate": "20240105", "StudyTime": "1011", "TimezoneOffsetFromUTC": offset}

    assert started(**given) == "2024-01-05"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1011", "T10:11:00+01:00"),
        ("10:11:12", "T10:11:12+01:00"),
        ("101160", "T10:11:59+01:00"),
        ("101112.5", "T10:11:12.5+01:00"),
        ("10", ""),
        ("2411", ""),
        ("1060", ""),
        ("101161", ""),
        ("10:1112", ""),
        ("noon", ""),
        ("", ""),
    ],
)
def test_a_time_counts_where_it_has_hours_and_minutes(time: str, expected: str) -> None:
    given = {"StudyDate": "20240105", "StudyTime": time}

    assert started("Europe/Vienna", **given) == f"2024-01-05{expected}"


def test_an_offset_with_seconds_from_before_zone_time_gives_the_date_alone() -> None:
    assert started("Europe/Vienna", StudyDate="18800105", StudyTime="101112") == "1880-01-05"


@given(st.text(), st.text(), st.text())
def test_no_value_makes_it_fail(day: str, time: str, offset: str) -> None:
    value = started("America/St_Johns", StudyDate=day, StudyTime=time, TimezoneOffsetFromUTC=offset)

    assert value is None or datetime.fromisoformat(value)


@given(
    st.lists(
        st.sampled_from(
            ["2024-01-05", "2024-01-05T10:00:00+01:00", "2024-01-05T09:30:00Z", "2023", "x", None]
        ),
        min_size=1,
    ).flatmap(lambda values: st.tuples(st.just(values), st.permutations(values)))
)
def test_the_earliest_does_not_depend_on_the_order(
    orders: tuple[list[str | None], list[str | None]],
) -> None:
    results = []
    for values in orders:
        best: str | None = None
        for value in values:
            best = earliest(best, value)
        results.append(best)

    assert results[0] == results[1]


def test_of_one_day_the_value_with_a_time_is_kept() -> None:
    assert earliest("2024-01-05", "2024-01-05T10:00:00+01:00") == "2024-01-05T10:00:00+01:00"
    assert earliest("2024-01-04", "2024-01-05T10:00:00+01:00") == "2024-01-04"
