"""Patterns that cost too much are told from those that people send."""

import pytest

from app.dicom.wildcard_pattern import is_affordable, simplified


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "?",
        "*smith*",
        "smith^j?hn*",
        "*Zoë*",
        "*ab?cd?ef?gh*",
        "?" * 500,
        "a?" * 200,
        "*a" * 50 + "*",
        "a" * 1000 + "*",
        "1.2.840.*.7?",
        "*a????????b*",
    ],
)
def test_pattern_as_people_send_it_is_affordable(pattern: str) -> None:
    assert is_affordable(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["*a" + "?" * 12 + "b*", "*" + "a?" * 30, "*a" + "?" * 8 + "a" * 900, "*a" + "?" * 1000],
)
def test_pattern_that_multiplies_states_is_not(pattern: str) -> None:
    assert not is_affordable(pattern)


def test_simplified_pattern_has_no_run_of_asterisks() -> None:
    assert simplified("***a?**b" + "*" * 10_000) == "*a?*b*"
