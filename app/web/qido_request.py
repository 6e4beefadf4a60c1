"""What a request of QIDO-RS asks for: its path and its query string."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.dicom.uid import is_uid
from app.errors import BadQuery, BadRequest
from app.web.state import State

Parameters = list[tuple[str, str]]


def query_of(request: Request[State], level: Level, parameters: Parameters | None = None) -> Query:
    """Return the typed query, of other parameters if they are given. Raises BadRequest."""
    limits = request.state["settings"].limits
    given = parameters_of(request) if parameters is None else parameters
    return parse_query(level, _scope(request), given, limits)


def parameters_of(request: Request[State]) -> Parameters:
    """Return the query's names and values, decoded as UTF-8. Raises BadQuery."""
    raw = request.scope["query_string"]
    if len(raw) > request.state["settings"].limits.query_string_bytes:
        raise BadQuery("The query string is longer than the limit query_string_bytes.")
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as exc:
        raise BadQuery("The query string is not percent-encoded UTF-8.") from exc


def _scope(request: Request[State]) -> Scope:
    path = request.path_params
    for name in ("study", "series"):
        if name in path and not is_uid(path[name]):
            raise BadRequest(f"The {name} in the URL is no UID.")
    return Scope(path.get("study"), path.get("series"))
