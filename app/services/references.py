"""Finds what a study names by identifier: its order, its encounter, the people who took part.

Strategy: what is new in a commit is looked for, together with the Patient and in one round trip. What is
found becomes a literal reference beside the identifier; what is not stays named. Several that fit, or an order
of another patient, are no find: the study is stored, not linked, and the problem is noted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.fhir.references import Logical, Reference, literal, logical_references, named_by
from app.fhir.stand_in import made_of, stand_in_id
from app.services.problems import ProblemRecord, Problems
from app.stores.hapi import HapiStore
from app.stores.hapi_questions import Answers, Question, identified_by

Master = Literal["fhir", "dicom"]

MATCHES = 20  # two would be too many; some may be entered in error
_TAGS = {"ServiceRequest": "00080050", "Encounter": "00380010"}


@dataclass(frozen=True, slots=True)
class Linked:
    """A study whose references are literal where their targets are known."""

    imaging_study: dict[str, Any]
    new: tuple[dict[str, Any], ...] = ()  # resources to make in the same transaction


class References:
    """Resolves logical references against the FHIR server."""

    def __init__(
        self, fhir: HapiStore, problems: Problems, *, practitioner: Master, encounter: Master
    ) -> None:
        """Make resources that are missing where `dicom` is the master of their kind."""
        self._fhir = fhir
        self._problems = problems
        self._made_here = {
            kind
            for kind, master in (("Practitioner", practitioner), ("Encounter", encounter))
            if master == "dicom"
        }

    def wanted(
        self, imaging_study: Mapping[str, Any], before: Mapping[str, Any] | None
    ) -> dict[Logical, Reference]:
        """Return what the study names that it did not name before, sorted by what it is."""
        named = logical_references(imaging_study)
        known = logical_references(before) if before is not None and named else {}
        new = (each for each in named if each not in known)
        ordered = sorted(new, key=lambda each: (each.resource_type, each.system, each.value))
        return {each: named[each] for each in ordered}

    def questions(self, wanted: Mapping[Logical, Reference]) -> list[Question]:
        """Return the searches for what is wanted."""
        return [
            identified_by(each.resource_type, each.system, each.value, most=MATCHES)
            for each in wanted
        ]

    async def ask(self, wanted: Mapping[Logical, Reference]) -> Answers:
        """Return what the searches find. Raises FhirUnavailable."""
        return await self._fhir.ask(self.questions(wanted)) if wanted else []

    async def link(
        self,
        imaging_study: dict[str, Any],
        wanted: Mapping[Logical, Reference],
        answers: Answers,
        study_instance_uid: str,
    ) -> Linked:
        """Return the study with what was found. Raises FhirUnavailable."""
        patient = imaging_study["subject"]["reference"]
        known: dict[Logical, str] = {}
        new: list[dict[str, Any]] = []
        for (named, reference), answer in zip(wanted.items(), answers, strict=True):
            fitting = [each for each in answer or () if fits(named, each)]
            if len(fitting) > 1:
                self._note(study_instance_uid, named, "fits several resources")
            elif fitting and not await self.of_patient(fitting[0], patient):
                self._note(study_instance_uid, named, "is of another patient")
            elif fitting:
                known[named] = f"{named.resource_type}/{fitting[0]['id']}"
            elif answer is not None and not answer and named.resource_type in self._made_here:
                known[named] = f"{named.resource_type}/{stand_in_id(named)}"
                new.append(made_of(named, reference, patient))
        return Linked(literal(imaging_study, known) if known else imaging_study, tuple(new))

    async def of_patient(self, resource: Mapping[str, Any], patient: str) -> bool:
        """Tell whether a resource is of nobody else than this patient. Raises FhirUnavailable.

        An order may still be of a Patient whom another has replaced meanwhile.
        """
        subject = resource.get("subject", {}).get("reference", patient)
        if subject == patient:
            return True
        both = [await self._fhir.current_patient(each) for each in (subject, patient)]
        return both[0] == both[1]

    def _note(self, study_instance_uid: str, named: Logical, what: str) -> None:
        self._problems.note(ambiguous(study_instance_uid, named, what))


def fits(named: Logical, resource: Mapping[str, Any]) -> bool:
    """Tell whether a resource that a search found is one that may be linked to."""
    if resource.get("status") == "entered-in-error" or resource.get("active") is False:
        return False
    return named in named_by(resource)


def ambiguous(study_instance_uid: str, named: Logical, what: str) -> ProblemRecord:
    """Return the record of a reference that was not made literal."""
    return ProblemRecord(
        kind="ambiguous-reference",
        study_instance_uid=study_instance_uid,
        tag=_TAGS.get(named.resource_type),
        value_class=f"{named.resource_type}: {what}",
        message=f"The identifier of the {named.resource_type} {what}; the study is not linked to it.",
    )
