"""Writes a study's resources: Patient where missing, and the ImagingStudy at its next version."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Literal

from app.fhir.bundle import study_transaction
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import CommitMarks, merge_imaging_study, pending_commits, retired
from app.fhir.reduction import ours_alone, reduce_imaging_study
from app.limits import Limits
from app.services.intake import Prepared
from app.services.patients import Patients
from app.services.snapshot import Snapshot, advance
from app.stores.hapi import HapiStore

EmptiedStudy = Literal["entered-in-error", "cancelled", "removed"]


class StudyLinker:
    """Carries out the FHIR half of a commit."""

    def __init__(
        self,
        *,
        fhir: HapiStore,
        patients: Patients,
        endpoint: str,
        systems: IdentifierSystems,
        limits: Limits,
        time_zone: str | None,
        emptied: EmptiedStudy,
    ) -> None:
        """Refer from each ImagingStudy to `endpoint`; `emptied` says what becomes of one without instances."""
        self._fhir = fhir
        self._patients = patients
        self._endpoint = endpoint
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
        if subject is None:  # a new study, or somebody made the subject a mere name
            patient = await self._patients.link(
                brought[0].stored.record.attributes, before.study_instance_uid
            )
            subject, new_patient = patient.reference, patient.new
        resource = merge_imaging_study(
            before.imaging_study,
            [prepared.stored.record for prepared in added],
            replaced=[prepared.stored.record for prepared in replaced],
            patient=subject,
            endpoint=self._endpoint,
            limits=self._limits,
            systems=self._systems,
            time_zone=self._time_zone,
            commit=CommitMarks(this=tuple(marks), confirmed=confirmed),
        )
        version = await self._transact(resource, before.version, new_patient)
        return advance(before, resource, version, brought, self._limits)

    async def unlink(
        self,
        before: Snapshot,
        removed: Mapping[str, AbstractSet[str]],
        *,
        marks: Sequence[str],
        confirmed: frozenset[str],
    ) -> Snapshot:
        """Return the study without `removed` (SOP Instance UIDs by series), as FHIR now has it.

        The documents are those of before. Raises as `link` does.
        """
        if before.imaging_study is None:
            raise ValueError("there is nothing to take out of")
        status = "entered-in-error" if self._emptied == "removed" else self._emptied
        resource = reduce_imaging_study(
            before.imaging_study,
            removed,
            endpoint=self._endpoint,
            emptied_status=status,
            limits=self._limits,
            commit=CommitMarks(this=tuple(marks), confirmed=confirmed),
        )
        version = await self._transact(resource, before.version, None)
        return replace(before, imaging_study=resource, version=version)

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
        self, resource: dict[str, Any], version: int, new_patient: Mapping[str, Any] | None
    ) -> int:
        result = await self._fhir.commit(study_transaction(resource, version, new_patient))
        return result.versions[f"ImagingStudy/{resource['id']}"]

    async def put(self, resource: dict[str, Any], version: int) -> int:
        """Write the ImagingStudy after `version`; return its new version. Raises as `link` does."""
        return await self._transact(resource, version, None)

    @staticmethod
    def marks(snapshot: Snapshot) -> tuple[str, ...]:
        """Return the commits of this study whose index write may be outstanding."""
        return () if snapshot.imaging_study is None else pending_commits(snapshot.imaging_study)
