"""DELETE of studies, series and instances: an extension, PS3.18 has none."""

from starlette.requests import Request
from starlette.responses import Response

from app.web.state import State
from app.web.wado_target import target_of

NO_CONTENT = 204


async def delete_instances(request: Request[State]) -> Response:
    """Delete a study, a series or an instance; answer when FHIR and the index have it no more."""
    await request.state["delete"].delete(target_of(request))
    return Response(status_code=NO_CONTENT)
