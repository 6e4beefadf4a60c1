"""Validators are compared as RFC 9110 §8.8.3.2 says."""

import pytest
from starlette.requests import Request

from app.web.conditional import is_known, is_same_bytes, strong_etag, weak_etag


def request(*held: str) -> Request:
    headers = [(b"if-none-match", each.encode()) for each in held]
    return Request({"type": "http", "headers": headers})


def test_a_validator_depends_on_the_version_and_on_the_form() -> None:
    made = {strong_etag(clock, form) for clock in ("1", "2") for form in ("json", "xml")}

    assert len(made) == 4
    assert strong_etag("1", "json") in made


@pytest.mark.parametrize(
    "held",
    [
        ("{weak}",),
        ("{strong}",),
        ('"a", {weak}',),
        ('"a"', "{strong}"),
        ("*",),
        ('"a",*',),
    ],
)
def test_what_the_client_holds_is_compared_weakly(held: tuple[str, ...]) -> None:
    weak, strong = weak_etag("1", "x"), strong_etag("1", "x")
    sent = request(*(each.format(weak=weak, strong=strong) for each in held))

    assert is_known(sent, weak)
    assert is_known(sent, strong)


@pytest.mark.parametrize("held", [(), ("",), ('"another"',), ("W/",)])
def test_another_validator_is_not_known(held: tuple[str, ...]) -> None:
    assert not is_known(request(*held), weak_etag("1", "x"))


def test_a_range_goes_on_only_from_the_same_bytes() -> None:
    weak, strong = weak_etag("1", "x"), strong_etag("1", "x")

    assert is_same_bytes(strong, strong)
    assert not is_same_bytes(weak, weak)
    assert not is_same_bytes(weak, strong)
    assert not is_same_bytes("Sat, 29 Oct 1994 19:43:31 GMT", strong)
