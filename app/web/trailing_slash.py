"""Serves an address with a slash at its end as the same one without.

A redirect would send clients to an address made from `Host`, which anybody can choose, and which is the wrong
one behind a proxy.
"""

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send


class TrailingSlash:
    """ASGI middleware right before routing."""

    def __init__(self, app: ASGIApp, *, bases: Collection[str], excepted: str) -> None:
        """Routing wants a slash after each of `bases`; what is below `excepted` stays as it is."""
        self._app = app
        self._bases = bases
        self._excepted = excepted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not scope["path"].startswith(self._excepted):
            path = scope["path"].rstrip("/")
            scope["path"] = f"{path}/" if path in self._bases else path
        await self._app(scope, receive, send)
