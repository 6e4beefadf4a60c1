"""Logs and counts each request: by route, never by path or query, which name patients' studies."""

import time
from inspect import isfunction

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.routes import PATTERNS

QUIET = ("/health/live", "/health/ready", "/metrics")
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

log = structlog.get_logger(__name__)


class Telemetry:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        """Count into `registry`."""
        self._app = app
        self._requests = Counter(
            "coregister_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "coregister_http_request_seconds",
            "Time from the request's head to the answer's last byte.",
            ["method", "route"],
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and note how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        begun = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._note(scope, status, time.perf_counter() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = _pattern(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        if route not in QUIET:
            log.info(
                "request",
                method=method,
                route=route,
                status=status,
                milliseconds=round(seconds * 1000, 1),
            )


def _pattern(scope: Scope) -> str:
    """Return the pattern of the route; `none` where there is none: a path names patients' studies."""
    endpoint = scope.get("endpoint")
    if not isfunction(endpoint):  # nothing, or the router of what stands under a common prefix
        return "none"
    return PATTERNS.get((endpoint, frozenset(scope.get("path_params", ()))), "none")
