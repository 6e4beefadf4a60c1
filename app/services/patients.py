"""Finds the Patient of a study, or says which one to create with it; follows merges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.fhir.demographics import Demographics
from app.fhir.identifiers import IdentifierSystems
from app.fhir.ids import patient_id
from app.fhir.merged import replaced_by, replaces
from app.fhir.patient import patient_key, patient_resource
from app.fhir.patient_update import updated_patient
from app.stores.hapi import HapiStore
from app.stores.hapi_questions import Answers, Question, patients_with

Master = Literal["fhir", "dicom"]

LONGEST_CHAIN = 10  # of patients, each replaced by the next


@dataclass(frozen=True, slots=True)
class PatientLink:
    """The Patient of a study: `resource` was there before, `new` is to be written in the same transaction."""

    reference: str
    new: Mapping[str, Any] | None = None
    resource: Mapping[str, Any] | None = None
    # the Patient that has the identifier, where a merge has put the one of `reference` in its place
    merged: str | None = None

    @property
    def linked(self) -> tuple[str, ...]:
        """Return who has the identifier, and who took that place."""
        return (self.reference,) if self.merged is None else (self.merged, self.reference)


class Patients:
    """Patients by identifier. None is ever changed here unless DICOM is their master.

    Nor is one remembered: it may be merged or deleted there at any time, and a study is linked once.
    """

    def __init__(
        self, fhir: HapiStore, systems: IdentifierSystems, *, master: Master = "fhir"
    ) -> None:
        """Look patients up in `fhir`; `master` says who is right where FHIR and an object differ."""
        self._master = master
        self._fhir = fhir
        self._systems = systems

    async def link(
        self,
        attributes: Mapping[str, Any],
        study_instance_uid: str,
        *,
        besides: Sequence[Question] = (),
    ) -> tuple[PatientLink, Answers]:
        """Return the Patient whom an instance is of, and what is asked `besides` in the same round trip.

        Raises FhirUnavailable.
        """
        key = patient_key(attributes, self._systems, study_instance_uid)
        matches, *answers = await self._fhir.ask([patients_with(key), *besides])
        found = await self._fhir.chosen_patient(key, matches)
        if found is not None:
            if self._master == "dicom":
                update = updated_patient(found, attributes, key, self._systems)
                return PatientLink(f"Patient/{found['id']}", update), answers
            merged = _merged_into(found, matches or ())
            return PatientLink(f"Patient/{found['id']}", resource=found, merged=merged), answers
        new = patient_resource(attributes, key, self._systems)
        return PatientLink(f"Patient/{patient_id(key.system, key.value)}", new), answers

    async def chain(self, reference: str) -> list[Mapping[str, Any]]:
        """Return a Patient and those that took its place one after the other, as they are now.

        Empty where there is no such Patient (any more). Raises FhirUnavailable.
        """
        patients: list[Mapping[str, Any]] = []
        known: set[str] = set()
        wanted: str | None = reference
        while wanted is not None and wanted not in known and len(known) < LONGEST_CHAIN:
            known.add(wanted)
            found = await self._fhir.read(*wanted.split("/", 1))
            if found.resource is None:
                break
            patients.append(found.resource)
            wanted = replaced_by(found.resource) or await self._replacing(wanted)
        return patients

    async def _replacing(self, reference: str) -> str | None:
        """Return the Patient that says that it replaces another one, which does not say so itself."""
        question = Question("Patient", {"link": reference, "_count": str(LONGEST_CHAIN)})
        (found,) = await self._fhir.ask([question])
        replacing = [each for each in found or () if reference in replaces(each)]
        return f"Patient/{min(each['id'] for each in replacing)}" if replacing else None

    def demographics(self, patient: Mapping[str, Any] | None) -> Demographics | None:
        """Return what a Patient corrects in objects; nothing where DICOM is the master of patients."""
        if patient is None or self._master == "dicom":
            return None
        return Demographics.of(patient)


def _merged_into(found: Mapping[str, Any], matches: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the match whose place somebody else has taken."""
    merged = [each for each in matches if each["id"] != found["id"] and replaced_by(each)]
    return f"Patient/{merged[0]['id']}" if merged else None
