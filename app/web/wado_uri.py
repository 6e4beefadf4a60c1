"""WADO-URI: one object by its query parameters, the way before WADO-RS (PS3.18 §9).

Strategy: a request is written as the request of WADO-RS that asks for the same, and answered by its handler.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from app.errors import NotAcceptable
from app.services.render import Kind, Subject
from app.services.retrieve import Target
from app.web.negotiation import accepted
from app.web.rendered import retrieve_rendered, retrieve_rendered_frames
from app.web.state import State
from app.web.wado import retrieve_instances
from app.web.wado_uri_query import WadoUriQuery, parse_wado_uri

DICOM = "application/dicom"
_ROWS, _COLUMNS = "00280010", "00280011"
# what is sent to whom does not say what they want (PS3.18 §9.1.2.2.1)
_DEFAULTS = {Kind.IMAGE: "image/jpeg", Kind.REPORT: "text/html"}


async def retrieve_object(request: Request[State]) -> Response:
    """Send an object, or an image or a text made of it (PS3.18 §9.4)."""
    query = parse_wado_uri(request.query_params.multi_items())
    refusal = NotAcceptable(f"contentType: an object is {DICOM}, or an image or a text of it.")
    for content_type in query.content_types or await _wanted(request, query):
        try:
            if content_type.partition(";")[0].strip() == DICOM:
                return await retrieve_instances(_as_object(request, query))
            return await _rendered(request, query, content_type)
        except NotAcceptable as error:  # the next one may do
            refusal = error
    raise refusal


async def _wanted(request: Request[State], query: WadoUriQuery) -> list[str]:
    """Return what Accept names, or else what suits the object."""
    named = [each.media_type for each in accepted(request) if each.quality and not each.multipart]
    if "*/*" not in named:
        return named
    subject = await _subject(request, query)
    if subject.kind is Kind.IMAGE and subject.number_of_frames > 1 and query.frame is None:
        return [DICOM]
    return [_DEFAULTS.get(subject.kind, DICOM), DICOM]


def _as_object(request: Request[State], query: WadoUriQuery) -> Request[State]:
    syntax = f"; transfer-syntax={query.transfer_syntax}" if query.transfer_syntax else ""
    said = request.query_params.get("original")
    parameters = {} if said is None else {"original": said}
    return _handed_over(request, query, parameters, f"{DICOM}{syntax}")


async def _rendered(request: Request[State], query: WadoUriQuery, content_type: str) -> Response:
    parameters = {
        "quality": query.quality,
        "annotation": query.annotation,
        "charset": query.charset,
        "window": ",".join([*query.window, "linear"]) if query.window else None,
    }
    if query.rows or query.columns or query.region:
        parameters["viewport"] = _viewport(query, (await _subject(request, query)).attributes)
    given = {name: value for name, value in parameters.items() if value is not None}
    if query.frame is None:
        return await retrieve_rendered(_handed_over(request, query, given, content_type))
    frame = {"frames": str(query.frame)}
    return await retrieve_rendered_frames(_handed_over(request, query, given, content_type, frame))


def _viewport(query: WadoUriQuery, attributes: Mapping[str, Any]) -> str:
    """Return the viewport of PS3.18 §8.3.5.1.3 for rows, columns and region of an image."""
    rows, columns = (_dimension(attributes, tag) for tag in (_ROWS, _COLUMNS))
    left, top, right, bottom = query.region or (0.0, 0.0, 1.0, 1.0)
    width, height = (right - left) * columns, (bottom - top) * rows
    if query.rows is None and query.columns is None:
        size = ceil(width), ceil(height)
    else:  # the one that is not given follows from the other
        size = (
            query.columns or max(round(width / height * (query.rows or 1)), 1),
            query.rows or max(round(height / width * (query.columns or 1)), 1),
        )
    return f"{size[0]},{size[1]},{left * columns},{top * rows},{width},{height}"


def _dimension(attributes: Mapping[str, Any], tag: str) -> int:
    values = attributes.get(tag, {}).get("Value")
    if not values or not isinstance(values[0], int) or values[0] < 1:
        raise NotAcceptable("rows, columns and region are for images; this object is none.")
    return values[0]


async def _subject(request: Request[State], query: WadoUriQuery) -> Subject:
    return await request.state["render"].subject(
        Target(query.study_instance_uid, query.series_instance_uid, query.sop_instance_uid)
    )


def _handed_over(
    request: Request[State],
    query: WadoUriQuery,
    parameters: Mapping[str, str],
    accept: str,
    path: Mapping[str, str] | None = None,
) -> Request[State]:
    """Return the request of WADO-RS for the same object."""
    headers = [pair for pair in request.scope["headers"] if pair[0] != b"accept"]
    scope = {
        **request.scope,
        "headers": [*headers, (b"accept", accept.encode())],
        "query_string": urlencode(parameters).encode(),
        "path_params": {
            "study": query.study_instance_uid,
            "series": query.series_instance_uid,
            "instance": query.sop_instance_uid,
            **(path or {}),
        },
    }
    return Request(scope, request.receive)
