"""Who asked for what is under way; whatever is begun meanwhile is done for the same."""

from contextvars import ContextVar

from app.fhir.provenance import Requester

REQUESTER: ContextVar[Requester | None] = ContextVar("requester", default=None)


def requester() -> Requester:
    """Return who asked; nobody where Coregister acts by itself."""
    return REQUESTER.get() or Requester()
