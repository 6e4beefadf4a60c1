"""The Subscriptions by which the FHIR server tells Coregister that something was changed (R4 Subscription)."""

from collections.abc import Mapping
from typing import Any

SECRET_HEADER = "X-Coregister-Secret"  # noqa: S105 - a header's name

# HAPI tells of deletions only where this asks for it
_SEND_DELETES = "http://hapifhir.io/fhir/StructureDefinition/subscription-send-delete-messages"


def subscription_resource(
    resource_type: str, *, subscription_id: str, endpoint: str, secret: str
) -> dict[str, Any]:
    """Return the Subscription on every change of a type of resource; a call of it has no body."""
    return {
        "resourceType": "Subscription",
        "id": subscription_id,
        "status": "requested",
        "reason": f"Coregister follows changes of {resource_type}.",
        "criteria": f"{resource_type}?",
        "channel": {
            "extension": [{"url": _SEND_DELETES, "valueBoolean": True}],
            "type": "rest-hook",
            "endpoint": endpoint,
            "header": [f"{SECRET_HEADER}: {secret}"],
        },
    }


def alive(found: Mapping[str, Any] | None) -> bool:
    """Tell whether a Subscription is active, or about to be."""
    return found is not None and found.get("status") in ("active", "requested")


def active(found: Mapping[str, Any] | None) -> bool:
    """Tell whether a Subscription is active."""
    return found is not None and found.get("status") == "active"


def same(found: Mapping[str, Any], wanted: Mapping[str, Any], *, endpoint: bool) -> bool:
    """Tell whether a Subscription asks for what is wanted; with `endpoint`, also that it calls there."""
    one, other = found.get("channel", {}), wanted["channel"]
    names = ("type", "header", "extension", "payload", *(("endpoint",) if endpoint else ()))
    return found.get("criteria") == wanted["criteria"] and all(
        one.get(name) == other.get(name) for name in names
    )
