"""Turns errors into answers: RFC 9457 problem details, without a word of patient data."""

from http import HTTPStatus

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.errors import CoregisterError
from app.web.safe_headers import HEADERS

log = structlog.get_logger(__name__)


def problem(
    status: int, detail: str, *, kind: str = "about:blank", retry_after: int | None = None
) -> Response:
    """Return an answer that says what is wrong."""
    headers = dict(HEADERS)  # an answer to a bug passes no middleware
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    body = {"type": kind, "title": _title(status), "status": status, "detail": detail}
    return Response(
        orjson.dumps(body), status, media_type="application/problem+json", headers=headers
    )


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


async def coregister_error(_: Request, exc: Exception) -> Response:
    """Answer an error that was raised on purpose."""
    if not isinstance(exc, CoregisterError):
        raise exc
    kind = f"urn:coregister:error:{type(exc).__name__}"
    return problem(exc.status, exc.message, kind=kind, retry_after=exc.retry_after)


async def http_error(_: Request, exc: Exception) -> Response:
    """Answer what routing refuses: no such path, wrong method."""
    if not isinstance(exc, HTTPException):
        raise exc
    answer = problem(exc.status_code, exc.detail)
    answer.headers.update(exc.headers or {})
    return answer


async def unexpected_error(_: Request, exc: Exception) -> Response:
    """Answer a bug: the log has the stack, the client has no details."""
    log.error("unexpected_error", exc_info=exc)
    return problem(500, "Coregister failed on this request. The log of the server says more.")
