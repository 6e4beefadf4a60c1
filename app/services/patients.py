"""Finds the Patient of a study, or says which one to create with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.identifiers import IdentifierSystems
from app.fhir.ids import patient_id
from app.fhir.patient import patient_key, patient_resource
from app.stores.hapi import HapiStore


@dataclass(frozen=True, slots=True)
class PatientLink:
    """The Patient of a study; `new` is the resource to create in the same transaction."""

    reference: str
    new: Mapping[str, Any] | None = None


class Patients:
    """Patients by identifier. The FHIR server is their master: none is ever changed here.

    Nor is one remembered: it may be merged or deleted there at any time, and a study is linked once.
    """

    def __init__(self, fhir: HapiStore, systems: IdentifierSystems) -> None:
        """Look patients up in `fhir`."""
        self._fhir = fhir
        self._systems = systems

    async def link(self, attributes: Mapping[str, Any], study_instance_uid: str) -> PatientLink:
        """Return the Patient whom an instance is of. Raises FhirUnavailable."""
        key = patient_key(attributes, self._systems, study_instance_uid)
        reference = await self._fhir.find_patient(key)
        if reference is not None:
            return PatientLink(reference)
        resource = patient_resource(attributes, key)
        return PatientLink(f"Patient/{patient_id(key.system, key.value)}", resource)
