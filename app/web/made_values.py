"""Sends values that were made for the answer."""

from collections.abc import AsyncGenerator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.dicom.multipart import closing, new_boundary, part_header
from app.services.transcode import MadeValues
from app.web.state import State
from app.web.transfer_syntaxes import Form
from app.web.wado_target import related


def send_made(
    request: Request[State],
    made: MadeValues,
    form: Form,
    locations: Sequence[str],
    headers: dict[str, str],
) -> Response:
    """Send made values as parts, or one as the whole body."""
    if not form.multipart:
        headers = {**headers, "Content-Type": form.content_type}
        return _send(request, made, [b""], b"", headers)
    boundary = new_boundary()
    heads = [
        part_header(
            boundary,
            {
                "Content-Type": form.content_type,
                "Content-Length": str(length),
                "Content-Location": location,
            },
        )
        for length, location in zip(made.lengths, locations, strict=False)
    ]
    headers = {**headers, "Content-Type": related(form.media_type, boundary)}
    return _send(request, made, heads, closing(boundary), headers)


def _send(
    request: Request[State],
    made: MadeValues,
    heads: Sequence[bytes],
    end: bytes,
    headers: dict[str, str],
) -> Response:
    length = sum(map(len, heads)) + sum(made.lengths) + len(end)
    headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        made.spool.close()
        return Response(headers=headers)
    return StreamingResponse(_body(made, heads, end), headers=headers)


async def _body(
    made: MadeValues, heads: Sequence[bytes], end: bytes
) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in parts_of(made, heads):
            yield chunk
        yield end
    finally:
        made.spool.close()


async def parts_of(made: MadeValues, heads: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield each value behind its head."""
    made.spool.rewind()
    for head, length in zip(heads, made.lengths, strict=True):
        yield head
        async for chunk in made.spool.next_bytes(length):
            yield chunk
