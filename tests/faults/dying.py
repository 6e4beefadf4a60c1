"""A Coregister in a process of its own that dies, or whose stores fail, at a chosen call of the write path.

Run by `tests/faults/test_crash_points.py` and `tests/faults/test_delete_crash_points.py`. The process
ends by `os._exit`, so nothing is finished or cleaned up: what is left is what a crash leaves.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from prometheus_client import CollectorRegistry

from app import logs
from app.errors import (
    BlobsUnavailable,
    CoregisterError,
    FhirUnavailable,
    IndexUnavailable,
    NotFound,
)
from app.main import compose
from app.services.catch_up import CatchUp
from app.services.subscriptions import Subscriptions
from app.services.tombstones import Target
from app.settings import Settings
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.hapi import HapiStore
from app.stores.local_blobs import LocalBlobs
from app.web.state import State

STEPS: tuple[tuple[type, str, type[CoregisterError]], ...] = (
    (LocalBlobs, "put", BlobsUnavailable),
    (LocalBlobs, "read", BlobsUnavailable),
    (LocalBlobs, "delete", BlobsUnavailable),
    (ElasticsearchIndex, "get_many", IndexUnavailable),
    (ElasticsearchIndex, "get_places", IndexUnavailable),
    (ElasticsearchIndex, "search", IndexUnavailable),
    (ElasticsearchIndex, "bulk", IndexUnavailable),
    (HapiStore, "read", FhirUnavailable),
    (HapiStore, "ask", FhirUnavailable),
    (HapiStore, "commit", FhirUnavailable),
    (HapiStore, "delete", FhirUnavailable),
)
DIED = 9


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to go wrong: at which call of a step, before or after its effect."""

    call: int | None = None  # counted from 0; None: nothing goes wrong
    after: bool = False
    step: str | None = None  # count only calls of this name
    dies: bool = True  # else the store fails once and all goes on
    at_start: bool = False  # count while what an earlier crash left is cleared up


WELL = Plan()


@dataclass(slots=True)
class Fate:
    """Counts the calls and lets the planned one go wrong."""

    plan: Plan
    armed: bool = False
    calls: int = 0

    def strikes(self, step: str) -> bool:
        """Count a call; tell whether it is the one."""
        if not self.armed or self.plan.step not in (None, step):
            return False
        self.calls += 1
        return self.calls - 1 == self.plan.call

    def strike(self, error: type[CoregisterError]) -> None:
        """Let it go wrong."""
        if self.plan.dies:
            os._exit(DIED)
        raise error("It was made to fail.", retry_after=1)

    def wrap(self, kind: type, name: str, error: type[CoregisterError]) -> None:
        """Put this fate before and after a method."""
        method: Callable[..., Awaitable[Any]] = getattr(kind, name)

        async def fated(*args: Any, **kwargs: Any) -> Any:
            struck = self.strikes(name)
            if struck and not self.plan.after:
                self.strike(error)
            result = await method(*args, **kwargs)
            if struck:
                self.strike(error)
            return result

        setattr(kind, name, fated)


@dataclass(frozen=True, slots=True)
class Materialize:
    """What is to be stored anew as it is shown."""

    target: Target


@dataclass(frozen=True, slots=True)
class PatientChanged:
    """Whose change is to be followed."""

    patient_id: str


# instances to store, or what to delete
Request = Sequence[bytes] | Target | Materialize | PatientChanged
Act = tuple[Sequence[Request], Plan]  # requests that are sent at once, and what goes wrong


def run(settings: Mapping[str, Any], acts: Sequence[Act], report: Connection) -> None:
    """Go through the acts; report ((act, request), [stored or not]), and (act, calls) of each."""
    logs.configure("error")
    asyncio.run(_run(Settings(**settings), acts, report))


async def _run(settings: Settings, acts: Sequence[Act], report: Connection) -> None:
    fate = Fate(acts[0][1], armed=acts[0][1].at_start)
    for kind, name, error in STEPS:
        fate.wrap(kind, name, error)
    for listener in (CatchUp, Subscriptions):  # calls for others' changes would be counted
        setattr(listener, "run_forever", _never)  # noqa: B010 - a method cannot be assigned

    async def request(state: State, act: int, number: int) -> None:
        sent = acts[act][0][number]
        match sent:
            case Target():
                answer = await _delete(state, sent)
            case Materialize():
                answer = await _materialize(state, sent.target)
            case PatientChanged():
                answer = await _follow(state, sent.patient_id)
            case _:
                answer = await _store(state, sent)
        report.send(((act, number), answer))

    async with compose(settings, CollectorRegistry()) as state:
        for act, (requests, plan) in enumerate(acts):
            if not plan.at_start:
                fate.plan, fate.armed, fate.calls = plan, True, 0
            await asyncio.gather(*(request(state, act, n) for n in range(len(requests))))
            report.send((act, fate.calls))  # what goes on in the background is not among them


async def _delete(state: State, target: Target) -> list[bool]:
    """Do what the DELETE handler does; return whether it is acknowledged."""
    try:
        await state["delete"].delete(target)
    except NotFound:  # an attempt before did it
        return [True]
    except CoregisterError:
        return [False]
    return [True]


async def _materialize(state: State, target: Target) -> list[bool]:
    """Do what the handler of `$materialize` does; return whether nothing is left to do."""
    try:
        progress = await state["materialize"].materialize(target)
    except CoregisterError:
        return [False]
    return [progress.finished and not progress.failed]


async def _follow(state: State, patient_id: str) -> list[bool]:
    """Do what is done when a change of a Patient is heard of; return whether all follow it."""
    try:
        await state["correct"].patient_changed(patient_id)
    except CoregisterError:
        return [False]
    return [True]


async def _never(_: object) -> None:
    await asyncio.Event().wait()


async def _store(state: State, parts: Sequence[bytes]) -> list[bool]:
    """Do what the STOW handler does; return which parts are acknowledged."""
    intake = state["store"].intake()
    try:
        for part in parts:
            intake.begin()
            await intake.write(part)
            await intake.end()
        outcomes = await state["store"].store(await intake.finish())
    except CoregisterError:
        return [False for _ in parts]
    finally:
        await intake.discard()
    return [outcome.error is None for outcome in outcomes]
