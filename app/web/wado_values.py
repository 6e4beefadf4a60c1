"""WADO-RS: frames and single bulk values (PS3.18 §10.4.1.1.5 and §10.4.1.1.6)."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.dicom.multipart import closing, new_boundary, part_header
from app.errors import BadRequest
from app.services.read_ahead import read_ahead
from app.services.retrieve import WHOLE_BYTES, Retrieve, Target, Values
from app.web.byte_range import content_range
from app.web.conditional import caching, is_known, not_modified, strong_etag, weak_etag
from app.web.made_values import send_made
from app.web.negotiation import accepted
from app.web.rendered_document import DOCUMENT_TYPES, document_type
from app.web.single_part import OK, PARTIAL, cut_to, one_range, send_value
from app.web.state import State, base_url
from app.web.transfer_syntaxes import Form, form_for, make_values
from app.web.wado_target import OCTETS, form_of, related, target_of

DOCUMENT = "00420011"


async def retrieve_frames(request: Request[State]) -> Response:
    """Send frames, each in a part of its own, in the order asked for (PS3.18 §10.4.1.1.6)."""
    target = target_of(request)
    numbers = _frame_numbers(request.path_params["frames"])
    values = await request.state["retrieve"].frames(target, numbers)
    frames = f"{base_url(request)}{values.located.path}/frames"
    return await _send(request, values, [f"{frames}/{number}" for number in numbers])


async def retrieve_bulk(request: Request[State]) -> Response:
    """Send the value that a BulkDataURI of the metadata names (PS3.18 §10.4.1.1.5)."""
    target = target_of(request)
    path = request.path_params["path"].upper()
    values = await request.state["retrieve"].bulk(target, path)
    location = f"{base_url(request)}{values.located.path}/bulkdata/{path}"
    locations = [location] * len(values.stretches)
    if path == DOCUMENT:
        return await _send(request, values, locations, await _document_type(request, target))
    return await _send(request, values, locations)


async def _document_type(request: Request[State], target: Target) -> str | None:
    """Return the media type of an encapsulated document, if the client names it."""
    named = {each.media_type for each in accepted(request) if each.quality} & DOCUMENT_TYPES
    if not named:
        return None
    media_type = document_type(await request.state["render"].subject(target))
    return media_type if media_type in named else None


def _frame_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as exc:
        raise BadRequest("Frames are a list of numbers such as 1,2,3.") from exc


async def _send(
    request: Request[State],
    values: Values,
    locations: Sequence[str],
    media_type: str | None = None,
) -> Response:
    """Send values as parts, or one value alone to whom does not take parts.

    `media_type` is another name of octets that the client knows for them.
    """
    alternatives = [
        replace(each, media_type=OCTETS) if each.media_type == media_type else each
        for each in accepted(request)
    ]
    alone = len(values.stretches) == 1 or bool(values.path)
    ranged = alone and "range" in request.headers
    form = form_for(alternatives, values, alone=alone, ranged=ranged)
    if media_type is not None:
        form = replace(form, media_type=media_type)
    shape = form_of(alternatives, form.content_type, str(form.multipart), *locations)
    version = values.located.version
    if not form.multipart and not form.made:
        return await send_value(request, values, form.content_type, strong_etag(version, shape))
    headers = caching(weak_etag(version, shape))
    if is_known(request, headers["ETag"]):
        return not_modified(headers)
    if form.made:
        made = await make_values(request.state["transcode"], values, form)
        return send_made(request, made, form, locations, headers)
    return await _send_parts(request, values, form, locations, headers, ranged=ranged)


async def _send_parts(
    request: Request[State],
    values: Values,
    form: Form,
    locations: Sequence[str],
    headers: dict[str, str],
    *,
    ranged: bool,
) -> Response:
    """Send each value in a part, or a range of the only one where `ranged` asks for that."""
    status, ranges = OK, {}
    if ranged and (part := one_range(request, values)) is not None:
        # no range of the parts, which would mean nothing: of the value, to clients that take parts only
        (length,) = values.lengths
        status, ranges = PARTIAL, {"Content-Range": content_range(part, length)}
        values = cut_to(values, part)
        del headers["ETag"]
    boundary = new_boundary()
    headers["Content-Type"] = related(form.media_type, boundary)
    heads = [
        part_header(boundary, {**_part_headers(form.content_type, length, location), **ranges})
        for length, location in zip(values.lengths, locations, strict=True)
    ]
    end = closing(boundary)
    length = sum(map(len, heads)) + sum(values.lengths) + len(end)
    headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    retrieve = request.state["retrieve"]
    if length <= WHOLE_BYTES:
        found = await retrieve.read_values(values)
        pieces = [piece for pair in zip(heads, found, strict=True) for piece in pair]
        return Response(b"".join([*pieces, end]), status, headers=headers)
    body = read_ahead(_body(retrieve, values, heads, end))
    return StreamingResponse(body, status, headers=headers)


def _part_headers(content_type: str, length: int, location: str) -> dict[str, str]:
    return {
        "Content-Type": content_type,
        "Content-Length": str(length),
        "Content-Location": location,
    }


async def _body(
    retrieve: Retrieve, values: Values, heads: Sequence[bytes], end: bytes
) -> AsyncGenerator[bytes, None]:
    following = iter(heads)
    async for chunks in retrieve.contents(values):
        yield next(following)
        async for chunk in chunks:
            yield chunk
    yield end
