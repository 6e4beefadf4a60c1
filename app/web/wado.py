"""WADO-RS: the instances of a study or series, or one instance (PS3.18 §10.4.1.1.1)."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from app.errors import NotAcceptable, NotFound
from app.services.located import all_as_stored
from app.services.retrieve import Located
from app.services.transcode import Transcoded
from app.web.body import send_body, send_no_body
from app.web.conditional import (
    asks_conditionally,
    caching,
    is_known,
    not_modified,
    strong_etag,
    weak_etag,
)
from app.web.instance_stream import InstanceStream
from app.web.negotiation import Accepted, Offer, accepted, choose
from app.web.packing import ZIP, Archive, Parts
from app.web.single_part import send_value
from app.web.state import State
from app.web.transfer_syntaxes import AS_STORED, syntax_for, syntaxes_for, takes_any
from app.web.wado_bulk import send_all_bulk
from app.web.wado_target import OCTETS, form_of, target_of, wants_original

DICOM = "application/dicom"
OFFERS = (Offer(DICOM, multipart=True), Offer(ZIP), Offer(OCTETS, multipart=True))
INSTANCE_OFFERS = (*OFFERS, Offer(DICOM))
OK, PARTIAL = 200, 206


async def retrieve_instances(request: Request[State]) -> Response:
    """Send the instances of a study or series, or one instance (PS3.18 §10.4.1.1.1)."""
    target = target_of(request)
    alternatives = accepted(request)
    offer = choose(alternatives, INSTANCE_OFFERS if target.sop_instance_uid else OFFERS)
    if offer.media_type == OCTETS:
        return await send_all_bulk(request, target)
    fitting = [each for each in alternatives if each.covers(offer.media_type)]
    retrieve = request.state["retrieve"]
    original = wants_original(request)
    form = form_of(fitting, offer.media_type, str(offer.multipart), *["original"] * original)
    if offer.media_type == DICOM and not offer.multipart:
        located, _ = await retrieve.instance(target, ("version",))
        located = located.as_stored if original else located
        return await _send_alone(request, located, fitting, form)
    if asks_conditionally(request):
        headers = caching(weak_etag(await retrieve.clock(target), form))
        if is_known(request, headers["ETag"]):
            return not_modified(headers)
    found = await retrieve.instances(target)
    if original:
        found = replace(found, pages=all_as_stored(found.pages))
    # an archive is for keeping: as stored, unless a transfer syntax is named
    unnamed = AS_STORED if offer.media_type == ZIP else EXPLICIT_VR_LITTLE_ENDIAN
    syntaxes = syntaxes_for(fitting, found.syntaxes, unnamed=unnamed)
    packing = Archive() if offer.media_type == ZIP else Parts()
    headers = {**caching(weak_etag(found.clock, form)), "Content-Type": packing.content_type}
    status = OK if syntaxes.keys() == found.syntaxes else PARTIAL
    if request.method == "HEAD":
        return send_no_body(headers, status=status)
    transcode = request.state["transcode"]
    stream = InstanceStream(
        retrieve, transcode, found, packing, syntaxes=syntaxes, takes_any=takes_any(fitting)
    )
    answer = await send_body(stream.chunks(), headers, status=status)
    if not stream.missing:
        return answer
    if not stream.sent:
        raise stream.refusal or NotFound("The object is not in the blob store.")
    answer.status_code = PARTIAL  # what is missing right at the beginning can still be told
    del answer.headers["ETag"]
    return answer


async def _send_alone(
    request: Request[State], located: Located, alternatives: Sequence[Accepted], form: str
) -> Response:
    """Send one instance as the whole body."""
    syntax = syntax_for(alternatives, located.transfer_syntax_uid)
    headers = caching(weak_etag(located.clock, form))
    made = None
    if syntax != located.transfer_syntax_uid:
        if is_known(request, headers["ETag"]):
            return not_modified(headers)
        try:
            made = await request.state["transcode"].instance(located, syntax)
        except NotAcceptable:
            if not takes_any(alternatives):
                raise
    if made is None:
        whole = await request.state["retrieve"].whole(located)
        content_type = f"{DICOM}; transfer-syntax={located.transfer_syntax_uid}"
        return await send_value(request, whole, content_type, strong_etag(located.clock, form))
    headers["Content-Type"] = f"{DICOM}; transfer-syntax={syntax}"
    headers["Content-Length"] = str(made.located.size)
    if request.method == "HEAD":
        made.close()
        return Response(headers=headers)
    return StreamingResponse(_then_closed(made), headers=headers)


async def _then_closed(made: Transcoded) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in made.chunks():
            yield chunk
    finally:
        made.close()
