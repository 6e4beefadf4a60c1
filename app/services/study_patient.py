"""Whose a study is: what its objects say of the patient, what FHIR says, and what is shown of it.

Strategy: both are kept in the study's document, so that an instance which comes later is shown like the others
without a question to the FHIR server. Where an instance contradicts its study, the study's patient stands in
(`app.services.reconcile`); where FHIR contradicts what would be shown then, FHIR's word is shown.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from app.dicom.correction import Correction, Element, Reason
from app.dicom.instance import COERCED, Finding
from app.fhir.demographics import Demographics
from app.fhir.identifiers import IdentifierSystems
from app.index.documents import as_shown
from app.index.packing import pack_json, unpack_json
from app.index.problem_records import ProblemRecord
from app.limits import Limits
from app.services.intake import Prepared
from app.services.reconcile import PATIENT_TAGS, instead_of

CORRECTED_AT_ONCE = 5  # corrected documents that are made without a thread
_SAID = "The Patient in FHIR says otherwise, and that is shown instead."

# fields of a study's document
OWN_PATIENT = "own_patient"  # what its objects say of the patient
DEMOGRAPHICS = "demographics"  # the Patient as last read, packed
LINKED = "patients"  # within `fhir`: who the patient was when the study was linked, and who took that place


@dataclass(frozen=True, slots=True)
class Shown:
    """Instances that a commit brings, their documents as they are shown."""

    added: Sequence[Prepared]
    replaced: Sequence[Prepared]
    corrections: Mapping[str, Correction]  # by SOP Instance UID


@dataclass(frozen=True, slots=True)
class StudyPatient:
    """The patient of one study."""

    reference: str  # of the FHIR Patient
    own: Mapping[str, Any]  # what the study's objects say
    demographics: Demographics | None  # what FHIR says; None where that corrects nothing
    systems: IdentifierSystems
    # the Patient that the study was linked to, and those that took its place by merges; the last is `reference`
    linked: tuple[str, ...]
    source: str = ""  # the version of the Patient that says so, where it was read just now

    def same_as(self, other: "StudyPatient") -> bool:
        """Tell whether studies of both are shown alike, whenever the Patient was read."""
        return replace(self, source="") == replace(other, source="")

    def correction(
        self, attributes: Mapping[str, Any], *, at: str, reason: Reason = "COERCE"
    ) -> Correction | None:
        """Return what an object, or the study, is to show otherwise than its `attributes` say."""
        shown: dict[str, Element | None] = {**instead_of(attributes, self.own, self.systems)}
        if self.demographics is not None:
            before = attributes if not shown else {**attributes, **shown}
            shown = {**shown, **self.demographics.shown(before, self.systems)}
        if not shown:
            return None
        return Correction.of(shown, attributes, patient=self.reference, at=at, reason=reason)

    def corrections(self, brought: Sequence[Prepared]) -> dict[str, Correction]:
        """Return the corrections of new instances by SOP Instance UID; without those that need none."""
        found: dict[str, Correction] = {}
        said: list[Any] | None = None
        correction = None
        for prepared in brought:
            record = prepared.stored.record
            says = [record.attributes.get(tag) for tag in PATIENT_TAGS]
            if says != said:  # as a rule all instances of a study say the same
                said = says
                correction = self.correction(record.attributes, at=prepared.stored.stored_at)
            if correction is not None:
                found[record.sop_instance_uid] = correction
        return found

    async def shown(
        self, added: Sequence[Prepared], replaced: Sequence[Prepared], limits: Limits
    ) -> "Shown":
        """Return instances that a commit brings with their documents as they are shown."""
        corrections = self.corrections([*added, *replaced])
        if not corrections:
            return Shown(added, replaced, {})
        make = partial(_shown, corrections=corrections, limits=limits)
        if len(corrections) <= CORRECTED_AT_ONCE:
            return Shown(make(added), make(replaced), corrections)
        return Shown(
            await asyncio.to_thread(make, added),
            await asyncio.to_thread(make, replaced),
            corrections,
        )

    def remembered_in(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a study's document with all that `patient_of` needs."""
        whole = {k: v for k, v in document.items() if k != DEMOGRAPHICS}
        whole[OWN_PATIENT] = self.own
        if self.demographics is not None:
            whole[DEMOGRAPHICS] = pack_json(dict(self.demographics.patient))
        whole["fhir"] = {**document["fhir"], LINKED: list(self.linked)}
        return whole


def _shown(
    brought: Sequence[Prepared], corrections: Mapping[str, Correction], limits: Limits
) -> list[Prepared]:
    shown: list[Prepared] = []
    for prepared in brought:
        correction = corrections.get(prepared.stored.record.sop_instance_uid)
        if correction is None:
            shown.append(prepared)
        else:
            own = prepared.stored.record.attributes
            document = as_shown(prepared.document, own, correction, limits)
            shown.append(replace(prepared, document=document))
    return shown


def corrected_findings(correction: Correction) -> tuple[Finding, ...]:
    """Return what the sender of a corrected instance should hear: B000, Coercion of Data Elements."""
    return tuple(Finding(tag, _SAID, COERCED) for tag in correction.attributes)


def mismatches(study_instance_uid: str, tags: Iterable[str]) -> Iterator[ProblemRecord]:
    """Yield a record of each attribute of a study that FHIR contradicts."""
    for tag in sorted(tags):
        yield ProblemRecord("patient-mismatch", study_instance_uid, _SAID, tag)


def patient_of(document: Mapping[str, Any], systems: IdentifierSystems) -> StudyPatient:
    """Return what a study's document remembers of its patient."""
    packed = document.get(DEMOGRAPHICS)
    reference = document["fhir"]["patient"]
    return StudyPatient(
        reference=reference,
        own=document.get(OWN_PATIENT) or {},
        demographics=None if packed is None else Demographics(unpack_json(packed)),
        systems=systems,
        linked=tuple(document["fhir"].get(LINKED) or (reference,)),
    )
