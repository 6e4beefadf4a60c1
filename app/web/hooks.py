"""`/hooks/fhir/{resource_type}`: where the FHIR server's Subscriptions call.

A call has no body that matters: it wakes the reader of changes, which asks the FHIR server itself. HAPI calls
with POST; a Subscription that sends resources uses PUT and DELETE with the resource's type and id behind.
"""

from starlette.requests import Request
from starlette.responses import Response

from app.fhir.subscription import SECRET_HEADER
from app.web.problem import problem
from app.web.state import State

ACCEPTED = 202
UNAUTHORIZED = 401


async def hear(request: Request[State]) -> Response:
    """Answer 202 and have the type's latest changes read; 401 without the Subscription's secret."""
    resource_type = request.path_params["resource_type"]
    secret = request.headers.get(SECRET_HEADER, "")
    if not request.state["subscriptions"].knows(resource_type, secret):
        answer = problem(
            UNAUTHORIZED, f"A call of a subscription has its secret in {SECRET_HEADER}."
        )
        answer.headers["WWW-Authenticate"] = "Coregister-Secret"
        return answer
    request.state["changes"].wake(resource_type)
    return Response(status_code=ACCEPTED)
