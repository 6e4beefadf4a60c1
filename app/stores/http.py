"""The one place that makes HTTP clients for the servers behind."""

from collections.abc import Mapping

import httpx
from httpx_aiohttp import AiohttpTransport

KEEPALIVE_SECONDS = (
    60.0  # below the 30 s to 5 min at which servers close idle connections themselves
)
CONNECT_SECONDS = 5.0


def http_client(
    base_url: str,
    *,
    timeout_seconds: float,
    headers: Mapping[str, str] | None = None,
    connections: int = 32,
) -> httpx.AsyncClient:
    """Return a client with one pool of kept connections; the caller closes it."""
    limits = httpx.Limits(
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )
    return httpx.AsyncClient(
        base_url=base_url,
        headers=dict(headers or {}),
        timeout=httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds)),
        # half the processor time of httpx's own transport, for each request
        transport=AiohttpTransport(limits=limits, trust_env=False),
        trust_env=False,  # a proxy variable meant for package downloads must not catch patient data
    )
