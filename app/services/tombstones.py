"""Tells what was deleted not long ago from what never was."""

from dataclasses import dataclass
from datetime import UTC, datetime

from app.errors import Gone, NotFound
from app.index.versions import living_tombstones
from app.limits import Limits
from app.services.snapshot import VERSIONS
from app.stores.elasticsearch import ElasticsearchIndex


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: a study, a series of it, or an instance of that."""

    study_instance_uid: str
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None

    def holds(self, study: str, series: str, instance: str) -> bool:
        """Tell whether an instance with these UIDs lies within."""
        return (
            self.study_instance_uid == study
            and self.series_instance_uid in (None, series)
            and self.sop_instance_uid in (None, instance)
        )


class Tombstones:
    """The traces of what was deleted; asked only when nothing else was found."""

    def __init__(self, index: ElasticsearchIndex, limits: Limits) -> None:
        """Look in `index`."""
        self._index = index
        self._limits = limits

    async def absence(self, target: Target) -> NotFound:
        """Return the error for a target that holds nothing: Gone or NotFound. Raises IndexUnavailable."""
        query = living_tombstones(
            self._limits,
            datetime.now(UTC),
            study_instance_uid=target.study_instance_uid,
            series_instance_uid=target.series_instance_uid,
            sop_instance_uid=target.sop_instance_uid,
        )
        answer = await self._index.search(VERSIONS, {"size": 1, "query": query, "_source": False})
        if answer["hits"]["hits"]:
            return Gone("This was deleted.")
        return NotFound("There is no such study, series or instance.")
