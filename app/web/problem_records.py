"""`/errors` and `/errors/$retry`: the records of what went wrong, for whoever operates this."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.errors import CoregisterError
from app.services.retry import Progress
from app.web.problem_query import parse_retry, parse_search, write_cursor
from app.web.state import State

NDJSON = "application/x-ndjson"
_NAMES = {
    "study_instance_uid": "study",
    "series_instance_uid": "series",
    "sop_instance_uid": "instance",
    "value_class": "valueClass",
    "first_seen": "firstSeen",
    "last_seen": "lastSeen",
    "resolved_at": "resolvedAt",
}


async def list_errors(request: Request[State]) -> Response:
    """List problems with studies, those seen last first; open ones unless more are asked for."""
    limits = request.state["settings"].limits
    search = parse_search(request.query_params, most=limits.problem_results)
    page = await request.state["problems"].find(search)
    body = {
        "total": page.total,
        "errors": [_shown(row) for row in page.rows],
        "cursor": None if page.last is None else write_cursor(page.last),
    }
    return Response(orjson.dumps(body), media_type="application/json")


async def retry_errors(request: Request[State]) -> Response:
    """Do again what failed, and close the errors that no longer hold; a line of JSON for each study."""
    progress = request.state["retry"].run(parse_retry(request.query_params))
    first = await anext(progress, None)  # what fails at once becomes an answer of its own
    return StreamingResponse(_lines(first, progress), media_type=NDJSON)


async def _lines(first: Progress | None, rest: AsyncIterator[Progress]) -> AsyncIterator[bytes]:
    if first is None:
        return
    yield _line(first)
    try:
        async for progress in rest:
            yield _line(progress)
    except CoregisterError as error:
        yield orjson.dumps({"study": None, "error": error.message}) + b"\n"


def _line(progress: Progress) -> bytes:
    line = _renamed(asdict(progress))
    return orjson.dumps({**line, "study": progress.study_instance_uid or None}) + b"\n"


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without what is there for the index alone."""
    shown = _renamed({name: value for name, value in row.items() if value not in (None, "")})
    shown["id"] = shown.pop("identity")
    return shown


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {_NAMES.get(name, name): value for name, value in fields.items()}
