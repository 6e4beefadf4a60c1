"""QIDO-RS: the six search resources (PS3.18 §10.6)."""

from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.dicom.instance import BASE_URL_MARK
from app.dicom.qido_grammar import Level, Scope, parse_query
from app.dicom.uid import is_uid
from app.errors import BadQuery, BadRequest
from app.web.negotiation import DICOM_JSON, accepted, choose
from app.web.state import State, base_url

MARK = f'"{BASE_URL_MARK}'.encode()
NO_CONTENT = 204


async def search_studies(request: Request[State]) -> Response:
    """Find studies (PS3.18 §10.6)."""
    return await _search(request, Level.STUDY)


async def search_series(request: Request[State]) -> Response:
    """Find series, of all studies or of one (PS3.18 §10.6)."""
    return await _search(request, Level.SERIES)


async def search_instances(request: Request[State]) -> Response:
    """Find instances, of all studies, of a study or of a series (PS3.18 §10.6)."""
    return await _search(request, Level.INSTANCE)


async def _search(request: Request[State], level: Level) -> Response:
    choose(accepted(request), DICOM_JSON)
    limits = request.state["settings"].limits
    query = parse_query(
        level, _scope(request), _parameters(request, limits.query_string_bytes), limits
    )
    found = await request.state["find"].find(query)
    headers = {"X-Total-Count": str(found.total)}
    warnings = [f'299 coregister "{text}"' for text in found.warnings]
    remaining = found.total - query.offset - len(found.rows)
    if found.rows and remaining > 0:
        text = f"There are {remaining} additional results that can be requested"
        warnings.append(f'299 coregister "{text}"')
    if warnings:
        headers["Warning"] = ", ".join(warnings)
    if not found.rows:
        return Response(status_code=NO_CONTENT, headers=headers)
    body = orjson.dumps(found.rows).replace(MARK, f'"{base_url(request)}'.encode())
    return Response(body, headers={**headers, "Content-Type": "application/dicom+json"})


def _scope(request: Request[State]) -> Scope:
    path = request.path_params
    for name in ("study", "series"):
        if name in path and not is_uid(path[name]):
            raise BadRequest(f"The {name} in the URL is no UID.")
    return Scope(path.get("study"), path.get("series"))


def _parameters(request: Request[State], longest: int) -> list[tuple[str, str]]:
    """Return the query's names and values, decoded as UTF-8; `accept` is not a key."""
    raw = request.scope["query_string"]
    if len(raw) > longest:
        raise BadQuery("The query string is longer than the limit query_string_bytes.")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as exc:
        raise BadQuery("The query string is not percent-encoded UTF-8.") from exc
    return [(name, value) for name, value in pairs if name != "accept"]
