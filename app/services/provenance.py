"""Tells FHIR of everything that was done: a Provenance for each occasion, written off the answer's path.

Strategy: an intent that is carried out is not struck out but settled: its document says of what the Provenance
is due. What was done to one study for one requester within a few seconds becomes one Provenance, because many
senders bring each instance with a request of its own. Many go to FHIR in one transaction, and then their
intents are struck out. So a crash loses none: whoever finds a settled intent of a worker that is gone writes
its Provenance. Where more is due than memory should hold, the rest is left to that way too.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from app.errors import CoregisterError, LinkRefused, VersionConflict
from app.fhir.provenance import Deed, provenance_resource
from app.limits import Limits
from app.services.deeds import deed_of
from app.services.intents import Intent
from app.services.journal import Journal
from app.services.problems import ProblemRecord, Problems
from app.stores.hapi import HapiStore

PERIOD_SECONDS = 0.5
PAUSE_SECONDS = 5.0  # after a failure
CLOSE_SECONDS = 5.0
LONGEST_SECONDS = 15.0  # that an occasion may last
AT_ONCE = 20  # resources of one transaction

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Occasion:
    """What will be one Provenance."""

    began: float = field(default_factory=time.monotonic)
    latest: float = field(default_factory=time.monotonic)
    due: dict[str, tuple[Intent, Deed]] = field(default_factory=dict)

    @property
    def instances(self) -> int:
        """Return how many instances it is about."""
        return sum(len(deed.instances) for _, deed in self.due.values())

    @property
    def deeds(self) -> list[Deed]:
        """Return what was done."""
        return [deed for _, deed in self.due.values()]


class Provenances:
    """Writes Provenance resources in the background."""

    def __init__(
        self,
        fhir: HapiStore,
        journal: Journal,
        problems: Problems,
        limits: Limits,
        *,
        active: bool,
    ) -> None:
        """Strike intents out through `journal`; unless `active`, do nothing else."""
        self._fhir = fhir
        self._journal = journal
        self._problems = problems
        self._limits = limits
        self._active = active
        self._occasions: dict[tuple[object, ...], Occasion] = {}
        self._waiting: set[str] = set()
        self._writing = asyncio.Lock()

    def settle_soon(self, intent: Intent, version: int) -> None:
        """Take note that an intent is carried out; its document follows at leisure."""
        if not self._active:
            self._journal.strike_soon(intent)
            return
        settled = intent.settled(deed_of(intent, version))
        self._journal.settle_soon(settled)
        self.take_over([settled])

    async def settle(
        self,
        intent: Intent,
        version: int,
        left_out: Collection[str] = (),
        *,
        again: bool = False,
    ) -> None:
        """Take note that an intent is carried out; on return that is durable.

        Where it may have been carried out by somebody else, `again`, it gets a Provenance of its own, which is
        the same whoever writes it. Raises IndexUnavailable.
        """
        if intent.id in self._waiting:
            return  # whoever finished it has seen to that
        deed = deed_of(intent, version, left_out)
        if not self._active or not (deed.instances or deed.sources):
            await self._journal.strike(intent)
            return
        settled = intent.settled(deed)
        await self._journal.settle(settled)
        self.take_over([settled], each_alone=again)

    def take_over(self, settled: Iterable[Intent], *, each_alone: bool = False) -> None:
        """See to the Provenance of settled intents; `each_alone` where others may do the same."""
        for intent in settled:
            deed = intent.deed
            if deed is None or intent.id in self._waiting:
                continue
            if len(self._waiting) >= self._limits.provenance_waiting:
                return  # recovery comes by
            occasion = self._occasions.setdefault(
                (*deed.occasion, intent.id if each_alone else ""), Occasion()
            )
            occasion.due[intent.id] = intent, deed
            occasion.latest = time.monotonic()
            self._waiting.add(intent.id)

    async def run_forever(self) -> None:
        """Write what is due, again and again."""
        while True:
            written = await self.write_due()
            await asyncio.sleep(PERIOD_SECONDS if written else PAUSE_SECONDS)

    async def write_due(self, *, all_of_it: bool = False) -> bool:
        """Write what has come to rest, or everything; tell whether it was, what could not be stays."""
        async with self._writing:
            keys = [key for key, each in self._occasions.items() if all_of_it or self._over(each)]
            for start in range(0, len(keys), AT_ONCE):
                part = keys[start : start + AT_ONCE]
                occasions = [self._occasions.pop(key) for key in part]
                left = True
                try:
                    await self._write(occasions)
                    left = False
                except CoregisterError as error:
                    log.warning("provenance_postponed", error=type(error).__name__)
                    return False
                finally:
                    if left:
                        for key, each in zip(part, occasions, strict=True):
                            self._put_back(key, each)
            return True

    def _over(self, occasion: Occasion) -> bool:
        now = time.monotonic()
        return (
            now - occasion.latest >= self._limits.provenance_quiet_seconds
            or now - occasion.began >= LONGEST_SECONDS
            or occasion.instances >= self._limits.provenance_instances
        )

    def _put_back(self, key: tuple[object, ...], occasion: Occasion) -> None:
        if not occasion.due:
            return
        later = self._occasions.get(key)
        if later is not None:
            occasion.due |= later.due
        self._occasions[key] = occasion

    async def _write(self, occasions: Sequence[Occasion]) -> None:
        """Write the Provenance of each. Raises FhirUnavailable."""
        try:
            await self._fhir.write([self._resource(each) for each in occasions])
        except (LinkRefused, VersionConflict):
            if len(occasions) > 1:  # one of them is to blame
                for each in occasions:
                    await self._write([each])
                return
            await self._write_without_link(occasions[0])
        for occasion in occasions:
            for intent, _ in occasion.due.values():
                self._waiting.discard(intent.id)
                self._journal.strike_soon(intent)
            occasion.due.clear()

    async def _write_without_link(self, occasion: Occasion) -> None:
        """Write a Provenance whose target is named only: somebody removed the ImagingStudy."""
        resource = self._resource(occasion, literal=False)
        try:
            await self._fhir.write([resource])
        except (LinkRefused, VersionConflict) as error:
            record = ProblemRecord(
                kind="fhir-store-failure",
                study_instance_uid=occasion.deeds[0].study_instance_uid,
                message=f"No Provenance was written. {error.message}",
            )
            self._problems.note(record)

    def _resource(self, occasion: Occasion, *, literal: bool = True) -> dict[str, object]:
        most = self._limits.provenance_instances
        return provenance_resource(occasion.deeds, most_instances=most, literal=literal)

    async def close(self) -> None:
        """Write what is due; what cannot be written now is found at the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.write_due(all_of_it=True)
