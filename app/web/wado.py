"""WADO-RS: instances, metadata, frames and bulk data, as stored (PS3.18 §10.4)."""

from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.dicom.instance import BASE_URL_MARK
from app.dicom.multipart import closing, new_boundary, part_header
from app.dicom.transfer_syntax import aliases_of, media_type_of
from app.dicom.uid import is_uid
from app.errors import BadRequest, NotAcceptable, NotFound
from app.services.retrieve import Located, Retrieve, Target
from app.web.negotiation import DICOM_JSON, Accepted, Offer, accepted, choose
from app.web.state import State, base_url

INSTANCE_OFFERS = (Offer("application/dicom", multipart=True), Offer("application/dicom"))
OCTETS = "application/octet-stream"
MARK = f'"BulkDataURI":"{BASE_URL_MARK}'.encode()
STREAMED_BYTES = 1024 * 1024  # an instance above this is sent in chunks, below in one piece
JSON_CHUNK_BYTES = 64 * 1024
UNENCAPSULATED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99")


def target_of(request: Request[State]) -> Target:
    """Return what the path names. Raises BadRequest for what is no UID."""
    path = request.path_params
    for name in ("study", "series", "instance"):
        if name in path and not is_uid(path[name]):
            raise BadRequest(f"The {name} in the URL is no UID.")
    return Target(path["study"], path.get("series"), path.get("instance"))


async def retrieve_instances(request: Request[State]) -> Response:
    """Send the instances of a study or series, or one instance (PS3.18 §10.4.1.1.1)."""
    target = target_of(request)
    alternatives = accepted(request)
    offers = INSTANCE_OFFERS if target.sop_instance_uid else INSTANCE_OFFERS[:1]
    offer = choose(alternatives, offers)
    retrieve = request.state["retrieve"]
    found = retrieve.instances(target)
    first = await _first(found)
    _check_syntax(alternatives, first.transfer_syntax_uid)
    if not offer.multipart:
        content_type = f"application/dicom; transfer-syntax={first.transfer_syntax_uid}"
        return StreamingResponse(retrieve.stream(first), headers={"Content-Type": content_type})
    boundary = new_boundary()
    parts = _instance_parts(retrieve, first, found, boundary, alternatives)
    return StreamingResponse(parts, headers={"Content-Type": _related(OFFER_DICOM, boundary)})


OFFER_DICOM = "application/dicom"


def _related(media_type: str, boundary: str) -> str:
    return f'multipart/related; type="{media_type}"; boundary={boundary}'


async def _first(found: AsyncIterator[Located]) -> Located:
    async for located in found:
        return located
    raise NotFound("There is no such study, series or instance.")


def _check_syntax(alternatives: Sequence[Accepted], stored: str) -> None:
    """Raise NotAcceptable where every alternative insists on a transfer syntax that is not stored."""
    wanted = {alternative.transfer_syntax for alternative in alternatives}
    if wanted & {None, "*", stored}:
        return
    raise NotAcceptable(
        f"The instance is stored in {stored}; ask for it with transfer-syntax=* or without."
    )


async def _instance_parts(
    retrieve: Retrieve,
    first: Located,
    others: AsyncIterator[Located],
    boundary: str,
    alternatives: Sequence[Accepted],
) -> AsyncIterator[bytes]:
    async for chunk in _instance_part(retrieve, first, boundary):
        yield chunk
    async for located in others:
        try:
            _check_syntax(alternatives, located.transfer_syntax_uid)
        except NotAcceptable:
            continue  # PS3.18 §10.4.3.3.1: what cannot be sent as asked is left out
        async for chunk in _instance_part(retrieve, located, boundary):
            yield chunk
    yield closing(boundary)


async def _instance_part(
    retrieve: Retrieve, located: Located, boundary: str
) -> AsyncIterator[bytes]:
    syntax = located.transfer_syntax_uid
    header = part_header(
        boundary,
        {
            "Content-Type": f"application/dicom; transfer-syntax={syntax}",
            "Content-Length": str(located.size),
        },
    )
    if located.size <= STREAMED_BYTES:
        yield header + await retrieve.bytes_of(located)
        return
    yield header
    async for chunk in retrieve.stream(located):
        yield chunk


async def retrieve_metadata(request: Request[State]) -> Response:
    """Send the metadata of a study, series or instance (PS3.18 §10.4.1.1.2)."""
    target = target_of(request)
    choose(accepted(request), DICOM_JSON)
    objects = request.state["retrieve"].metadata(target)
    base = f'"BulkDataURI":"{base_url(request)}'.encode()
    async for first in objects:
        body = _json_array(first, objects, base)
        return StreamingResponse(body, headers={"Content-Type": "application/dicom+json"})
    raise NotFound("There is no such study, series or instance.")


async def _json_array(
    first: bytes, others: AsyncIterator[bytes], base: bytes
) -> AsyncIterator[bytes]:
    waiting = bytearray(b"[" + first.replace(MARK, base))
    async for each in others:
        waiting += b"," + each.replace(MARK, base)
        if len(waiting) >= JSON_CHUNK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting) + b"]"


async def retrieve_frames(request: Request[State]) -> Response:
    """Send frames, each in a part of its own, in the order asked for (PS3.18 §10.4.1.1.6)."""
    target = target_of(request)
    numbers = _frame_numbers(request.path_params["frames"])
    alternatives = accepted(request)
    located, encapsulated, frames = await request.state["retrieve"].frames(target, numbers)
    syntax = located.transfer_syntax_uid
    media_type = media_type_of(syntax) if encapsulated else OCTETS
    offer = _frame_offer(alternatives, media_type, syntax, encapsulated=encapsulated)
    if not offer.multipart and len(frames) == 1:
        return Response(frames[0], headers={"Content-Type": _part_type(media_type, syntax)})
    return _multipart(request, media_type, syntax, frames)


def _frame_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as exc:
        raise BadRequest("Frames are a list of numbers such as 1,2,3.") from exc


def _frame_offer(
    alternatives: Sequence[Accepted], media_type: str, syntax: str, *, encapsulated: bool
) -> Offer:
    """Return how to send frames; compressed ones only to whom takes them compressed."""
    _check_syntax(alternatives, syntax)
    fitting = [a for a in alternatives if a.transfer_syntax in (None, "*", syntax)]
    names = aliases_of(media_type)
    offers = [Offer(media_type, multipart=True, aliases=names), Offer(media_type, aliases=names)]
    if encapsulated and any(a.transfer_syntax in ("*", syntax) for a in fitting):
        # octet-stream with transfer-syntax=* asks for frames as stored, whatever they are (OHIF)
        offers = [Offer(media_type, multipart=True, aliases=(*names, OCTETS)), *offers[1:]]
    return choose(fitting, offers)


def _part_type(media_type: str, syntax: str) -> str:
    return f"{media_type}; transfer-syntax={syntax}"


def _multipart(
    request: Request[State], media_type: str, syntax: str, values: Sequence[bytes]
) -> Response:
    boundary = new_boundary()
    location = f"{base_url(request)}{request.url.path.removeprefix('/dicom-web')}"
    chunks: list[bytes] = []
    for value in values:
        headers = {
            "Content-Type": _part_type(media_type, syntax),
            "Content-Length": str(len(value)),
            "Content-Location": location,
        }
        chunks += (part_header(boundary, headers), value)
    chunks.append(closing(boundary))
    return Response(b"".join(chunks), headers={"Content-Type": _related(media_type, boundary)})


async def retrieve_bulk(request: Request[State]) -> Response:
    """Send the value that a BulkDataURI of the metadata names (PS3.18 §10.4.1.1.5)."""
    target = target_of(request)
    retrieve = request.state["retrieve"]
    located, layout, value = await retrieve.bulk(target, request.path_params["path"])
    syntax = located.transfer_syntax_uid
    alternatives = accepted(request)
    if layout is not None:
        numbers = range(1, len(layout.frames) + 1)
        _, _, frames = await retrieve.frames(target, numbers)
        media_type = media_type_of(syntax)
        names = (*aliases_of(media_type), OCTETS)
        choose(alternatives, (Offer(media_type, multipart=True, aliases=names),))
        return _multipart(request, media_type, syntax, frames)
    offer = choose(alternatives, (Offer(OCTETS, multipart=True), Offer(OCTETS)))
    if offer.multipart:
        return _multipart(request, OCTETS, syntax, [value])
    return Response(value, headers={"Content-Type": OCTETS})
