"""Takes instances out of a study: first in FHIR, then in the index; their objects are left for later.

Strategy: the ImagingStudy is written without them, with the intent's mark, guarded by the version like every
commit. Then each instance's document becomes a tombstone, and the documents of the series and the study are
made anew from what remains, at the version that FHIR gave. All of the second half can be done again by anybody
who finds the mark: only documents of the very versions that were to go are touched.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from app.dicom.instance import InstanceRecord, StoredInstance
from app.dicom.qido_grammar import Level
from app.errors import LinkRefused, VersionConflict
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import StudyCounts, count
from app.fhir.listing import listed
from app.fhir.reports.derive import becomes_resources
from app.index.documents import Correcting, as_it_is, series_document, study_document
from app.index.remaining import Remaining
from app.index.versions import KEPT_FIELDS, deleted_version, versions_of
from app.limits import Limits
from app.services.index_writes import insist
from app.services.intents import Intent, RemovedInstance
from app.services.link import StudyLinker
from app.services.snapshot import (
    INSTANCES,
    SERIES,
    STUDIES,
    VERSIONS,
    Snapshot,
    Snapshots,
    links_of,
    series_key,
)
from app.services.study_patient import patient_of
from app.stores.elasticsearch import ElasticsearchIndex, Place, Write
from app.stores.lane import Lane

AT_ONCE = 1_000  # instances whose documents go with one request
PAGE = 20  # remaining instances that are looked at first; as a rule one says everything
MORE = 500  # and then at a time
SOP_CLASSES = 1_000

log = structlog.get_logger(__name__)


class Removal:
    """Carries out both halves of a deletion."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        lane: Lane,
        snapshots: Snapshots,
        linker: StudyLinker,
        limits: Limits,
        systems: IdentifierSystems,
    ) -> None:
        """Write the study through `linker`, its documents through `lane`."""
        self._index = index
        self._lane = lane
        self._snapshots = snapshots
        self._linker = linker
        self._limits = limits
        self._systems = systems

    async def unlink(
        self, before: Snapshot, intents: Sequence[Intent], *, confirmed: frozenset[str]
    ) -> Snapshot | None:
        """Return the study without the intents' instances, as FHIR now has it; None where all are gone.

        The index still has them. Raises VersionConflict, LinkRefused, FhirUnavailable, IndexUnavailable.
        """
        removed = [each for intent in intents for each in intent.removed]
        places = await self._places(removed)
        if not places:
            return None
        if any(intent.over(datetime.now(UTC)) for intent in intents):
            raise VersionConflict("Deleting took too long.", retry_after=1)
        if before.imaging_study is None:  # somebody took it away: there is nothing to take out of
            return before
        uids: dict[str, set[str]] = defaultdict(set)
        for uid, place in places.items():
            uids[place.source["series_instance_uid"]].add(uid)
        marks = [intent.id for intent in intents]
        reports = [u for u, p in places.items() if becomes_resources(p.source["sop_class_uid"])]
        return await self._linker.unlink(
            before, uids, reports=reports, marks=marks, confirmed=confirmed
        )

    async def index(self, unlinked: Snapshot, removed: Sequence[RemovedInstance]) -> Snapshot:
        """Take instances that FHIR has no more out of the index; return the study with its documents.

        Raises IndexUnavailable.
        """
        touched = {each.series_instance_uid for each in removed}
        before = await self._snapshots.with_series(unlinked, touched)
        after = await self._recounted(before, touched, removed)
        for start in range(0, len(removed), AT_ONCE):
            await self._bury_replaced(removed[start : start + AT_ONCE])
            await self._bury(removed[start : start + AT_ONCE])
        if after.imaging_study is not None or not await self._holds_any(after.study_instance_uid):
            await insist(self._lane, _study_writes(after, touched))
        return after

    async def clear(self, snapshot: Snapshot) -> bool:
        """Remove the ImagingStudy where it is empty and the settings say so; tell whether it is gone.

        Raises FhirUnavailable.
        """
        try:
            return await self._linker.remove_emptied(snapshot)
        except (VersionConflict, LinkRefused) as error:
            # somebody stores into it again, or refers to it: then it stays, retired
            log.info("emptied_study_kept", reason=type(error).__name__)
            return False

    async def _places(self, removed: Sequence[RemovedInstance]) -> dict[str, Place]:
        """Return the documents that still are of the versions to be removed."""
        versions = {each.sop_instance_uid: each.version for each in removed}
        found = await self._index.get_places(INSTANCES, list(versions), fields=KEPT_FIELDS)
        return {uid: p for uid, p in found.items() if p.source["version"] == versions[uid]}

    async def _holds_any(self, study_instance_uid: str) -> bool:
        """Tell whether the index has instances of a study: of one that somebody removed from FHIR."""
        body = {"size": 1, "query": {"term": {"study_instance_uid": study_instance_uid}}}
        answer = await self._index.search(INSTANCES, {**body, "_source": False})
        return bool(answer["hits"]["hits"])

    async def _bury(self, removed: Sequence[RemovedInstance]) -> None:
        """Turn documents of instances into tombstones; one that others write meanwhile is looked at again."""
        while places := await self._places(removed):
            now = datetime.now(UTC)
            tombstones = [deleted_version(place.source, now) for place in places.values()]
            await insist(
                self._lane,
                [
                    *(Write("index", VERSIONS, t["version"], t) for t in tombstones),
                    *(Write("delete", INSTANCES, u, guard=p.guard) for u, p in places.items()),
                ],
            )

    async def _bury_replaced(self, removed: Sequence[RemovedInstance]) -> None:
        """Delete the former versions of these instances with them."""
        uids = [each.sop_instance_uid for each in removed]
        gone = {each.version for each in removed}
        body: dict[str, Any] = {"size": AT_ONCE, "query": versions_of(uids, deleted=False)}
        body["sort"] = [{"stored_at": "asc"}, {"sop_instance_uid": "asc"}]
        async for hits in self._pages(VERSIONS, body):
            now = datetime.now(UTC)
            sources = [hit["_source"] for hit in hits if hit["_id"] not in gone]
            await insist(
                self._lane,
                [Write("index", VERSIONS, s["version"], deleted_version(s, now)) for s in sources],
            )

    async def _recounted(
        self, before: Snapshot, touched: Iterable[str], removed: Sequence[RemovedInstance]
    ) -> Snapshot:
        """Return the snapshot with the documents of what remains, and None for what does not."""
        if before.imaging_study is None:
            return Snapshot(before.study_instance_uid, None, before.version)
        counts = count(before.imaging_study)
        series = dict(before.series)
        for uid in touched:
            series[uid] = await self._series(before, uid, counts, removed)
        study = await self._study(before, counts, removed)
        if study is not None:
            study["instances_listed"] = listed(before.imaging_study)
            if before.study is not None:
                study = patient_of(before.study, self._systems).remembered_in(study)
        return Snapshot(
            before.study_instance_uid, before.imaging_study, before.version, study, series
        )

    async def _series(
        self,
        before: Snapshot,
        series_instance_uid: str,
        counts: StudyCounts,
        removed: Sequence[RemovedInstance],
    ) -> dict[str, Any] | None:
        if before.imaging_study is None or series_instance_uid not in counts.series:
            return None
        remaining = Remaining(Level.SERIES, before.series.get(series_instance_uid))
        of_series = [r for r in removed if r.series_instance_uid == series_instance_uid]
        query = _others(before.study_instance_uid, of_series, (series_instance_uid,))
        await self._collect(remaining, query)
        return series_document(
            None,
            [_standing_for(remaining, before.study_instance_uid, series_instance_uid)],
            links_of(before.imaging_study, before.version),
            number_of_instances=counts.series[series_instance_uid],
            limits=self._limits,
            correct=self._correcting(before),
        )

    async def _study(
        self, before: Snapshot, counts: StudyCounts, removed: Sequence[RemovedInstance]
    ) -> dict[str, Any] | None:
        if before.imaging_study is None or not counts.instances:
            return None
        remaining = Remaining(Level.STUDY, before.study)
        query = _others(before.study_instance_uid, removed, tuple(counts.series))
        sop_classes = await self._collect(remaining, query)
        return study_document(
            None,
            [
                _standing_for(remaining, before.study_instance_uid, "", sop_class)
                for sop_class in sop_classes
            ]
            or [_standing_for(remaining, before.study_instance_uid)],
            links_of(before.imaging_study, before.version),
            number_of_series=len(counts.series),
            number_of_instances=counts.instances,
            modalities=counts.modalities,
            limits=self._limits,
            correct=self._correcting(before),
        )

    def _correcting(self, before: Snapshot) -> Correcting:
        """Return how what remains is shown: as the study was."""
        if before.study is None:
            return as_it_is
        patient = patient_of(before.study, self._systems)
        return partial(patient.correction, at=before.study["stored_at"])

    async def _collect(self, remaining: Remaining, query: Mapping[str, Any]) -> list[str]:
        """Take in what the remaining instances say, newest first; return their SOP classes."""
        classes = {"sop_classes": {"terms": {"field": "sop_class_uid", "size": SOP_CLASSES}}}
        body: dict[str, Any] = {
            "size": PAGE,
            "query": query,
            "sort": [{"stored_at": "desc"}, {"order": "desc"}],
            "_source": ["metadata", "stored_at"],
            "aggs": classes,
        }
        found: list[str] = []
        async for hits in self._pages(INSTANCES, body, found):
            for hit in hits:
                if not remaining.complete:
                    remaining.take(hit["_source"])
            if remaining.complete:
                break
        return found

    async def _pages(
        self, name: str, body: dict[str, Any], sop_classes: list[str] | None = None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the hits of a search page by page; note the SOP classes that the first one counts."""
        while True:
            answer = await self._index.search(name, {**body, "track_total_hits": False})
            if sop_classes is not None and "aggs" in body:
                buckets = answer["aggregations"]["sop_classes"]["buckets"]
                sop_classes += [bucket["key"] for bucket in buckets]
            hits: list[dict[str, Any]] = answer["hits"]["hits"]
            yield hits
            if len(hits) < body["size"]:
                return
            body = {k: v for k, v in body.items() if k != "aggs"}
            body |= {"search_after": hits[-1]["sort"], "size": max(body["size"], MORE)}


def _others(
    study_instance_uid: str, removed: Sequence[RemovedInstance], series: Sequence[str]
) -> dict[str, Any]:
    """Return the query for the instances of these series that are not removed."""
    kept = frozenset(series)
    uids = [r.sop_instance_uid for r in removed if r.series_instance_uid in kept]
    return {
        "bool": {
            "filter": [
                {"term": {"study_instance_uid": study_instance_uid}},
                {"terms": {"series_instance_uid": list(series)}},
            ],
            "must_not": [{"terms": {"sop_instance_uid": uids}}],
        }
    }


def _standing_for(
    remaining: Remaining,
    study_instance_uid: str,
    series_instance_uid: str = "",
    sop_class_uid: str = "",
) -> StoredInstance:
    """Return an instance with the attributes of its level, to make that level's document from."""
    record = InstanceRecord(
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        sop_instance_uid="",
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid="",
        attributes=remaining.attributes,
    )
    stored_at = remaining.stored_at or datetime.now(UTC).isoformat()
    return StoredInstance(record, "", 0, "", "", stored_at)


def _study_writes(after: Snapshot, touched: Iterable[str]) -> list[Write]:
    """Return what has to be written for the series and the study; a document of None is removed."""
    uid = after.study_instance_uid
    documents = [(SERIES, series_key(uid, each), after.series.get(each)) for each in touched]
    documents.append((STUDIES, uid, after.study))
    return [
        Write("index", name, key, document, after.version, again=True)
        if document is not None
        else Write("delete", name, key, version=after.version, again=True)
        for name, key, document in documents
        if document is not None or after.version
    ]
