"""`/health/live`, `/health/ready` and `/metrics`, for whoever operates this."""

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from app.web.state import State


async def live(_: Request[State]) -> Response:
    """Answer 200 while the process serves requests at all."""
    return Response(b'{"status":"ok"}', media_type="application/json")


async def ready(request: Request[State]) -> Response:
    """Answer 200 when every store behind can be used, else 503; either way name each one's state."""
    states = await request.state["readiness"].check()
    good = all(state.ok for state in states.values())
    body = {
        "status": "ok" if good else "unavailable",
        "stores": {
            name: {"status": "ok" if state.ok else "unavailable", "detail": state.detail}
            for name, state in states.items()
        },
    }
    return Response(orjson.dumps(body), 200 if good else 503, media_type="application/json")


async def metrics(request: Request[State]) -> Response:
    """Answer with the metrics in Prometheus' text format."""
    return Response(
        generate_latest(request.state["registry"]), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
