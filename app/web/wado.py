"""WADO-RS: instances as stored, and their metadata (PS3.18 §10.4)."""

from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.dicom.instance import BASE_URL_MARK
from app.dicom.multipart import closing, new_boundary, part_header
from app.dicom.uid import is_uid
from app.errors import BadRequest, NotAcceptable, NotFound
from app.services.retrieve import Located, Retrieve, Target
from app.web.negotiation import DICOM_JSON, Accepted, Offer, accepted, choose
from app.web.state import State, base_url

INSTANCE_OFFERS = (Offer("application/dicom", multipart=True), Offer("application/dicom"))
MARK = f'"BulkDataURI":"{BASE_URL_MARK}'.encode()
STREAMED_BYTES = 1024 * 1024  # an instance above this is sent in chunks, below in one piece
JSON_CHUNK_BYTES = 64 * 1024


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
    alternatives = tuple(each for each in alternatives if each.covers(offer.media_type))
    retrieve = request.state["retrieve"]
    found = retrieve.instances(target)
    first = await _first_wanted(found, alternatives)
    if not offer.multipart:
        content_type = f"application/dicom; transfer-syntax={first.transfer_syntax_uid}"
        return StreamingResponse(retrieve.stream(first), headers={"Content-Type": content_type})
    boundary = new_boundary()
    parts = _instance_parts(retrieve, first, found, boundary, alternatives)
    return StreamingResponse(
        parts, headers={"Content-Type": related("application/dicom", boundary)}
    )


def related(media_type: str, boundary: str) -> str:
    """Return the Content-Type of an answer in parts."""
    return f'multipart/related; type="{media_type}"; boundary={boundary}'


async def _first_wanted(found: AsyncIterator[Located], alternatives: Sequence[Accepted]) -> Located:
    """Return the first instance that can be sent as asked. Raises NotFound, NotAcceptable."""
    refusal: Exception = NotFound("There is no such study, series or instance.")
    async for located in found:
        try:
            check_syntax(alternatives, located.transfer_syntax_uid)
        except NotAcceptable as error:
            refusal = error
        else:
            return located
    raise refusal


def check_syntax(alternatives: Sequence[Accepted], stored: str) -> None:
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
            check_syntax(alternatives, located.transfer_syntax_uid)
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
