"""Writes a study's resources: Patient where missing, and the ImagingStudy at its next version."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Literal

from app.dicom.instance import InstanceRecord
from app.errors import LinkRefused
from app.fhir.bundle import study_transaction
from app.fhir.contribution import Origin, without_form
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import (
    CommitMarks,
    derive,
    merge_imaging_study,
    pending_commits,
    retired,
)
from app.fhir.reduction import ours_alone, reduce_imaging_study
from app.index.problem_records import ProblemRecord, class_of_value
from app.limits import Limits
from app.services.derived import DerivedResources
from app.services.derived_writes import NOTHING_DERIVED, DerivedWrites
from app.services.devices import Devices
from app.services.intake import Prepared
from app.services.linked_patients import LinkedPatients
from app.services.patients import PatientLink, Patients
from app.services.reconcile import Reconciled
from app.services.references import References
from app.services.snapshot import Snapshot, advance
from app.services.study_patient import Shown, StudyPatient, patient_of
from app.stores.hapi import HapiStore

_NOT_YET_KNOWN = "Patient"  # stands for the subject until the Patient was looked for

EmptiedStudy = Literal["entered-in-error", "cancelled", "removed"]


class StudyLinker:
    """Carries out the FHIR half of a commit."""

    def __init__(
        self,
        *,
        fhir: HapiStore,
        patients: Patients,
        linked_patients: LinkedPatients,
        references: References,
        derived: DerivedResources,
        endpoints: Sequence[str],
        systems: IdentifierSystems,
        limits: Limits,
        time_zone: str | None,
        emptied: EmptiedStudy,
    ) -> None:
        """Refer from each ImagingStudy to `endpoints`; `emptied` says what becomes of one without instances."""
        self._fhir = fhir
        self._patients = patients
        self._linked_patients = linked_patients
        self._references = references
        self._derived = derived
        self._devices = Devices()
        self._endpoints = endpoints
        self._systems = systems
        self._limits = limits
        self._time_zone = time_zone
        self._emptied = emptied

    async def link(
        self,
        before: Snapshot,
        added: Sequence[Prepared],
        *,
        replaced: Sequence[Prepared] = (),
        reconciled: Reconciled,
        marks: Sequence[str],
        confirmed: frozenset[str],
    ) -> Snapshot:
        """Return the study with `added` and the new versions `replaced` linked, as FHIR now has it.

        Raises VersionConflict where another writer came first, LinkRefused, FhirUnavailable.
        """
        brought = [*added, *replaced]
        new_patient = None
        subject = (before.imaging_study or {}).get("subject", {}).get("reference")
        if before.imaging_study is not None and retired(before.imaging_study):
            subject = None  # what comes after a deletion may well be another patient's
        whose = reconciled.new_patient
        resource = merge_imaging_study(
            before.imaging_study,
            [prepared.stored.record for prepared in added],
            replaced=[prepared.stored.record for prepared in replaced],
            patient=subject or _NOT_YET_KNOWN,
            endpoints=self._endpoints,
            limits=self._limits,
            systems=self._systems,
            time_zone=self._time_zone,
            commit=CommitMarks(this=tuple(marks), confirmed=confirmed),
        )
        wanted = self._references.wanted(resource, before.imaging_study)
        if subject is None or whose is not None:  # or somebody made the subject a mere name
            attributes = (whose or brought[0]).stored.record.attributes
            questions = self._references.questions(wanted)
            patient, answers = await self._patients.link(
                attributes, before.study_instance_uid, besides=questions
            )
            new_patient = patient.new
            kept = resource["subject"] if whose is None else {}
            resource["subject"] = {**kept, "reference": patient.reference}
            theirs = self._patient(patient, reconciled.own)
        else:
            answers = await self._references.ask(wanted)
            theirs = await self.patient(before, subject, reconciled.own)
        linked = await self._references.link(resource, wanted, answers, before.study_instance_uid)
        resource = linked.imaging_study
        devices = self._devices.of(prepared.stored.record.attributes for prepared in brought)
        derived = await self._derived.brought(added, replaced, resource)
        if subject is not None and resource["subject"]["reference"] != subject:
            patient_now = resource["subject"]["reference"]
            derived = derived.joined(
                await self._derived.of_patient(before.study_instance_uid, patient_now)
            )
        version = await self._transact(
            resource, before.version, new_patient, linked.new, devices, derived
        )
        return advance(before, resource, version, brought, self._limits, theirs)

    def _patient(self, link: PatientLink, own: Mapping[str, Any]) -> StudyPatient:
        patient = link.resource or link.new
        if patient is not None:
            self._linked_patients.note(patient)
        return StudyPatient(
            reference=link.reference,
            own=own,
            demographics=self._patients.demographics(patient),
            systems=self._systems,
            linked=link.linked,
        )

    async def patient(self, before: Snapshot, subject: str, own: Mapping[str, Any]) -> StudyPatient:
        """Return the patient of a study that is linked; asked for only where the index knows nothing.

        `own` is what its objects say of the patient. Raises FhirUnavailable.
        """
        if before.study is not None and before.study["fhir"]["patient"] == subject:
            return replace(patient_of(before.study, self._systems), own=own)
        chain = await self._patients.chain(subject)
        resource = chain[0] if chain else None
        return self._patient(PatientLink(subject, resource=resource), own)

    async def shown(
        self, after: Snapshot, added: Sequence[Prepared], replaced: Sequence[Prepared]
    ) -> Shown:
        """Return instances that were linked with their documents as they are shown."""
        if after.study is None:
            raise ValueError("a linked study has its document")
        patient = patient_of(after.study, self._systems)
        return await patient.shown(added, replaced, self._limits)

    async def unlink(
        self,
        before: Snapshot,
        removed: Mapping[str, AbstractSet[str]],
        *,
        reports: Sequence[str] = (),
        marks: Sequence[str],
        confirmed: frozenset[str],
    ) -> Snapshot:
        """Return the study without `removed` (SOP Instance UIDs by series), as FHIR now has it.

        `reports` are those of them that became resources of their own. The documents are those of before.
        Raises as `link` does.
        """
        if before.imaging_study is None:
            raise ValueError("there is nothing to take out of")
        status = "entered-in-error" if self._emptied == "removed" else self._emptied
        resource = reduce_imaging_study(
            before.imaging_study,
            removed,
            endpoints=self._endpoints,
            emptied_status=status,
            limits=self._limits,
            commit=CommitMarks(this=tuple(marks), confirmed=confirmed),
        )
        derived = await self._derived.removed(before.study_instance_uid, reports)
        version = await self._transact(resource, before.version, None, derived=derived)
        return replace(before, imaging_study=resource, version=version)

    def without_form(self, brought: Sequence[Prepared]) -> Iterator[ProblemRecord]:
        """Yield a record of each value that has no form in FHIR and was left out."""
        origin = Origin(self._systems, self._time_zone, self._limits.fhir_values)
        for record, finding in without_form([each.stored.record for each in brought], origin):
            yield ProblemRecord(
                "invalid-tag", record.study_instance_uid, finding.message, finding.tag,
                class_of_value(finding.tag, finding.message),
                record.series_instance_uid, record.sop_instance_uid,
            )  # fmt: skip

    def made_anew(
        self, records: Sequence[InstanceRecord], counts: Mapping[str, int], patient: str
    ) -> dict[str, Any]:
        """Return the ImagingStudy of these series, each told of by one instance; it lists none.

        `counts` is how many instances each series has.
        """
        resource = merge_imaging_study(
            None,
            records,
            patient=patient,
            endpoints=self._endpoints,
            limits=self._limits,
            systems=self._systems,
            time_zone=self._time_zone,
            commit=CommitMarks(()),
        )
        for series in resource["series"]:
            series.pop("instance", None)
            series["numberOfInstances"] = counts[series["uid"]]
        derive(resource, self._endpoints)
        return resource

    async def remove_emptied(self, snapshot: Snapshot) -> bool:
        """Remove the ImagingStudy where it is empty, ours alone and not to be kept; tell whether it was.

        Raises VersionConflict, LinkRefused, FhirUnavailable.
        """
        study = snapshot.imaging_study
        if self._emptied != "removed" or study is None:
            return False
        if not retired(study) or not ours_alone(study):
            return False
        await self._fhir.delete("ImagingStudy", study["id"], snapshot.version)
        return True

    async def _transact(
        self,
        resource: dict[str, Any],
        version: int,
        new_patient: Mapping[str, Any] | None,
        new: Sequence[Mapping[str, Any]] = (),
        devices: Sequence[Mapping[str, Any]] = (),
        derived: DerivedWrites = NOTHING_DERIVED,
    ) -> int:
        missing = self._devices.missing(devices)
        bundle = study_transaction(resource, version, new_patient, new=[*missing, *new])
        try:
            result = await self._derived.commit(bundle, derived)
        except LinkRefused:
            if len(missing) == len(devices):
                raise
            self._devices.doubt(devices)  # somebody may have deleted one that was known
            return await self._transact(resource, version, new_patient, new, devices, derived)
        self._devices.remember(devices)
        return result.versions[f"ImagingStudy/{resource['id']}"]

    async def put(
        self, resource: dict[str, Any], version: int, *, reports_of: str | None = None
    ) -> int:
        """Write the ImagingStudy after `version`; return its new version. Raises as `link` does.

        Where its subject has changed, `reports_of` is its Study Instance UID: what was made of its reports
        follows.
        """
        derived = NOTHING_DERIVED
        if reports_of is not None:
            subject = resource["subject"]["reference"]
            derived = await self._derived.of_patient(reports_of, subject)
        return await self._transact(resource, version, None, derived=derived)

    async def reports_again(
        self,
        snapshot: Snapshot,
        added: Sequence[Prepared] = (),
        replaced: Sequence[Prepared] = (),
        *,
        removed: Sequence[str] = (),
    ) -> None:
        """Write what a crash left out of the reports that a commit brought, or removed (SOP Instance UIDs).

        Raises IndexUnavailable, FhirUnavailable.
        """
        if removed:
            await self._derived.removed_again(snapshot.study_instance_uid, removed)
        if (added or replaced) and snapshot.imaging_study is not None:
            await self._derived.again(added, replaced, snapshot.imaging_study)

    @staticmethod
    def marks(snapshot: Snapshot) -> tuple[str, ...]:
        """Return the commits of this study whose index write may be outstanding."""
        return () if snapshot.imaging_study is None else pending_commits(snapshot.imaging_study)
