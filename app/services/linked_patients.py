"""Looks once more at Patients whom studies were linked to a moment ago.

Between reading a Patient and the study's documents being in the index, the Patient may change, and whoever
hears of that does not find the study yet. So its version is looked at again a little later, many in one
request.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from app.errors import CoregisterError
from app.stores.hapi import HapiStore
from app.stores.hapi_questions import Question

LATER_SECONDS = 5.0  # a commit is in the index by then
AT_ONCE = 100  # Patients of one search

log = structlog.get_logger(__name__)


class LinkedPatients:
    """Versions of Patients that studies were linked by."""

    def __init__(self, fhir: HapiStore) -> None:
        """Look at them in `fhir`."""
        self._fhir = fhir
        self._linked: dict[str, tuple[float, str]] = {}  # logical id -> since when, which version

    def note(self, patient: Mapping[str, Any]) -> None:
        """Take note of a Patient as a study is being linked to it; one without a version is just made."""
        version = str(patient.get("meta", {}).get("versionId", "1"))
        self._linked.setdefault(patient["id"], (time.monotonic(), version))

    async def run_forever(self, changed: Callable[[str], Awaitable[None]]) -> None:
        """Call `changed` with the ids of Patients that are at another version by now."""
        while True:
            await asyncio.sleep(LATER_SECONDS)
            try:
                await self.look(changed)
            except CoregisterError as error:
                log.warning("linked_patients_postponed", error=type(error).__name__)

    async def look(
        self, changed: Callable[[str], Awaitable[None]], *, after: float = LATER_SECONDS
    ) -> None:
        """Look at those that were noted some seconds ago. Raises what `changed` raises, FhirUnavailable."""
        until = time.monotonic() - after
        due = {k: version for k, (since, version) in self._linked.items() if since <= until}
        for start in range(0, len(due), AT_ONCE):
            part = list(due)[start : start + AT_ONCE]
            params = {"_id": ",".join(part), "_elements": "id", "_count": str(AT_ONCE)}
            (found,) = await self._fhir.ask([Question("Patient", params)])
            for patient in found or ():
                if patient["meta"]["versionId"] != due[patient["id"]]:
                    await changed(patient["id"])
            for key in part:
                del self._linked[key]
