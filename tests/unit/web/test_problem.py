"""What goes wrong is answered as problem details (RFC 9457), in words without patient data."""

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from structlog.testing import capture_logs

from app.errors import BadQuery, Busy, ClientGone, CoregisterError
from app.web.problem import coregister_error, http_error, problem, unexpected_error

REQUEST = Request({"type": "http", "path": "/dicom-web/studies/1.2.3", "headers": []})


async def test_an_error_of_ours_keeps_its_status_words_and_name() -> None:
    answer = await coregister_error(REQUEST, BadQuery("The parameter limit is not a number."))

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert b'"type":"urn:coregister:error:BadQuery"' in bytes(answer.body)
    assert b'"detail":"The parameter limit is not a number."' in bytes(answer.body)
    assert "Retry-After" not in answer.headers


async def test_an_error_that_passes_says_when_to_ask_again() -> None:
    answer = await coregister_error(REQUEST, Busy("Too many.", retry_after=5))

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


async def test_a_refusal_of_the_router_keeps_its_headers() -> None:
    answer = await http_error(REQUEST, HTTPException(405, headers={"Allow": "GET"}))

    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


async def test_a_bug_is_answered_and_logged_without_its_message() -> None:
    with capture_logs() as lines:
        answer = await unexpected_error(REQUEST, ValueError("Sentinel^Patient"))

    assert answer.status_code == 500
    assert b"Sentinel" not in bytes(answer.body)
    assert [line["event"] for line in lines] == ["unexpected_error"]
    assert "1.2.3" not in str(lines)


def test_a_status_without_a_phrase_has_a_title() -> None:
    assert b'"title":"Error"' in bytes(problem(ClientGone.status, "gone").body)


@pytest.mark.parametrize("handler", [coregister_error, http_error])
async def test_a_handler_lets_foreign_errors_pass(handler: object) -> None:
    with pytest.raises(KeyError):
        await handler(REQUEST, KeyError("x"))  # type: ignore[operator]


def test_every_error_can_be_answered() -> None:
    kinds: list[type[CoregisterError]] = [CoregisterError, *CoregisterError.__subclasses__()]

    assert all(problem(kind.status, "x").status_code == kind.status for kind in kinds)
