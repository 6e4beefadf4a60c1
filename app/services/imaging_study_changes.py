"""Tells which changes of ImagingStudies are others' doing, and has those studies looked at.

Strategy: most changes are Coregister's own writes, and the index knows their versions: one look-up for many
changes recognises them. A version that is newer than the index's may be of a commit that is under way, so it is
looked up once more a moment later. What remains is left to the study's own task, which settles a study
whenever it reads it (`app.services.ownership`). A study that was repaired again and again is left for later:
two archives that take it for theirs would write it for ever.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from app.errors import VersionConflict
from app.fhir.ids import imaging_study_id
from app.fhir.ownership import study_uid_of
from app.services.commit import StudyCommits
from app.services.ownership import Ownership
from app.services.snapshot import STUDIES, Snapshot
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.hapi_history import Change

UNDER_WAY_SECONDS = 1.0
FIELDS = ["study_instance_uid", "fhir.imaging_study", "fhir.imaging_study_version"]


class ImagingStudyChanges:
    """Changes of ImagingStudies."""

    def __init__(
        self, index: ElasticsearchIndex, commits: StudyCommits, ownership: Ownership
    ) -> None:
        """Recognise them by `index`; have studies looked at by `commits`, which apply `ownership`."""
        self._index = index
        self._commits = commits
        self._ownership = ownership

    async def pick(self, changes: Sequence[Change]) -> set[str]:
        """Return the ids of ImagingStudies that others changed. Raises IndexUnavailable."""
        newest: dict[str, Change] = {}
        for change in changes:
            before = newest.get(change.resource_id)
            if before is None or change.version > before.version:
                newest[change.resource_id] = change
        left = await self._unknown(newest.values())
        if left:
            await asyncio.sleep(UNDER_WAY_SECONDS)
            left = await self._unknown(left)
        return {each.resource_id for each in left}

    async def changed(self, imaging_study_id: str) -> None:
        """Have the study looked at, and settled. Raises CoregisterError where that cannot be done now."""
        for document in await self._by_reference([imaging_study_id]):
            uid = document["study_instance_uid"]
            if self._ownership.contested(uid):
                raise VersionConflict("Somebody else keeps writing the study.")
            await self._commits.exclusively(uid, _leave_it)

    async def _unknown(self, changes: Iterable[Change]) -> list[Change]:
        """Return changes of studies in the index that are newer than what it knows."""
        known: dict[str, int] = {}
        by_uid = {}
        others = []
        for change in changes:
            uid = study_uid_of(change.identifiers)
            if uid is not None and imaging_study_id(uid) == change.resource_id:
                by_uid[uid] = change
            else:  # deleted, or somebody took the identifier away
                others.append(change)
        found = await self._index.get_many(STUDIES, list(by_uid), fields=FIELDS)
        documents = [*found.values(), *await self._by_reference([c.resource_id for c in others])]
        for document in documents:
            fhir = document["fhir"]
            known[fhir["imaging_study"].partition("/")[2]] = fhir["imaging_study_version"]
        return [
            change
            for change in (*by_uid.values(), *others)
            if change.version > known.get(change.resource_id, change.version)
        ]

    async def _by_reference(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        if not ids:
            return []
        body = {
            "size": len(ids),
            "query": {"terms": {"fhir.imaging_study": [f"ImagingStudy/{each}" for each in ids]}},
            "_source": FIELDS,
        }
        hits = (await self._index.search(STUDIES, body))["hits"]["hits"]
        return [hit["_source"] for hit in hits]


async def _leave_it(snapshot: Snapshot, _: frozenset[str]) -> Snapshot:
    """Return the study as it was read: reading has settled it."""
    return snapshot
