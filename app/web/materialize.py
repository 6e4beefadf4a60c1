"""`$materialize`: corrected objects are stored as new versions (an extension, PS3.18 has none)."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.services.materialize import Progress
from app.web.negotiation import Offer, accepted, choose
from app.web.state import State
from app.web.wado_target import target_of

OFFERS = (Offer("application/json"),)
OK, ACCEPTED = 200, 202
_ASK_AGAIN_SECONDS = "5"


async def materialize_instances(request: Request[State]) -> Response:
    """Store a study, series or instance as it is shown, in new versions; tell how far that is."""
    choose(accepted(request), OFFERS)
    progress = await request.state["materialize"].materialize(target_of(request))
    status, headers = OK, {"Cache-Control": "no-store"}
    if not progress.finished:
        status, headers = ACCEPTED, {**headers, "Retry-After": _ASK_AGAIN_SECONDS}
    body = orjson.dumps(_told(progress))
    return Response(body, status, headers=headers, media_type="application/json")


def _told(progress: Progress) -> dict[str, Any]:
    return {
        "status": "finished" if progress.finished else "in-progress",
        "corrected": progress.instances,
        "materialized": list(progress.done),
        "failed": [
            {"sopInstanceUID": uid, "error": type(error).__name__, "detail": error.message}
            for uid, error in progress.failed.items()
        ],
    }
