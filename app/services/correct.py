"""Brings what changed of a Patient into the studies: name, identifier, birth date, sex, merges and their end.

Strategy: one intent a study. The ImagingStudy is written first, with the intent's mark and, after a merge, its
new subject; then the documents of the study and its series, so that searches know it soon; then, beside
further commits, those of its instances. Where nothing is to be shown otherwise, nothing is written. Doing it
again changes nothing, so a change may be heard of twice, or be finished by recovery.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from app.fhir.commit_marks import CommitMarks, marked
from app.fhir.imaging_study import without_server_meta
from app.fhir.merged import replaces
from app.services.commit import StudyCommits
from app.services.intents import Intent, Worker, new_correction
from app.services.journal import Journal
from app.services.link import StudyLinker
from app.services.overlay import Overlay
from app.services.provenance import Provenances
from app.services.snapshot import STUDIES, Snapshot
from app.services.study_patient import StudyPatient, patient_of
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.hapi import HapiStore

AT_ONCE = 32  # studies that are written at the same time: most of the time they wait for a store
PAGE = 1_000
LEASE_SECONDS = 300.0
PRECEDENCE_SECONDS = 3.0

Chains = dict[str, list[Mapping[str, Any]]]

log = structlog.get_logger(__name__)


class Correct:
    """Follows changes of Patients."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        fhir: HapiStore,
        journal: Journal,
        commits: StudyCommits,
        linker: StudyLinker,
        overlay: Overlay,
        provenances: Provenances,
        worker: Worker,
    ) -> None:
        """Act as `worker`; write studies through `commits` and `linker`, their documents through `overlay`."""
        self._index = index
        self._fhir = fhir
        self._journal = journal
        self._commits = commits
        self._linker = linker
        self._overlay = overlay
        self._provenances = provenances
        self._worker = worker

    async def patient_changed(self, patient_id: str) -> None:
        """Let all studies of a Patient show what it says now, and follow where it was merged.

        A Patient that was deleted changes nothing. Raises VersionConflict, LinkRefused, FhirUnavailable,
        IndexUnavailable; then it is to be done again, and what was done is not done twice.
        """
        found = await self._fhir.read("Patient", patient_id)
        patient = found.resource
        if patient is None or (found.version == 1 and not patient.get("link")):
            return  # gone; or just made, and whoever is linked to it knows what it says
        references = [f"Patient/{patient_id}", *replaces(patient)]
        chains: Chains = {}
        slots, begun = asyncio.Semaphore(AT_ONCE), asyncio.Event()

        async def one(uid: str) -> None:
            async with slots:
                rest = await self._correct(uid, chains, begun)
            if rest is not None:
                rests.append(rest)

        rests: list[asyncio.Task[None]] = []
        uids = await self._studies(references)
        results = await asyncio.gather(*map(one, uids), return_exceptions=True)
        begun.set()
        results += await asyncio.gather(*rests, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def finish(self, intent: Intent) -> None:
        """Carry out a correction that somebody has left undone. Raises as `patient_changed` does."""
        begun = asyncio.Event()
        begun.set()
        rest = await self._correct(intent.study_instance_uid, {}, begun, again=intent)
        if rest is not None:
            await rest

    async def _studies(self, references: list[str]) -> list[str]:
        """Return the Study Instance UIDs of studies that are, or were, linked to one of these."""
        either = [{"terms": {f"fhir.{name}": references}} for name in ("patient", "patients")]
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {"bool": {"should": either, "minimum_should_match": 1}},
            "sort": [{"order": "asc"}],
            "_source": False,
            "track_total_hits": False,
        }
        uids: list[str] = []
        while True:
            hits = (await self._index.search(STUDIES, body))["hits"]["hits"]
            uids += [hit["_id"] for hit in hits]
            if len(hits) < PAGE:
                return uids
            body["search_after"] = hits[-1]["sort"]

    async def _correct(
        self,
        study_instance_uid: str,
        chains: Chains,
        begun: asyncio.Event,
        again: Intent | None = None,
    ) -> "asyncio.Task[None] | None":
        """Correct one study; return what is still to be waited for, or None.

        Its instances come last: when further studies have `begun`, or after some seconds, because two changes
        may wait for each other's studies.
        """
        rest: list[asyncio.Task[None]] = []
        noted = [] if again is None else [again]

        async def work(before: Snapshot, confirmed: frozenset[str]) -> Snapshot:
            if before.imaging_study is None or before.study is None:
                return before
            patient = await self._overlay.patient_now(before, chains)
            subject = before.imaging_study.get("subject", {}).get("reference")
            same = patient.same_as(patient_of(before.study, patient.systems))
            if same and subject == patient.reference and again is None:
                return before
            if not noted:
                noted.append(await self._note(study_instance_uid, patient))
            after = await self._put(before, patient, noted[0], confirmed)
            after = await self._overlay.rewrite_study(after, patient)
            finishing = self._finish(noted[0], after, patient, begun)
            rest.append(self._commits.beside(study_instance_uid, noted[0].id, finishing))
            return after

        await self._commits.exclusively(study_instance_uid, work)
        if noted and not rest:  # another writer was quicker, and did the same
            self._journal.strike_soon(noted[0])
        return rest[0] if rest else None

    async def _note(self, study_instance_uid: str, patient: StudyPatient) -> Intent:
        intent = new_correction(
            study_instance_uid,
            patient.source or patient.reference,
            worker=self._worker,
            lease_seconds=LEASE_SECONDS,
        )
        await self._journal.note(intent)
        return intent

    async def _put(
        self,
        before: Snapshot,
        patient: StudyPatient,
        intent: Intent,
        confirmed: frozenset[str],
    ) -> Snapshot:
        """Write the ImagingStudy: with its subject, and the mark that documents have to follow."""
        resource = without_server_meta(before.imaging_study or {})
        if resource.get("subject", {}).get("reference") != patient.reference:
            resource["subject"] = {"reference": patient.reference}
        resource["extension"] = marked(resource, CommitMarks((intent.id,), confirmed))
        known = (before.study or {}).get("fhir", {}).get("patient")
        moved = patient.reference != known
        version = await self._linker.put(
            resource, before.version, reports_of=before.study_instance_uid if moved else None
        )
        return replace(before, imaging_study=resource, version=version)

    async def _finish(
        self, intent: Intent, after: Snapshot, patient: StudyPatient, begun: asyncio.Event
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PRECEDENCE_SECONDS):
                await begun.wait()
        instances = await self._overlay.rewrite_instances(after, patient)
        self._provenances.settle_soon(intent, after.version)
        log.info("study_corrected", study_version=after.version, instances=instances)
