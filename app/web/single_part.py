"""One value as the whole body, or stretches of it (RFC 9110 §14, PS3.18 §8.6)."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.dicom.instance import ByteRange
from app.dicom.multipart import closing, new_boundary, part_header
from app.services.read_ahead import read_ahead
from app.services.retrieve import WHOLE_BYTES, Retrieve, Values
from app.web.byte_range import content_range, cut, parse_ranges
from app.web.conditional import caching, is_known, is_same_bytes, not_modified
from app.web.problem import problem
from app.web.state import State

OK, PARTIAL, UNSATISFIABLE = 200, 206, 416


async def send_value(
    request: Request[State], values: Values, content_type: str, etag: str
) -> Response:
    """Send the only one of `values`, or the ranges of it that the client asks for."""
    headers = {**caching(etag), "Accept-Ranges": "bytes"}
    if is_known(request, etag):
        return not_modified(headers)
    (length,) = values.lengths
    ranges = _wanted(request, length, etag)
    if ranges is None:
        whole = ByteRange(0, length)
        return await _one(request, values, whole, {**headers, "Content-Type": content_type})
    if not ranges:
        answer = problem(UNSATISFIABLE, "None of the ranges lies within the object.")
        answer.headers["Content-Range"] = f"bytes */{length}"
        return answer
    if len(ranges) > 1:
        return _several(request, values, ranges, content_type, headers)
    (part,) = ranges
    headers |= {"Content-Type": content_type, "Content-Range": content_range(part, length)}
    return await _one(request, values, part, headers, status=PARTIAL)


def _wanted(request: Request[State], length: int, etag: str) -> list[ByteRange] | None:
    """Return the ranges that are asked for, None for everything."""
    header = request.headers.get("range")
    if header is None:
        return None
    held = request.headers.get("if-range")
    if held is not None and not is_same_bytes(held, etag):
        return None
    return parse_ranges(header, length)


async def _one(
    request: Request[State],
    values: Values,
    part: ByteRange,
    headers: Mapping[str, str],
    *,
    status: int = OK,
) -> Response:
    retrieve = request.state["retrieve"]
    headers = {**headers, "Content-Length": str(part.length)}
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    wanted = cut_to(values, part)
    if part.length <= WHOLE_BYTES:
        (data,) = await retrieve.read_values(wanted)
        return Response(data, status, headers=headers)
    body = read_ahead(_chunks(retrieve, wanted))
    return StreamingResponse(body, status, headers=headers)


def _several(
    request: Request[State],
    values: Values,
    ranges: Sequence[ByteRange],
    content_type: str,
    headers: Mapping[str, str],
) -> Response:
    (length,) = values.lengths
    boundary = new_boundary()
    heads = [
        part_header(
            boundary, {"Content-Type": content_type, "Content-Range": content_range(part, length)}
        )
        for part in ranges
    ]
    end = closing(boundary)
    size = sum(map(len, heads)) + sum(part.length for part in ranges) + len(end)
    headers = {
        **headers,
        "Content-Type": f"multipart/byteranges; boundary={boundary}",
        "Content-Length": str(size),
    }
    if request.method == "HEAD":
        return Response(status_code=PARTIAL, headers=headers)

    async def body() -> AsyncGenerator[bytes, None]:
        for head, part in zip(heads, ranges, strict=True):
            yield head
            async for chunk in _chunks(request.state["retrieve"], cut_to(values, part)):
                yield chunk
        yield end

    return StreamingResponse(read_ahead(body()), PARTIAL, headers=headers)


def one_range(request: Request[State], values: Values) -> ByteRange | None:
    """Return the range of a value that is asked for, if it is one and lies within it."""
    if len(values.stretches) != 1:
        return None
    (length,) = values.lengths
    ranges = parse_ranges(request.headers.get("range", ""), length)
    return ranges[0] if ranges is not None and len(ranges) == 1 else None


def cut_to(values: Values, part: ByteRange) -> Values:
    """Return a part of the only one of `values`."""
    (stretches,) = values.stretches
    return replace(values, stretches=(cut(stretches, part),))


async def _chunks(retrieve: Retrieve, values: Values) -> AsyncGenerator[bytes, None]:
    async for chunks in retrieve.contents(values):
        async for chunk in chunks:
            yield chunk
