"""Subscriptions are made, kept alive, and nobody else's calls are believed."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.fhir.subscription import SECRET_HEADER
from app.limits import Limits
from app.services.subscriptions import SUBSCRIBED, Subscriptions
from app.stores.elasticsearch import Write, WriteResult
from app.stores.hapi import Found

BASE = "http://coregister.test"


@dataclass
class World:
    """A FHIR server with Subscriptions and an index with the shared secret."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    written: int = 0
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def alias(self, name: str) -> str:
        return f"archive-{name}"

    async def read(self, resource_type: str, resource_id: str) -> Found:
        assert resource_type == "Subscription"
        found = self.resources.get(resource_id)
        return Found(deepcopy(found), 1 if found else 0)

    async def write(self, resources: Sequence[Mapping[str, Any]]) -> None:
        self.written += 1
        for each in resources:
            self.resources[each["id"]] = deepcopy(dict(each))

    async def delete(self, resource_type: str, resource_id: str, version: int) -> None:
        assert (resource_type, version) == ("Subscription", 1)
        del self.resources[resource_id]

    async def bulk(self, writes: Sequence[Write]) -> list[WriteResult]:
        (write,) = writes
        assert write.action == "create"
        assert write.source is not None
        self.documents.setdefault(write.id, write.source)
        return [WriteResult(201)]

    async def get_many(self, _: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return {key: self.documents[key] for key in ids if key in self.documents}

    def subscriptions(
        self, base: str | None = BASE, secret: str | None = None, *, shared: bool = False
    ) -> Subscriptions:
        fake: Any = self
        return Subscriptions(
            SUBSCRIBED, fhir=fake, index=fake, base=base, secret=secret, shared=shared,
            limits=Limits(), registry=CollectorRegistry(),
        )  # fmt: skip

    async def ensured(self, *, move: bool = True, **settings: Any) -> Subscriptions:
        subscriptions = self.subscriptions(**settings)
        for resource_type in SUBSCRIBED:
            await subscriptions.ensure(resource_type, move=move)
        return subscriptions

    def of(self, resource_type: str) -> dict[str, Any]:
        (found,) = (
            each for each in self.resources.values() if each["criteria"] == f"{resource_type}?"
        )
        return found

    def secret_of(self, resource_type: str) -> str:
        (header,) = self.of(resource_type)["channel"]["header"]
        name, _, secret = header.partition(": ")
        assert name == SECRET_HEADER
        return str(secret)


@pytest.fixture
def world() -> World:
    return World()


async def test_each_type_has_one_that_calls_its_own_address(world: World) -> None:
    await world.ensured()

    endpoints = {each["channel"]["endpoint"] for each in world.resources.values()}
    assert endpoints == {f"{BASE}/hooks/fhir/{name}" for name in SUBSCRIBED}
    assert all("payload" not in each["channel"] for each in world.resources.values())
    assert {each["status"] for each in world.resources.values()} == {"requested"}


async def test_one_that_is_active_is_left_alone(world: World) -> None:
    await world.ensured()
    for each in world.resources.values():
        each["status"] = "active"
    written = world.written
    await world.ensured(move=False)
    await world.ensured(move=True)

    assert world.written == written


@pytest.mark.parametrize(
    "edit",
    [
        {"status": "off"},
        {"status": "error", "error": "Connection refused"},
        {"criteria": "Patient?name=a"},
        {"channel": {"type": "rest-hook", "endpoint": f"{BASE}/hooks/fhir/Patient"}},
    ],
)
async def test_one_that_ended_or_was_changed_is_asked_for_again(
    world: World, edit: dict[str, Any]
) -> None:
    await world.ensured()
    wanted = deepcopy(world.of("Patient"))
    world.of("Patient").update(edit)
    await world.ensured(move=False)

    assert world.resources[wanted["id"]] == wanted


async def test_one_that_was_deleted_is_made_again(world: World) -> None:
    await world.ensured()
    before = deepcopy(world.resources)
    world.resources.clear()
    await world.ensured(move=False)

    assert world.resources == before


async def test_workers_share_secrets_and_the_last_one_to_start_is_called(world: World) -> None:
    first = await world.ensured()
    second = await world.ensured(base="http://second.test")
    assert world.of("Patient")["channel"]["endpoint"] == "http://second.test/hooks/fhir/Patient"
    await first.ensure("Patient", move=False)
    assert world.of("Patient")["channel"]["endpoint"] == "http://second.test/hooks/fhir/Patient"

    secret = world.secret_of("Patient")
    assert first.knows("Patient", secret)
    assert second.knows("Patient", secret)


async def test_a_restarted_worker_knows_the_secret_that_is_in_use(world: World) -> None:
    await world.ensured()
    secret = world.secret_of("Patient")

    assert (await world.ensured()).knows("Patient", secret)


async def test_each_subscription_has_its_own_secret(world: World) -> None:
    subscriptions = await world.ensured()
    secret = world.secret_of("Patient")

    assert secret != world.secret_of("ServiceRequest")
    assert not subscriptions.knows("ServiceRequest", secret)
    assert not subscriptions.knows("Observation", secret)
    for wrong in ("", secret[:-1], secret.upper(), "\u00e4"):
        assert not subscriptions.knows("Patient", wrong)


async def test_a_secret_that_is_set_is_kept_nowhere_and_not_sent_as_it_is(world: World) -> None:
    configured = "a configured secret"
    subscriptions = await world.ensured(secret=configured)

    assert world.documents == {}
    assert configured not in str(world.resources)
    assert subscriptions.knows("Patient", world.secret_of("Patient"))


async def test_without_an_address_there_are_none(world: World) -> None:
    await world.ensured()
    subscriptions = world.subscriptions(base=None)
    await subscriptions.run_forever()

    assert world.resources == {}
    assert not subscriptions.knows("Patient", "")


async def test_who_stops_takes_back_what_would_be_called_in_vain(world: World) -> None:
    first = await world.ensured()
    second = await world.ensured(base="http://second.test")
    await first.close()
    assert len(world.resources) == len(SUBSCRIBED)

    await second.close()
    assert world.resources == {}


async def test_an_address_of_several_workers_is_called_after_one_has_stopped(world: World) -> None:
    subscriptions = await world.ensured(shared=True)
    await subscriptions.close()

    assert len(world.resources) == len(SUBSCRIBED)
