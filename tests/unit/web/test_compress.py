"""Compression of answers (RFC 9110 §8.4.1.3)."""

import gzip
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.web.compress import IN_THREAD_BYTES, SMALL_BYTES, Clients, Compress

LONG = b"[" + b'{"vr":"CS"},' * (SMALL_BYTES // 10) + b"{}]"
JSON = "application/dicom+json"
FAR = ("192.0.2.7", 4000)
NEAR = ("127.0.0.1", 4000)


def app_of(
    chunks: Sequence[bytes],
    content_type: str = JSON,
    status: int = 200,
    headers: Mapping[str, str] = {},
) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        sent = {"Content-Type": content_type, **headers}
        answer: Response
        if len(chunks) == 1:
            answer = Response(chunks[0], status, headers=sent)
        else:
            answer = StreamingResponse(stream(), status, headers=sent)
        await answer(scope, receive, send)

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return app


async def get(
    app: Any,
    *,
    clients: Clients = "remote",
    client: tuple[str, int] = FAR,
    accept_encoding: str = "gzip, deflate",
    forwarded_for: str | None = None,
) -> tuple[httpx.Response, bytes]:
    """Return the answer and the bytes that went over the wire."""
    transport = httpx.ASGITransport(Compress(app, clients=clients), client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://there") as http:
        given_headers = {"Accept-Encoding": accept_encoding}
        if forwarded_for is not None:
            given_headers["X-Forwarded-For"] = forwarded_for
        async with http.stream("GET", "/", headers=given_headers) as answer:
            raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    return answer, raw


async def test_long_json_is_compressed_for_a_client_that_accepts_it() -> None:
    answer, raw = await get(app_of([LONG]))

    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "content-length" not in answer.headers
    assert gzip.decompress(raw) == LONG
    assert len(raw) < len(LONG) / 4


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/csv; charset=utf-8",
        "application/dicom+xml",
        'multipart/related; type="application/dicom+xml"; boundary=b',
    ],
)
async def test_every_kind_of_text_is_compressed(content_type: str) -> None:
    _, raw = await get(app_of([LONG], content_type))

    assert gzip.decompress(raw) == LONG


@pytest.mark.parametrize(
    "content_type",
    [
        "application/dicom",
        "image/jpeg",
        "application/octet-stream",
        'multipart/related; type="application/dicom"; boundary=b',
        'multipart/related; type="application/octet-stream"; boundary=b',
    ],
)
async def test_what_holds_pixels_is_never_compressed(content_type: str) -> None:
    answer, raw = await get(app_of([LONG], content_type))

    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers
    assert raw == LONG


async def test_small_answer_is_sent_as_it_is_with_its_length() -> None:
    answer, raw = await get(app_of([b"[{}]"]))

    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == "4"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert raw == b"[{}]"


@pytest.mark.parametrize("value", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0, identity"])
async def test_client_that_does_not_accept_gzip_gets_none(value: str) -> None:
    answer, raw = await get(app_of([LONG]), accept_encoding=value)

    assert "content-encoding" not in answer.headers
    assert raw == LONG


@pytest.mark.parametrize("value", ["gzip", "GZIP", "br, gzip;q=0.5", "*", "x-gzip"])
async def test_client_that_accepts_gzip_among_others_gets_it(value: str) -> None:
    answer, _ = await get(app_of([LONG]), accept_encoding=value)

    assert answer.headers["content-encoding"] == "gzip"


async def test_client_on_this_machine_is_only_sent_gzip_where_that_is_set() -> None:
    """Compressing costs such a client more than it saves."""
    assert "content-encoding" not in (await get(app_of([LONG]), client=NEAR))[0].headers
    assert (
        "content-encoding" in (await get(app_of([LONG]), client=NEAR, clients="always"))[0].headers
    )
    assert "content-encoding" not in (await get(app_of([LONG]), clients="never"))[0].headers


async def test_proxy_on_this_machine_is_sent_gzip() -> None:
    answer, _ = await get(app_of([LONG]), client=NEAR, forwarded_for="192.0.2.9")

    assert answer.headers["content-encoding"] == "gzip"


async def test_answer_that_is_encoded_already_or_no_success_is_left_alone() -> None:
    encoded, _ = await get(app_of([LONG], headers={"Content-Encoding": "identity"}))
    partial, _ = await get(app_of([LONG], status=206))

    assert encoded.headers["content-encoding"] == "identity"
    assert "content-encoding" not in partial.headers


async def test_strong_validator_becomes_a_weak_one() -> None:
    strong, _ = await get(app_of([LONG], headers={"ETag": '"a"'}))
    weak, _ = await get(app_of([LONG], headers={"ETag": 'W/"a"'}))

    assert strong.headers["etag"] == weak.headers["etag"] == 'W/"a"'


@given(st.lists(st.binary(max_size=4000), min_size=2, max_size=6))
async def test_stream_of_any_pieces_arrives_whole(chunks: list[bytes]) -> None:
    _, raw = await get(app_of(chunks))

    assert gzip.decompress(raw) == b"".join(chunks)


async def test_large_pieces_arrive_whole() -> None:
    chunks = [bytes([n]) * (IN_THREAD_BYTES + n) for n in range(3)]
    _, raw = await get(app_of(chunks))

    assert gzip.decompress(raw) == b"".join(chunks)


async def test_what_is_no_request_passes() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert receive is None
        assert send is None
        seen.append(Request(scope).scope["type"] if scope["type"] == "http" else scope["type"])

    await Compress(app, clients="always")({"type": "lifespan"}, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan"]
