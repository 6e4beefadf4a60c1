"""Bodies that are made while they are sent."""

from collections.abc import AsyncGenerator, Mapping

from starlette.responses import Response, StreamingResponse

from app.services.read_ahead import read_ahead

OK = 200


async def send_body(
    chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str], *, status: int = OK
) -> Response:
    """Return the answer whose body the chunks make: of a small one the length is told.

    What fails before the second chunk is ready still becomes an error of its own.
    """
    first = await anext(chunks, b"")
    second = await anext(chunks, None)
    if second is None:
        return Response(first, status, headers=dict(headers))
    return StreamingResponse(_all(first, second, chunks), status, headers=dict(headers))


def send_no_body(headers: Mapping[str, str], *, status: int = OK) -> Response:
    """Return the answer to a HEAD: its length would only be known by making it."""
    return StreamingResponse(_nothing(), status, headers=dict(headers))


async def _all(
    first: bytes, second: bytes, rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    following = read_ahead(rest)
    yield first
    yield second
    async for chunk in following:
        yield chunk


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""
