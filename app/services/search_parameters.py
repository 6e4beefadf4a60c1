"""Installs the search parameters that R4 lacks: by description, procedure, side, order, counts, and by report.

They are data, `mappings/fhir/search_parameters/*.json`. The server takes them into use as they arrive. What
was stored before is found by them once the server has indexed it again, which is asked for here.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson
import structlog

from app.errors import CoregisterError, LinkRefused
from app.resources import data_path
from app.stores.hapi import HapiStore

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0

log = structlog.get_logger(__name__)


class SearchParameters:
    """Sees that the FHIR server has them."""

    def __init__(self, fhir: HapiStore) -> None:
        """Install them in `fhir`."""
        self._fhir = fhir

    async def install_sometime(self) -> None:
        """Install them, again and again until the server takes them, or refuses them."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self.install()
            except LinkRefused as error:
                # such as a server on which another owner has parameters of these names
                log.warning("search_parameters_refused", reason=error.message)
                return
            except CoregisterError as error:
                log.warning("search_parameters_postponed", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                return

    async def install(self) -> int:
        """Install those that are missing or different; return how many that were.

        Raises LinkRefused, FhirUnavailable, VersionConflict.
        """
        wanted = search_parameters()
        found = [await self._fhir.read("SearchParameter", each["id"]) for each in wanted]
        changed = [
            parameter
            for parameter, there in zip(wanted, found, strict=True)
            if there.resource is None or not parameter.items() <= there.resource.items()
        ]
        if not changed:
            return 0
        # all at once: the server begins to index again with each that it gets alone
        await self._fhir.write(changed)
        for resource_type in sorted({base for each in changed for base in each["base"]}):
            await self._index_again(resource_type)
        log.info("search_parameters_installed", count=len(changed))
        return len(changed)

    async def _index_again(self, resource_type: str) -> None:
        try:
            await self._fhir.index_again(resource_type)
        except CoregisterError as error:  # it may be switched off, or be for administrators only
            log.warning("indexing_again_refused", resource_type=resource_type, reason=error.message)


@cache
def search_parameters() -> Sequence[Mapping[str, Any]]:
    """Return the resources to install."""
    folder = data_path("mappings", "fhir", "search_parameters")
    return tuple(orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json")))
