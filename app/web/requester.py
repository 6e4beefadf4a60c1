"""Says who asks, for the Provenance of what comes of it."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.fhir.attributes import fhir_string
from app.fhir.provenance import Requester
from app.services.requester import REQUESTER

LONGEST_NAME = 200  # of a program; some browsers name half of the others


class NameRequester:
    """ASGI middleware: what a request begins is done for its user and program."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. The user is whom an authentication before this one has found."""
        if scope["type"] == "http":
            user = getattr(scope.get("user"), "display_name", "")
            client = fhir_string(Headers(scope=scope).get("user-agent", "")[:LONGEST_NAME])
            REQUESTER.set(Requester(user=user, client=client))
        await self._app(scope, receive, send)
