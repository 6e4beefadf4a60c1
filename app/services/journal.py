"""Writes intents down and strikes them out again."""

from app.errors import IndexUnavailable
from app.services.intents import INTENTS, Intent, to_source
from app.stores.elasticsearch import Write
from app.stores.lane import Lane


class Journal:
    """The durable list of what is about to happen."""

    def __init__(self, lane: Lane) -> None:
        """Write through `lane`."""
        self._lane = lane

    async def note(self, intent: Intent) -> None:
        """Write the intent. Raises IndexUnavailable, also where the index is there and refuses it."""
        write = Write("create", INTENTS, intent.id, to_source(intent))
        for result in await self._lane.write([write]):
            if result.failed:
                raise IndexUnavailable("Elasticsearch refused a write.", retry_after=5)

    async def settle(self, intent: Intent) -> None:
        """Write down that the intent is carried out, and of what the Provenance is due.

        Raises IndexUnavailable.
        """
        await self._lane.write([Write("index", INTENTS, intent.id, to_source(intent))])

    def settle_soon(self, intent: Intent) -> None:
        """Write the same with the next that is written, or within `LEISURE_SECONDS`."""
        self._lane.write_at_leisure([Write("index", INTENTS, intent.id, to_source(intent))])

    async def strike(self, intent: Intent) -> None:
        """Remove the intent. Raises IndexUnavailable."""
        await self._lane.write([Write("delete", INTENTS, intent.id)])

    def strike_soon(self, intent: Intent) -> None:
        """Remove the intent with the next that is written, or within `LEISURE_SECONDS`.

        For what is done and answered: if this process dies before, recovery finds it done.
        """
        self._lane.write_at_leisure([Write("delete", INTENTS, intent.id)])
