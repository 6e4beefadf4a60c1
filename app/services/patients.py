"""Finds the Patient of a study, or says which one to create with it."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.identifiers import IdentifierSystems
from app.fhir.ids import patient_id
from app.fhir.patient import PatientKey, patient_key, patient_resource
from app.stores.hapi import HapiStore

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class PatientLink:
    """The Patient of a study; `new` is the resource to create in the same transaction."""

    reference: str
    key: PatientKey
    new: Mapping[str, Any] | None = None


class Patients:
    """Patients by identifier. The FHIR server is their master: none is ever changed here."""

    def __init__(self, fhir: HapiStore, systems: IdentifierSystems) -> None:
        """Look patients up in `fhir`."""
        self._fhir = fhir
        self._systems = systems
        self._known: OrderedDict[PatientKey, str] = OrderedDict()

    async def link(self, attributes: Mapping[str, Any], study_instance_uid: str) -> PatientLink:
        """Return the Patient whom an instance is of. Raises FhirUnavailable."""
        key = patient_key(attributes, self._systems, study_instance_uid)
        if key in self._known:
            self._known.move_to_end(key)
            return PatientLink(self._known[key], key)
        reference = await self._fhir.find_patient(key)
        if reference is not None:
            self.remember(PatientLink(reference, key))
            return PatientLink(reference, key)
        resource = patient_resource(attributes, key)
        return PatientLink(f"Patient/{patient_id(key.system, key.value)}", key, resource)

    def remember(self, link: PatientLink) -> None:
        """Note that this Patient exists."""
        self._known[link.key] = link.reference
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    def forget(self, link: PatientLink) -> None:
        """Look this Patient up again next time: a transaction that named it failed."""
        self._known.pop(link.key, None)
