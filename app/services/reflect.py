"""Carries what was changed in FHIR on to whoever has to follow: one handler for each type of resource.

Strategy: a change is an id, nothing more; a handler reads the resource as it is now and makes the archive
agree, so doing it twice, or late, is as good as once. Changes of one resource are coalesced: while one waits
for its turn, another is the same work. Resources are independent of each other, and a failure of one stays
with it: it is tried again a little later, and then told to the caller, who remembers it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import stamina
import structlog
from prometheus_client import CollectorRegistry, Counter

from app.errors import CoregisterError
from app.limits import Limits
from app.services.problems import ProblemRecord, Problems

TRIES = 3
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0

Handler = Callable[[str], Awaitable[None]]  # of a resource's logical id
Key = tuple[str, str]  # type and logical id

log = structlog.get_logger(__name__)


class Reflect:
    """The handlers, and what waits for them."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        problems: Problems,
        limits: Limits,
        registry: CollectorRegistry,
    ) -> None:
        """Call `handlers`, one by type of resource; note what fails with `problems`."""
        self._handlers = handlers
        self._problems = problems
        self._slots = asyncio.Semaphore(limits.changes_at_once)
        self._waiting: dict[Key, asyncio.Task[bool]] = {}
        self._running: dict[Key, asyncio.Task[bool]] = {}
        self._counted = Counter(
            "coregister_changes",
            "Changed FHIR resources that were looked at, by what became of it.",
            ["resource_type", "outcome"],
            registry=registry,
        )

    @property
    def resource_types(self) -> tuple[str, ...]:
        """Return the types that somebody follows."""
        return tuple(self._handlers)

    async def handle(self, resource_type: str, resource_id: str) -> bool:
        """Have the archive follow a resource; tell whether it does. Never raises what a handler raises."""
        key = (resource_type, resource_id)
        task = self._waiting.get(key)
        if task is None:
            task = asyncio.create_task(self._in_turn(key, self._running.get(key)))
            self._waiting[key] = task
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what is under way."""
        while under_way := {*self._waiting.values(), *self._running.values()}:
            await asyncio.wait(under_way)

    async def _in_turn(self, key: Key, before: asyncio.Task[bool] | None) -> bool:
        if before is not None:
            await asyncio.wait([before])
        async with self._slots:
            # whoever hears of a change from here on may know more than what is read now
            self._running[key] = self._waiting.pop(key)
            try:
                done = await self._follow(*key)
            finally:
                del self._running[key]
        self._counted.labels(key[0], "handled" if done else "failed").inc()
        return done

    async def _follow(self, resource_type: str, resource_id: str) -> bool:
        try:
            async for attempt in stamina.retry_context(
                on=CoregisterError,
                attempts=TRIES,
                timeout=None,
                wait_initial=FIRST_PAUSE_SECONDS,
                wait_max=LONGEST_PAUSE_SECONDS,
            ):
                with attempt:
                    await self._handlers[resource_type](resource_id)
        except CoregisterError as error:
            self._note(resource_type, error)
            return False
        except Exception as error:
            # whatever somebody wrote into a resource, the next ones have to be looked at
            log.exception("change_handler_failed", resource_type=resource_type)
            self._note(resource_type, error)
            return False
        return True

    def _note(self, resource_type: str, error: Exception) -> None:
        kind = type(error).__name__
        log.warning("change_not_followed", resource_type=resource_type, error=kind)
        self._problems.note(
            ProblemRecord(
                kind="transient-retry"
                if isinstance(error, CoregisterError)
                else "transient-failure",
                study_instance_uid="",
                message=f"A change of a {resource_type} could not be followed; it is tried again.",
                value_class=f"{resource_type}: {kind}",
            )
        )
