"""WADO-RS: frames and bulk data, as stored (PS3.18 §10.4.1.1.5 and §10.4.1.1.6)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.dicom.multipart import closing, new_boundary, part_header
from app.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    aliases_of,
    media_type_of,
)
from app.errors import BadRequest
from app.services.retrieve import Retrieve, Values
from app.web.negotiation import Accepted, Offer, accepted, choose
from app.web.state import State, base_url
from app.web.wado import check_syntax, related, target_of

OCTETS = "application/octet-stream"
_SAME_VALUES = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)


async def retrieve_frames(request: Request[State]) -> Response:
    """Send frames, each in a part of its own, in the order asked for (PS3.18 §10.4.1.1.6)."""
    target = target_of(request)
    numbers = _frame_numbers(request.path_params["frames"])
    values = await request.state["retrieve"].frames(target, numbers)
    return await _send(request, values)


async def retrieve_bulk(request: Request[State]) -> Response:
    """Send the value that a BulkDataURI of the metadata names (PS3.18 §10.4.1.1.5)."""
    target = target_of(request)
    values = await request.state["retrieve"].bulk(target, request.path_params["path"])
    return await _send(request, values)


def _frame_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as exc:
        raise BadRequest("Frames are a list of numbers such as 1,2,3.") from exc


async def _send(request: Request[State], values: Values) -> Response:
    """Send values as parts, or one value alone to whom does not take parts."""
    syntax = _syntax_of_values(values.located.transfer_syntax_uid)
    alternatives = [
        replace(each, transfer_syntax=_syntax_of_values(each.transfer_syntax))
        if each.transfer_syntax is not None
        else each
        for each in accepted(request)
    ]
    media_type = media_type_of(syntax) if values.encapsulated else OCTETS
    offer = _offer(alternatives, media_type, syntax, encapsulated=values.encapsulated)
    part_type = f"{media_type}; transfer-syntax={syntax}"
    retrieve = request.state["retrieve"]
    if not offer.multipart and len(values.stretches) == 1:
        headers = {"Content-Type": part_type, "Content-Length": str(values.lengths[0])}
        return StreamingResponse(_alone(retrieve, values), headers=headers)
    boundary = new_boundary()
    location = f"{base_url(request)}{request.url.path.removeprefix('/dicom-web')}"
    parts = _parts(
        retrieve, values, boundary, {"Content-Type": part_type, "Content-Location": location}
    )
    return StreamingResponse(parts, headers={"Content-Type": related(media_type, boundary)})


def _syntax_of_values(syntax: str) -> str:
    """Return the transfer syntax of a value by itself: three differ only in the data set around it."""
    return EXPLICIT_VR_LITTLE_ENDIAN if syntax in _SAME_VALUES else syntax


def _offer(
    alternatives: Sequence[Accepted], media_type: str, syntax: str, *, encapsulated: bool
) -> Offer:
    """Return how to send values; compressed frames only to whom takes them compressed."""
    check_syntax(alternatives, syntax)
    fitting = [a for a in alternatives if a.transfer_syntax in (None, "*", syntax)]
    names = aliases_of(media_type)
    offers = [Offer(media_type, multipart=True, aliases=names), Offer(media_type, aliases=names)]
    if encapsulated and any(a.transfer_syntax in ("*", syntax) for a in fitting):
        # octet-stream with transfer-syntax=* asks for frames as stored, whatever they are (OHIF)
        offers = [Offer(media_type, multipart=True, aliases=(*names, OCTETS)), *offers[1:]]
    return choose(fitting, offers)


async def _alone(retrieve: Retrieve, values: Values) -> AsyncIterator[bytes]:
    async for chunks in retrieve.contents(values):
        async for chunk in chunks:
            yield chunk


async def _parts(
    retrieve: Retrieve, values: Values, boundary: str, headers: dict[str, str]
) -> AsyncIterator[bytes]:
    lengths = iter(values.lengths)
    async for chunks in retrieve.contents(values):
        yield part_header(boundary, {**headers, "Content-Length": str(next(lengths))})
        async for chunk in chunks:
            yield chunk
    yield closing(boundary)
