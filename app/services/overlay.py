"""Lets the documents of a study show its patient as FHIR has it now.

Strategy: of a document the object's own attributes come back exactly (`app.dicom.correction`), so each is made
anew from them, whatever it showed before; what would stay as it is, is not written. The study and its series
are written under the study's version. Instances are written under guard: one that somebody else writes
meanwhile is looked at again, and where the study has got another patient since, the rest is left to whoever
gave it that one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from app.dicom.correction import Correction
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import count
from app.index.documents import Links, as_shown, linked, own_attributes, read_correction, relinked
from app.limits import Limits
from app.services.derived import DerivedResources
from app.services.index_writes import insist
from app.services.patients import Patients
from app.services.snapshot import (
    INSTANCES,
    SERIES,
    STUDIES,
    Snapshot,
    Snapshots,
    links_of,
    series_key,
)
from app.services.study_patient import DEMOGRAPHICS, StudyPatient, patient_of
from app.stores.elasticsearch import ElasticsearchIndex, Guard, Place, Write
from app.stores.lane import Lane

PAGE = 250
STUDIES_AT_ONCE = (
    8  # studies whose instances are rewritten at the same time; searches share refreshes
)
EVERY_FIELD = ("*",)


class Overlay:
    """Rewrites documents."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        lane: Lane,
        snapshots: Snapshots,
        patients: Patients,
        systems: IdentifierSystems,
        threads: Executor,
        limits: Limits,
        derived: DerivedResources,
    ) -> None:
        """Write through `lane`, which no request should have to wait for; make documents in `threads`."""
        self._index = index
        self._lane = lane
        self._snapshots = snapshots
        self._patients = patients
        self._systems = systems
        self._threads = threads
        self._limits = limits
        self._derived = derived
        self._slots = asyncio.Semaphore(STUDIES_AT_ONCE)

    async def follow_subject(self, snapshot: Snapshot) -> Snapshot:
        """Return the study with all documents as the subject of its ImagingStudy says, at its version.

        The study's document is written last: until then its version tells that this is to be done.
        Raises FhirUnavailable, IndexUnavailable.
        """
        if snapshot.imaging_study is None or snapshot.study is None:
            return snapshot
        patient = await self.patient_now(snapshot, {}, stay=True)
        await self.rewrite_instances(snapshot, patient, checked=False)
        await self._derived.follow_subject(snapshot.study_instance_uid, patient.reference)
        return await self.rewrite_study(snapshot, patient)

    async def patient_now(
        self, snapshot: Snapshot, chains: dict[str, list[Mapping[str, Any]]], *, stay: bool = False
    ) -> StudyPatient:
        """Return whose a study is, as FHIR has it now: merges are followed, and the way back where they end.

        A Patient that is not there any more is shown as before. With `stay` the subject of the ImagingStudy
        counts as it is. `chains` keeps what was read, for further studies. Raises FhirUnavailable.
        """
        if snapshot.imaging_study is None or snapshot.study is None:
            raise ValueError("a linked study has its resource and its document")
        before = patient_of(snapshot.study, self._systems)
        subject = snapshot.imaging_study["subject"]["reference"]
        chain = await self._chain(before.linked[0], chains)
        if subject != before.reference and (not chain or _reference(chain[-1]) != subject):
            chain = await self._chain(subject, chains)  # somebody gave it to another patient
        elif not chain:  # the one that it was linked to is gone, not those who took that place
            chain = await self._chain(subject, chains)
        if stay:
            names = [_reference(each) for each in chain]
            chain = chain[: names.index(subject) + 1] if subject in names else []
        if not chain:
            return (
                before
                if subject == before.reference
                else replace(before, reference=subject, linked=(subject,))
            )
        return StudyPatient(
            reference=_reference(chain[-1]),
            own=before.own,
            demographics=self._patients.demographics(chain[-1]),
            systems=self._systems,
            linked=tuple(_reference(each) for each in chain),
            source=f"{_reference(chain[-1])}/_history/{chain[-1]['meta']['versionId']}",
        )

    async def _chain(
        self, reference: str, chains: dict[str, list[Mapping[str, Any]]]
    ) -> list[Mapping[str, Any]]:
        if reference not in chains:
            chains[reference] = await self._patients.chain(reference)
        return chains[reference]

    async def rewrite_study(self, snapshot: Snapshot, patient: StudyPatient) -> Snapshot:
        """Return the study with its document and those of its series rewritten. Raises IndexUnavailable."""
        if snapshot.imaging_study is None or snapshot.study is None:
            raise ValueError("a linked study has its resource and its document")
        uid = snapshot.study_instance_uid
        whole = await self._snapshots.with_series(snapshot, count(snapshot.imaging_study).series)
        remade = partial(
            _remade, links=links_of(snapshot.imaging_study, snapshot.version), patient=patient,
            limits=self._limits,
        )  # fmt: skip
        series = {key: each and remade(each) for key, each in whole.series.items()}
        study = patient.remembered_in(remade(snapshot.study))
        writes = [
            Write("index", SERIES, series_key(uid, key), each, snapshot.version, again=True)
            for key, each in series.items()
            if each is not None
        ]
        writes.append(Write("index", STUDIES, uid, study, snapshot.version, again=True))
        await insist(self._lane, writes)
        return replace(snapshot, study=study, series=series)

    async def rewrite_instances(
        self, snapshot: Snapshot, patient: StudyPatient, *, checked: bool = True
    ) -> int:
        """Rewrite the documents of a study's instances; return how many were to be. Raises IndexUnavailable.

        Unless `checked`, the study's document is not looked at, because it does not know the patient yet.
        """
        if snapshot.imaging_study is None:
            return 0
        job = _Job(links_of(snapshot.imaging_study, snapshot.version), patient, self._limits)
        rewritten = 0
        async with self._slots:
            async for places in self._pages(snapshot.study_instance_uid):
                left = places
                while left:
                    writes = await self._in_thread(job.writes, left)
                    results = await insist(self._lane, writes)
                    rewritten += len(writes)
                    again = [w.id for w, r in zip(writes, results, strict=True) if r.conflict]
                    if again and checked and not await self._still(snapshot, patient):
                        return rewritten
                    left = await self._index.get_places(INSTANCES, again, fields=EVERY_FIELD)
        return rewritten

    async def _still(self, snapshot: Snapshot, patient: StudyPatient) -> bool:
        """Tell whether the study still has this patient, as it was."""
        uid = snapshot.study_instance_uid
        found = await self._index.get_many(STUDIES, [uid], fields=["fhir", DEMOGRAPHICS])
        return uid in found and patient_of(found[uid], self._systems).same_as(patient)

    async def _pages(self, study_instance_uid: str) -> AsyncIterator[dict[str, Place]]:
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {"term": {"study_instance_uid": study_instance_uid}},
            "sort": [{"order": "asc"}],
            "seq_no_primary_term": True,
            "track_total_hits": False,
        }
        while True:
            hits = (await self._index.search(INSTANCES, body))["hits"]["hits"]
            yield {
                hit["_id"]: Place(hit["_source"], Guard(hit["_seq_no"], hit["_primary_term"]))
                for hit in hits
            }
            if len(hits) < PAGE:
                return
            body["search_after"] = hits[-1]["sort"]

    async def _in_thread(self, work: Any, places: Mapping[str, Place]) -> Sequence[Write]:
        loop = asyncio.get_running_loop()
        writes: Sequence[Write] = await loop.run_in_executor(self._threads, work, places)
        return writes


@dataclass(frozen=True, slots=True)
class _Job:
    """What the documents of a study's instances have to show."""

    links: Links
    patient: StudyPatient
    limits: Limits

    def writes(self, places: Mapping[str, Place]) -> list[Write]:
        """Return the writes of documents that are not as they should be (runs in a thread)."""
        written: list[Write] = []
        for uid, place in places.items():
            before = read_correction(place.source)
            own = own_attributes(place.source)
            correction = _newly(self.patient, own, before)
            if correction is before and place.source["fhir"]["patient"] == self.links.patient:
                continue
            document = linked(as_shown(place.source, own, correction, self.limits), self.links)
            written.append(Write("index", INSTANCES, uid, document, guard=place.guard))
        return written


def _remade(
    document: Mapping[str, Any], *, links: Links, patient: StudyPatient, limits: Limits
) -> dict[str, Any]:
    """Return a study's or series' document as of this version and patient."""
    correction = _newly(patient, own_attributes(document), read_correction(document))
    return relinked(document, links, limits, lambda _: correction)


def _newly(
    patient: StudyPatient, own: Mapping[str, Any], before: Correction | None
) -> Correction | None:
    """Return the correction of a document: the very one that it has where that shows the same."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found = patient.correction(own, at=now, reason="CORRECT")
    if found is None or before is None:
        return found
    return before if found.same_as(before) else found


def _reference(patient: Mapping[str, Any]) -> str:
    return f"Patient/{patient['id']}"
