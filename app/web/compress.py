"""Compresses JSON, XML and CSV for clients that accept gzip (RFC 9110 §8.4.1.3); never what holds pixels.

Strategy: at the cheapest level, which leaves a tenth of a search's DICOM JSON, and piece by piece, so that an
answer that is streamed stays one. Small answers are sent as they are; large pieces are compressed in a
thread. A client on this very machine is sent everything as it is, unless that is asked for: compressing
costs it more than it saves.
"""

import ipaddress
import re
import zlib
from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Clients = Literal["remote", "always", "never"]

OK = 200
SMALL_BYTES = 2048  # about what goes over a network at once
IN_THREAD_BYTES = 128 * 1024  # takes about a millisecond
_LEVEL, _GZIP = 1, 31
_TEXTS = frozenset(
    {"application/dicom+json", "application/json", "application/dicom+xml", "text/csv"}
)
_XML_PARTS = re.compile(r"""multipart/related\s*;\s*type="?application/dicom\+xml""", re.IGNORECASE)
_BY_A_PROXY = ("forwarded", "via", "x-forwarded-for")


class Compress:
    """ASGI middleware around whatever may send text."""

    def __init__(self, app: ASGIApp, *, clients: Clients) -> None:
        """Compress for these clients."""
        self._app = app
        self._clients = clients

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and self._clients != "never":
            headers = Headers(scope=scope)
            wanted = _accepts_gzip(headers.get("accept-encoding", ""))
            near = self._clients == "remote" and _is_near(scope, headers)
            send = _Answer(send, wanted=wanted and not near).send
        await self._app(scope, receive, send)


class _Answer:
    """One answer on its way out."""

    def __init__(self, send: Send, *, wanted: bool) -> None:
        self._send = send
        self._wanted = wanted
        self._start: Message | None = None  # kept back until the first bytes show the size
        self._deflate: zlib._Compress | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on, compressed where that is wanted."""
        if message["type"] == "http.response.start" and _is_text(message):
            MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
            if self._wanted:
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start is not None:
            await self._begin(self._start, message)
            self._start = None
        if message["type"] == "http.response.body" and self._deflate is not None:
            await self._send_deflated(message)
        else:
            await self._send(message)

    async def _begin(self, start: Message, first: Message) -> None:
        """Send the head of the answer, now that it is known whether the body will be compressed."""
        if first.get("more_body", False) or len(first.get("body", b"")) >= SMALL_BYTES:
            self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            headers = MutableHeaders(scope=start)
            del headers["content-length"]
            headers["content-encoding"] = "gzip"
            etag = headers.get("etag", "W/")
            if not etag.startswith("W/"):  # other bytes, so no longer the strong validator's
                headers["etag"] = f"W/{etag}"
        await self._send(start)

    async def _send_deflated(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if len(body) >= IN_THREAD_BYTES:
            body = await run_in_threadpool(self._deflated, body, more=more)
        else:
            body = self._deflated(body, more=more)
        if body or not more:
            await self._send({"type": message["type"], "body": body, "more_body": more})

    def _deflated(self, body: bytes, *, more: bool) -> bytes:
        if self._deflate is None:
            return body
        return self._deflate.compress(body) + (b"" if more else self._deflate.flush())


def _is_text(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    if start["status"] != OK or "content-encoding" in headers:
        return False
    content_type = headers.get("content-type", "")
    return content_type.partition(";")[0] in _TEXTS or bool(_XML_PARTS.match(content_type))


def _accepts_gzip(value: str) -> bool:
    """Tell whether gzip is among the codings, and not refused by a quality of 0."""
    for item in value.lower().split(","):
        name, _, parameters = item.partition(";")
        if name.strip() in ("gzip", "x-gzip", "*"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameters)
    return False


def _is_near(scope: Scope, headers: Headers) -> bool:
    """Tell whether the client runs on this machine, and is no proxy for others."""
    host = (scope.get("client") or ("",))[0]
    try:
        return ipaddress.ip_address(host).is_loopback and not any(
            name in headers for name in _BY_A_PROXY
        )
    except ValueError:
        return False
