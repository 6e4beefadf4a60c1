"""Values in the form in which they are compared."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.index.comparable import forms_of, number_of, ordered_number

NUMBERS = st.floats(allow_nan=False)


@given(NUMBERS, NUMBERS)
def test_digits_of_numbers_sort_as_the_numbers_do(one: float, other: float) -> None:
    assert (ordered_number(one) < ordered_number(other)) == (one < other)
    assert (ordered_number(one) == ordered_number(other)) == (one == other)


def test_whole_and_decimal_forms_of_a_number_are_the_same() -> None:
    assert set(forms_of("DS", "1.50")) == set(forms_of("FD", 1.5)) == set(forms_of("IS", "1.5"))


def test_each_component_group_of_a_name_is_a_form() -> None:
    value = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}

    forms = list(forms_of("PN", value))

    assert [form for form in forms if form[0] == "^"] == ["^yamada^tarou", "^山田^太郎"]
    assert {"~yamada", "~taro", "~shantian", "!YMT", "!TR"} <= set(forms)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("DA", "20201399"),
        ("TM", "99"),
        ("DT", "x"),
        ("IS", "twelve"),
        ("FD", math.nan),
        ("LO", "  "),
        ("PN", {"Alphabetic": "^^"}),
        ("OB", "AAAA"),
        ("UN", "x"),
        ("LO", 5),
        ("DA", 5),
        ("PN", 5),
    ],
)
def test_value_that_cannot_be_compared_has_no_form(vr: str, value: object) -> None:
    assert list(forms_of(vr, value)) == []


def test_date_time_with_offset_is_compared_in_local_time_and_in_utc() -> None:
    assert list(forms_of("DT", "20200101100000+0200")) == [
        "&20200101100000000000",
        "@20200101080000000000",
    ]


def test_number_is_read_from_text_and_number_only() -> None:
    assert number_of(" 5 ") == 5
    assert number_of(None) is None
    assert number_of([1]) is None
    assert number_of(10**400) is None
