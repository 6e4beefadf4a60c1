"""Writes a study's resources: Patient where missing, and the ImagingStudy at its next version."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.fhir.bundle import study_transaction
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import CommitMarks, merge_imaging_study, pending_commits
from app.limits import Limits
from app.services.intake import Prepared
from app.services.patients import Patients
from app.services.snapshot import Snapshot, advance
from app.stores.hapi import HapiStore


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
    ) -> None:
        """Refer from each ImagingStudy to `endpoint`."""
        self._fhir = fhir
        self._patients = patients
        self._endpoint = endpoint
        self._systems = systems
        self._limits = limits
        self._time_zone = time_zone

    async def link(
        self,
        before: Snapshot,
        added: Sequence[Prepared],
        *,
        marks: Sequence[str],
        confirmed: frozenset[str],
    ) -> Snapshot:
        """Return the study with `added` linked, as FHIR now has it.

        Raises VersionConflict where another writer came first, LinkRefused, FhirUnavailable.
        """
        records = [prepared.stored.record for prepared in added]
        new_patient = None
        subject = (before.imaging_study or {}).get("subject", {}).get("reference")
        if subject is None:  # a new study, or somebody made the subject a mere name
            patient = await self._patients.link(records[0].attributes, before.study_instance_uid)
            subject, new_patient = patient.reference, patient.new
        resource = merge_imaging_study(
            before.imaging_study,
            records,
            patient=subject,
            endpoint=self._endpoint,
            limits=self._limits,
            systems=self._systems,
            time_zone=self._time_zone,
            commit=CommitMarks(this=tuple(marks), confirmed=confirmed),
        )
        version = await self._transact(resource, before.version, new_patient)
        return advance(before, resource, version, added, self._limits)

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
