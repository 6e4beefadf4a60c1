"""Keeps Coregister's Subscriptions on the FHIR server alive, and knows their secrets.

Strategy: one Subscription for each type and index prefix, under a computed id, so that several workers share
them. At start a worker points them at itself or the address that stands for all workers; afterwards, on a
timer, one that was deleted, ended or changed is made again, but its address is left to whoever started last.
A call carries a secret that is derived from one that the workers share. Calls may be lost, so nothing
depends on them (`app.services.catch_up`).
"""

import asyncio
import hmac
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Gauge

from app.errors import CoregisterError
from app.fhir.ids import subscription_id
from app.fhir.subscription import active, alive, same, subscription_resource
from app.limits import Limits
from app.services.change_cursor import CHANGES
from app.stores.elasticsearch import ElasticsearchIndex, Write
from app.stores.hapi import HapiStore

# Not ImagingStudy: there would be a call for each commit. Its changes are found by asking.
SUBSCRIBED = ("Patient", "ServiceRequest")
SECRET = "secret"  # noqa: S105 - the id of the document that has it
SECRET_BYTES = 32

log = structlog.get_logger(__name__)


class Subscriptions:
    """The Subscriptions of one index prefix."""

    def __init__(
        self,
        resource_types: Sequence[str],
        *,
        fhir: HapiStore,
        index: ElasticsearchIndex,
        base: str | None,
        shared: bool,
        secret: str | None,
        limits: Limits,
        registry: CollectorRegistry,
    ) -> None:
        """Have changes of these types told below `base`; without one there are no Subscriptions.

        `shared` says that other workers may be reached there, too.
        """
        self._fhir = fhir
        self._index = index
        self._base = base
        self._shared = shared
        self._secret = secret
        self._seconds = limits.subscription_seconds
        self._ids = {name: subscription_id(index.alias(""), name) for name in resource_types}
        self._active = Gauge(
            "coregister_subscription_active",
            "Whether the FHIR server tells of changes of a type, as last looked at.",
            ["resource_type"],
            registry=registry,
        )

    def knows(self, resource_type: str, secret: str) -> bool:
        """Tell whether a call has the secret of the type's Subscription; takes as long either way."""
        subscription = self._ids.get(resource_type)
        if subscription is None or self._secret is None:
            return False
        return hmac.compare_digest(self._derived(subscription).encode(), secret.encode())

    async def run_forever(self) -> None:
        """Make the Subscriptions, and look after them; a server that is down is asked again later.

        Without an address, those of former days are removed.
        """
        first = True
        while True:
            try:
                for resource_type in self._ids:
                    if self._base is None:
                        await self._remove(resource_type)
                    else:
                        await self.ensure(resource_type, move=first)
                first = False
                if self._base is None:
                    return
            except CoregisterError as error:
                log.warning("subscriptions_not_kept", error=type(error).__name__)
            await asyncio.sleep(self._seconds)

    async def close(self) -> None:
        """Take back the Subscriptions that call this process alone, so that nobody calls in vain.

        HAPI tries each call again and again, and when a thousand wait it stops taking writes.
        """
        if self._base is None or self._shared:
            return
        for resource_type, subscription in self._ids.items():
            with suppress(CoregisterError):
                found = (await self._fhir.read("Subscription", subscription)).resource
                if found is not None and _called(found) == self._endpoint(resource_type):
                    await self._remove(resource_type)

    async def ensure(self, resource_type: str, *, move: bool) -> None:
        """See that a type's Subscription is there and alive; with `move`, that it calls this base.

        Raises FhirUnavailable, IndexUnavailable, LinkRefused, VersionConflict.
        """
        if self._secret is None:
            self._secret = await self._shared_secret()
        subscription = self._ids[resource_type]
        wanted = subscription_resource(
            resource_type,
            subscription_id=subscription,
            endpoint=self._endpoint(resource_type),
            secret=self._derived(subscription),
        )
        found = (await self._fhir.read("Subscription", subscription)).resource
        self._active.labels(resource_type).set(active(found))
        if found is not None and alive(found) and same(found, wanted, endpoint=move):
            return
        if found is not None and not move:
            wanted["channel"]["endpoint"] = _called(found) or self._endpoint(resource_type)
        await self._fhir.write([wanted])
        log.info("subscribed", resource_type=resource_type)

    async def _remove(self, resource_type: str) -> None:
        found = await self._fhir.read("Subscription", self._ids[resource_type])
        if found.resource is not None:
            await self._fhir.delete("Subscription", self._ids[resource_type], found.version)

    async def _shared_secret(self) -> str:
        """Return the secret that the first worker made. Raises IndexUnavailable."""
        made = {"secret": secrets.token_hex(SECRET_BYTES)}
        await self._index.bulk([Write("create", CHANGES, SECRET, made)])
        found = await self._index.get_many(CHANGES, [SECRET])
        secret: str = found[SECRET]["secret"]
        return secret

    def _endpoint(self, resource_type: str) -> str:
        return f"{self._base}/hooks/fhir/{resource_type}"

    def _derived(self, subscription: str) -> str:
        root = self._secret or ""
        return hmac.new(root.encode(), subscription.encode(), "sha256").hexdigest()


def _called(subscription: Mapping[str, Any]) -> str | None:
    """Return the address that a Subscription calls."""
    endpoint: str | None = subscription.get("channel", {}).get("endpoint")
    return endpoint
