"""Writes what reports and documents become in FHIR, in the transaction that links their objects.

Strategy: the resources of an object have computed ids, so those of a new object are written as new ones,
without asking. Where that conflicts (the object was deleted and is stored again), where an object is replaced
or deleted, or where the study's subject changes, those that are there are read first, and what others wrote
on them is kept. If FHIR refuses resources of a report, the study is linked without them, each report is tried
by itself, and what is refused then is noted as a problem: no object is lost for a report that cannot be told.
A long report, or many at once, would make a transaction that takes too long: those beyond a limit follow by
themselves before the answer, and whoever finishes a commit after a crash writes what is missing of them.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from app.dicom.instance import InstanceRecord
from app.errors import LinkRefused, VersionConflict
from app.fhir.bundle import with_derived
from app.fhir.identifiers import IdentifierSystems
from app.fhir.reports.derive import Derived, becomes_resources, derived_resources
from app.fhir.reports.document import Origin
from app.fhir.reports.tables import kinds
from app.limits import Limits
from app.services.derived_writes import (
    NOTHING_DERIVED,
    RECORD_FIELDS,
    DerivedWrites,
    Wanted,
    record_of,
    reference_of,
    retiring,
)
from app.services.intake import Prepared
from app.services.problems import ProblemRecord, Problems
from app.services.snapshot import INSTANCES
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.hapi import CommitResult, HapiStore
from app.stores.hapi_questions import Question

AT_ONCE = 50  # ids of one search
CONFLICT_TRIES = 3
PAGE = 200  # reports of a study that are looked at at once
_TOO_MANY = "The report has more measurements than the limit fhir_report_observations."
_TRANSACTION: Mapping[str, Any] = {"resourceType": "Bundle", "type": "transaction", "entry": []}

log = structlog.get_logger(__name__)


class DerivedResources:
    """Observations, DiagnosticReports and DocumentReferences of a study's objects."""

    def __init__(
        self,
        *,
        fhir: HapiStore,
        index: ElasticsearchIndex,
        problems: Problems,
        systems: IdentifierSystems,
        limits: Limits,
        time_zone: str | None,
        base_url: str,
        removes: bool,
    ) -> None:
        """Give out addresses below `base_url`; `removes` says that what is ours alone is not kept."""
        self._fhir = fhir
        self._index = index
        self._problems = problems
        self._systems = systems
        self._limits = limits
        self._time_zone = time_zone
        self._base_url = base_url
        self._removes = removes

    async def brought(
        self,
        added: Sequence[Prepared],
        replaced: Sequence[Prepared],
        imaging_study: Mapping[str, Any],
    ) -> DerivedWrites:
        """Return what new objects and new versions become. Raises IndexUnavailable."""
        records = [p.stored.record for p in (*added, *replaced)]
        reports = [r for r in records if becomes_resources(r.sop_class_uid)]
        uids = [prepared.stored.record.sop_instance_uid for prepared in replaced]
        past = await self._stored(uids) if uids else []
        if not reports and not past:
            return NOTHING_DERIVED
        made = await asyncio.to_thread(self._derive, reports, imaging_study)
        before = await asyncio.to_thread(self._derive, past, imaging_study)
        earlier = {reference_of(r): r for each in before for r in each.resources}
        wanted = {
            reference: Wanted(
                reference,
                each.sop_instance_uid,
                made=resource,
                before=earlier.get(reference, {}),
                has_members="hasMember" in resource,
            )
            for each in made
            for resource in each.resources
            if (reference := reference_of(resource))
        }
        gone = retiring(before)
        study = records[0].study_instance_uid
        for each in made:
            if each.left_out:
                self._note(study, each.sop_instance_uid, _TOO_MANY)
        return DerivedWrites(study, tuple((gone | wanted).values()), known=bool(uids))

    async def removed(self, study_instance_uid: str, uids: Sequence[str]) -> DerivedWrites:
        """Return what becomes of the resources of objects that are deleted. Raises IndexUnavailable."""
        records = await self._stored(uids) if uids else []
        if not records:
            return DerivedWrites(study_instance_uid)
        made = await asyncio.to_thread(self._derive, records, {"id": ""})
        return DerivedWrites(study_instance_uid, tuple(retiring(made).values()), known=True)

    async def of_patient(self, study_instance_uid: str, subject: str) -> DerivedWrites:
        """Return how the resources of a study's objects follow to another subject.

        Raises IndexUnavailable.
        """
        wanted: list[Wanted] = []
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {
                "bool": {
                    "filter": [
                        {"term": {"study_instance_uid": study_instance_uid}},
                        {"terms": {"sop_class_uid": sorted(kinds())}},
                    ]
                }
            },
            "sort": [{"order": "asc"}],
            "_source": list(RECORD_FIELDS),
            "track_total_hits": False,
        }
        while True:
            hits = (await self._index.search(INSTANCES, body))["hits"]["hits"]
            records = [record_of(hit["_source"]) for hit in hits]
            for each in await asyncio.to_thread(self._derive, records, {"id": ""}):
                wanted += [
                    Wanted(reference_of(r), each.sop_instance_uid, subject=subject)
                    for r in each.resources
                ]
            if len(hits) < PAGE:
                return DerivedWrites(study_instance_uid, tuple(wanted), known=True)
            body["search_after"] = hits[-1]["sort"]

    async def commit(self, transaction: Mapping[str, Any], writes: DerivedWrites) -> CommitResult:
        """Carry out a study's transaction with what its reports become.

        Raises VersionConflict, LinkRefused, FhirUnavailable, as for the study alone.
        """
        if not writes:
            return await self._fhir.commit(transaction)
        first, rest = writes.parted(self._limits.fhir_derived_at_once)
        try:
            result = await self._commit(transaction, first)
        except LinkRefused:
            result = await self._fhir.commit(transaction)  # raises where the study is to blame
            rest = writes
        await self._one_by_one(rest)
        return result

    async def again(
        self,
        added: Sequence[Prepared],
        replaced: Sequence[Prepared],
        imaging_study: Mapping[str, Any],
    ) -> None:
        """Write what is missing of reports whose study was linked before a crash.

        Raises IndexUnavailable, FhirUnavailable.
        """
        await self._one_by_one(await self.brought(added, replaced, imaging_study))

    async def follow_subject(self, study_instance_uid: str, subject: str) -> None:
        """Let the resources of a study's objects follow where somebody else changed the study's subject.

        Raises IndexUnavailable, FhirUnavailable.
        """
        await self._one_by_one(await self.of_patient(study_instance_uid, subject))

    async def removed_again(self, study_instance_uid: str, uids: Sequence[str]) -> None:
        """Retire what is left of objects whose study was linked without them before a crash.

        Raises IndexUnavailable, FhirUnavailable.
        """
        await self._one_by_one(await self.removed(study_instance_uid, uids))

    async def _commit(self, transaction: Mapping[str, Any], writes: DerivedWrites) -> CommitResult:
        if not writes.known:
            new = [(each.made, 0) for each in writes.wanted if each.made is not None]
            try:
                return await self._fhir.commit(with_derived(transaction, new))
            except VersionConflict:
                present = await self._present(writes.wanted)
                if not present:
                    raise  # the study is another's, or the patient
        else:
            present = await self._present(writes.wanted)
        written, removed = writes.resolved(present, removes=self._removes)
        if not (transaction["entry"] or written or removed):
            return CommitResult({})
        try:
            return await self._fhir.commit(with_derived(transaction, written, removed))
        except (VersionConflict, LinkRefused):
            if not removed:
                raise
            # somebody refers to one that was to be removed: then they stay, retired
            written, _ = writes.resolved(present, removes=False)
            return await self._fhir.commit(with_derived(transaction, written))

    async def _one_by_one(self, writes: DerivedWrites) -> None:
        """Write the resources of each report by itself, after their study; note those that are refused.

        Raises FhirUnavailable: then recovery finds the study's mark, and does it again.
        """
        for uid, wanted in writes.by_report().items():
            alone = replace(writes, wanted=tuple(wanted))
            try:
                for step in alone.in_steps(self._limits.fhir_derived_at_once):
                    await self._insist(step)
            except (LinkRefused, VersionConflict) as error:
                self._note(writes.study_instance_uid, uid, error.message)

    async def _insist(self, writes: DerivedWrites) -> None:
        for _ in range(CONFLICT_TRIES - 1):
            with contextlib.suppress(VersionConflict):
                await self._commit(_TRANSACTION, writes)
                return
        await self._commit(_TRANSACTION, writes)

    async def _present(self, wanted: Sequence[Wanted]) -> dict[str, dict[str, Any]]:
        """Return those of the resources that are there, by reference. Raises FhirUnavailable."""
        ids: dict[str, list[str]] = defaultdict(list)
        for each in wanted:
            kind, _, resource_id = each.reference.partition("/")
            ids[kind].append(resource_id)
        questions = [
            Question(kind, {"_id": ",".join(of_kind[at : at + AT_ONCE]), "_count": str(AT_ONCE)})
            for kind, of_kind in ids.items()
            for at in range(0, len(of_kind), AT_ONCE)
        ]
        found = await self._fhir.ask(questions) if questions else []
        return {reference_of(each): each for answered in found for each in answered or ()}

    async def _stored(self, uids: Sequence[str]) -> list[InstanceRecord]:
        """Return those of the instances that are reports, as the index has them."""
        classes = await self._index.get_many(INSTANCES, list(uids), fields=["sop_class_uid"])
        reports = [u for u, source in classes.items() if becomes_resources(source["sop_class_uid"])]
        if not reports:
            return []
        found = await self._index.get_many(INSTANCES, reports, fields=list(RECORD_FIELDS))
        return [record_of(source) for source in found.values()]

    def _derive(
        self, records: Sequence[InstanceRecord], imaging_study: Mapping[str, Any]
    ) -> list[Derived]:
        reference = imaging_study.get("subject", {}).get("reference", "")
        origin = Origin(reference, imaging_study, self._base_url)
        return [
            derived_resources(
                record,
                origin,
                systems=self._systems,
                time_zone=self._time_zone,
                limits=self._limits,
            )
            for record in records
        ]

    def _note(self, study_instance_uid: str, sop_instance_uid: str, message: str) -> None:
        log.warning("report_not_derived", reason=message)
        self._problems.note(
            ProblemRecord(
                kind="fhir-store-failure",
                study_instance_uid=study_instance_uid,
                message=message,
                sop_instance_uid=sop_instance_uid,
            )
        )
