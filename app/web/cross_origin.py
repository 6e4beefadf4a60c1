"""Which web pages' scripts may call this server from a browser (CORS), as viewers need it."""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PATCH", "PUT", "DELETE")
SENT = (
    "Accept",
    "Authorization",
    "Cache-Control",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Range",
    "X-Requested-With",
    "msdicom-request-original",
)
SHOWN = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Length",
    "Content-Location",
    "Content-Range",
    "erroneous-dicom-attributes",
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "Warning",
    "X-Next-Cursor",
    "X-Total-Count",
)
PREFLIGHT_SECONDS = 600


def cross_origin(origins: Sequence[str]) -> list[Middleware]:
    """Return the middleware that lets pages of these origins in; none where there are none.

    No credentials are allowed that a browser adds by itself, such as cookies: viewers send a header.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=METHODS,
            allow_headers=SENT,
            expose_headers=SHOWN,
            max_age=PREFLIGHT_SECONDS,
        )
    ]
