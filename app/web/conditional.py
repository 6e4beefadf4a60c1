"""Validators of answers, and requests that depend on them (RFC 9110 §8.8, §13; RFC 9111 §5.2).

What an answer says of its age: it is for this client alone, and may be used again only after asking whether it
is still what is stored. So a deleted or corrected object is never shown from a cache.
"""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from starlette.requests import Request
from starlette.responses import Response

NOT_MODIFIED = 304
# what of a request may change the answer (app.web.wado_target)
VARY = "Accept, msdicom-request-original"


def weak_etag(clock: str, form: str) -> str:
    """Return the validator of an answer that is the same in content, though not in every byte."""
    return f"W/{strong_etag(clock, form)}"


def strong_etag(clock: str, form: str) -> str:
    """Return the validator of an answer that is the same byte for byte; `form` is what else shapes it."""
    return f'"{clock}-{crc32(form.encode()):08x}"'


def caching(etag: str) -> dict[str, str]:
    """Return the headers that go with a validator."""
    return {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": VARY}


def asks_conditionally(request: Request[Any]) -> bool:
    """Tell whether the client may have the answer already."""
    return "if-none-match" in request.headers


def is_known(request: Request[Any], etag: str) -> bool:
    """Tell whether the client has what the validator stands for (weak comparison)."""
    held = [tag.strip() for tag in ",".join(request.headers.getlist("if-none-match")).split(",")]
    return "*" in held or _opaque(etag) in {_opaque(tag) for tag in held}


def is_same_bytes(held: str, etag: str) -> bool:
    """Tell whether If-Range names what is there now (strong comparison; a date never does)."""
    return held == etag and not etag.startswith("W/")


def not_modified(headers: Mapping[str, str]) -> Response:
    """Return the answer to a client that has it already."""
    return Response(status_code=NOT_MODIFIED, headers=dict(headers))


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")
