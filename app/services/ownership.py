"""Lets the index follow what others wrote on an ImagingStudy, and puts back what is not theirs.

Strategy: the study's document knows the version that was last written here, or looked at and found good. A
newer one is somebody's edit: before anything else is done with the study, its owned elements are compared with
those of the good version, and written again where they differ. A deleted ImagingStudy comes back as it was, as
the version after the tombstone. A new subject is accepted where it is a Patient that is there. The study's
document is written last, so a crash in between leaves the edit to be looked at again.

All of this happens within the study's own task (`app.services.commit`), each time a study is read: a commit
never builds on damage, and whoever heard of an edit only has to have the study read.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog

from app.dicom.instance import InstanceRecord
from app.fhir.imaging_study import count, without_server_meta
from app.fhir.listing import listed
from app.fhir.ownership import damaged, repaired, subject_of
from app.index.documents import own_attributes, relinked
from app.limits import Limits
from app.services.index_writes import insist
from app.services.link import StudyLinker
from app.services.problems import ProblemRecord, Problems
from app.services.snapshot import INSTANCES, SERIES, STUDIES, Snapshot, links_of, series_key
from app.stores.elasticsearch import ElasticsearchIndex, Write
from app.stores.hapi import HapiStore
from app.stores.hapi_history import HapiHistory
from app.stores.lane import Lane

MOST_SERIES = 10_000
WHILE_SECONDS = 3600.0
REPAIRED = 1_000  # studies whose repairs are counted

log = structlog.get_logger(__name__)


class SubjectFollower(Protocol):
    """Rewrites the documents of a study that has another subject now, that of the study last."""

    async def follow_subject(self, snapshot: Snapshot) -> Snapshot:
        """Return the study with documents as the subject of its ImagingStudy says, at its version."""


class Ownership:
    """The rules, applied to one study at a time."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        lane: Lane,
        fhir: HapiStore,
        history: HapiHistory,
        linker: StudyLinker,
        follower: SubjectFollower,
        problems: Problems,
        limits: Limits,
    ) -> None:
        """Repair through `linker`, let the index follow through `lane`."""
        self._index = index
        self._lane = lane
        self._fhir = fhir
        self._history = history
        self._linker = linker
        self._follower = follower
        self._problems = problems
        self._limits = limits
        self._repairs: OrderedDict[str, deque[float]] = OrderedDict()

    def contested(self, study_instance_uid: str) -> bool:
        """Tell whether a study was repaired again and again: another archive may write it, too."""
        repairs = self._repairs.get(study_instance_uid, ())
        recent = [at for at in repairs if time.monotonic() - at < WHILE_SECONDS]
        return len(recent) >= self._limits.fhir_repairs

    async def settle(self, snapshot: Snapshot, *, recovered: bool = False) -> Snapshot:
        """Return the study after edits of others are accepted or undone, and known to the index.

        Where a commit was just `recovered`, the index took the version for good without having looked at it:
        then at least its counts have to be right.

        Raises VersionConflict where others keep editing, LinkRefused, FhirUnavailable, IndexUnavailable.
        """
        if snapshot.study is None or (_known(snapshot.study, snapshot) and not recovered):
            return snapshot
        # read again: a commit of another process may have been indexed since this document was read
        found = await self._index.get_many(STUDIES, [snapshot.study_instance_uid])
        snapshot = replace(snapshot, study=found.get(snapshot.study_instance_uid))
        if snapshot.study is None:
            return snapshot
        if not _known(snapshot.study, snapshot):
            return await self._after_edit(snapshot, await self._good_version(snapshot))
        if not recovered or await self._counts_right(snapshot):
            return snapshot
        return await self._after_edit(snapshot, await self._made_anew(snapshot))

    async def _after_edit(self, snapshot: Snapshot, good: Mapping[str, Any]) -> Snapshot:
        """Return the study with what others may write, and else as in the good version."""
        current, study = snapshot.imaging_study, snapshot.study
        if current is None or study is None:
            log.info("imaging_study_restored")
            self._note(snapshot, ("deleted",))
            return await self._write(snapshot, without_server_meta(good))
        subject = await self._subject(current, good, study["fhir"]["patient"])
        wrong = damaged(current, good)
        if current.get("subject") != subject:
            wrong = (*wrong, "subject")
        if not wrong:
            return await self._followed(snapshot)
        log.info("imaging_study_repaired", elements=wrong)
        self._note(snapshot, wrong)
        return await self._write(snapshot, repaired(current, good, subject=subject))

    async def _good_version(self, snapshot: Snapshot) -> Mapping[str, Any]:
        """Return the last good version, or where FHIR has kept none what the index says it was."""
        links = (snapshot.study or {})["fhir"]
        kind, _, key = links["imaging_study"].partition("/")
        found = await self._history.version(kind, key, links["imaging_study_version"])
        return found or await self._made_anew(snapshot)

    async def _subject(
        self, imaging_study: Mapping[str, Any], good: Mapping[str, Any], known: str
    ) -> Mapping[str, Any]:
        """Return the subject that the study has to have."""
        reference = subject_of(imaging_study)
        if reference is not None:
            subject: Mapping[str, Any] = imaging_study["subject"]
            if reference == known:
                return subject
            if (await self._fhir.read(*reference.split("/"))).resource is not None:
                return subject
        return good["subject"] if subject_of(good) == known else {"reference": known}

    async def _write(self, snapshot: Snapshot, resource: dict[str, Any]) -> Snapshot:
        version = await self._linker.put(resource, snapshot.version)
        return await self._followed(replace(snapshot, imaging_study=resource, version=version))

    async def _followed(self, snapshot: Snapshot) -> Snapshot:
        """Let the index know the version; where the subject is another one, all documents."""
        resource, document = snapshot.imaging_study, snapshot.study
        if resource is None or document is None:
            raise ValueError("a settled study has its resource and its document")
        if subject_of(resource) != document["fhir"]["patient"]:
            return await self._follower.follow_subject(snapshot)
        study = relinked(document, links_of(resource, snapshot.version), self._limits)
        study["instances_listed"] = listed(resource)
        uid = snapshot.study_instance_uid
        write = Write("index", STUDIES, uid, study, snapshot.version, again=True)
        await insist(self._lane, [write])
        return replace(snapshot, study=study)

    async def _made_anew(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return the ImagingStudy that the documents of a study and its series tell of, without a list."""
        study_instance_uid, study = snapshot.study_instance_uid, snapshot.study or {}
        counts = await self._counts(study_instance_uid)
        keys = {series_key(study_instance_uid, uid): uid for uid in counts}
        documents = await self._index.get_many(SERIES, list(keys))
        of_study = own_attributes(study)
        records = [
            _standing_for(study_instance_uid, keys[key], {**of_study, **own_attributes(document)})
            for key, document in documents.items()
        ]
        return self._linker.made_anew(records, counts, study["fhir"]["patient"])

    async def _counts_right(self, snapshot: Snapshot) -> bool:
        if snapshot.imaging_study is None:
            return True
        return count(snapshot.imaging_study).series == await self._counts(
            snapshot.study_instance_uid
        )

    async def _counts(self, study_instance_uid: str) -> dict[str, int]:
        body = {
            "size": 0,
            "query": {"term": {"study_instance_uid": study_instance_uid}},
            "aggs": {"series": {"terms": {"field": "series_instance_uid", "size": MOST_SERIES}}},
        }
        answer = await self._index.search(INSTANCES, body)
        buckets: Sequence[Mapping[str, Any]] = answer["aggregations"]["series"]["buckets"]
        return {each["key"]: each["doc_count"] for each in buckets}

    def _note(self, snapshot: Snapshot, wrong: Sequence[str]) -> None:
        uid = snapshot.study_instance_uid
        repairs = self._repairs.setdefault(uid, deque(maxlen=self._limits.fhir_repairs))
        repairs.append(time.monotonic())
        self._repairs.move_to_end(uid)
        if len(self._repairs) > REPAIRED:
            self._repairs.popitem(last=False)
        for element in wrong:
            what = "was deleted" if element == "deleted" else f"had another {element}"
            self._problems.note(
                ProblemRecord(
                    kind="damaged-study",
                    study_instance_uid=uid,
                    message=f"The ImagingStudy {what} by somebody else's hand; it was put back.",
                    value_class=f"ImagingStudy: {element}",
                )
            )


def _known(study: Mapping[str, Any], snapshot: Snapshot) -> bool:
    """Tell whether a study's document is of the version that FHIR has, or of a newer one."""
    version: int = study["fhir"]["imaging_study_version"]
    return version >= snapshot.version


def _standing_for(
    study_instance_uid: str, series_instance_uid: str, attributes: Mapping[str, Any]
) -> InstanceRecord:
    """Return an instance with the attributes of its series, for all of them."""
    return InstanceRecord(
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        sop_instance_uid="",
        sop_class_uid="",
        transfer_syntax_uid="",
        attributes=attributes,
    )
