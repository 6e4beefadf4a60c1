"""Lists a study's instances in its ImagingStudy once the study has come to rest.

While a study grows by small commits its ImagingStudy counts instances and does not list them, or each commit
would cost what the whole study is (docs/decisions/0002). The list follows in one write of its own.
"""

from collections.abc import AsyncIterator
from typing import Any

import structlog

from app.fhir.imaging_study import pending_commits
from app.fhir.listing import ListedInstance, list_instances, needs_listing
from app.index.documents import relinked
from app.limits import Limits
from app.services.link import StudyLinker
from app.services.snapshot import INSTANCES, STUDIES, Snapshot, links_of
from app.stores.elasticsearch import ElasticsearchIndex, Write
from app.stores.lane import Lane

PAGE = 1_000
OVERDUE_SECONDS = 60
FIELDS = [
    "series_instance_uid",
    "sop_instance_uid",
    "sop_class_uid",
    "instance_number",
    "number_of_frames",
    "title",
]

log = structlog.get_logger(__name__)


class Listing:
    """Writes the list of instances."""

    def __init__(
        self, *, index: ElasticsearchIndex, lane: Lane, linker: StudyLinker, limits: Limits
    ) -> None:
        """Write the study through `linker`, its document through `lane`."""
        self._index = index
        self._lane = lane
        self._linker = linker
        self._limits = limits

    @property
    def quiet_seconds(self) -> float:
        """Return how long a study has to be without a commit before it counts as at rest."""
        return self._limits.fhir_listing_seconds

    def due(self, snapshot: Snapshot | None) -> bool:
        """Tell whether the study should list its instances and does not."""
        if snapshot is None or snapshot.imaging_study is None:
            return False
        return needs_listing(snapshot.imaging_study, self._limits)

    async def overdue(self) -> list[str]:
        """Return studies that came to rest long ago without a list: a worker died meanwhile."""
        body = {
            "size": PAGE,
            "query": {
                "bool": {
                    "filter": [
                        {"term": {"instances_listed": False}},
                        {"range": {"number_of_instances": {"lte": self._limits.fhir_instances}}},
                        {"range": {"stored_at": {"lt": f"now-{OVERDUE_SECONDS}s"}}},
                    ]
                }
            },
            "_source": False,
        }
        return [hit["_id"] for hit in (await self._index.search(STUDIES, body))["hits"]["hits"]]

    async def write(self, snapshot: Snapshot, confirmed: frozenset[str]) -> Snapshot | None:
        """Return the study with its list; None where a commit is still under way.

        Raises VersionConflict where another writer came first, LinkRefused, FhirUnavailable,
        IndexUnavailable.
        """
        before = snapshot.imaging_study
        if before is None or snapshot.study is None or set(pending_commits(before)) - confirmed:
            return None
        instances = [each async for each in self._instances(snapshot.study_instance_uid)]
        resource = list_instances(before, instances, confirmed=confirmed)
        if resource is None:
            return None
        version = await self._linker.put(resource, snapshot.version)
        study = relinked(snapshot.study, links_of(resource, version), self._limits)
        study["instances_listed"] = True
        uid = snapshot.study_instance_uid
        await self._lane.write([Write("index", STUDIES, uid, study, version)])
        log.info("instances_listed", instances=len(instances))
        return Snapshot(uid, resource, version, study, snapshot.series)

    async def _instances(self, study_instance_uid: str) -> AsyncIterator[ListedInstance]:
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {"term": {"study_instance_uid": study_instance_uid}},
            "sort": [{"order": "asc"}],
            "_source": FIELDS,
            "track_total_hits": False,
        }
        while True:
            hits = (await self._index.search(INSTANCES, body))["hits"]["hits"]
            for hit in hits:
                source = hit["_source"]
                number = source.get("instance_number")
                yield ListedInstance(
                    series_instance_uid=source["series_instance_uid"],
                    sop_instance_uid=source["sop_instance_uid"],
                    sop_class_uid=source["sop_class_uid"],
                    number=None if number is None or number < 0 else int(number),
                    title=source.get("title", ""),
                    frames=source.get("number_of_frames") or 1,
                )
            if len(hits) < PAGE:
                return
            body["search_after"] = hits[-1]["sort"]
