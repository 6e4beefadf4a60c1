"""Decides what becomes of an instance that says of its patient something else than its study.

Strategy: a study keeps, in its index document, what the objects that made it say of the patient. With that each
instance is compared, and not with the FHIR Patient: a name corrected there, a merge or a changed subject makes
no instance inconsistent. What one of both does not say contradicts nothing, and what the study did not know yet
is taken over. An instance that was stored anew with what was shown of it is no news: the study says that from
then on. The decision follows from the study and the order of the instances alone, so that recovery comes
to the same one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.dicom.instance import COERCED, Finding
from app.dicom.person_name import folded_name
from app.errors import InconsistentPatient
from app.fhir.identifiers import IdentifierSystems
from app.index.problem_records import ProblemRecord
from app.services.intake import Prepared

Policy = Literal["first-wins", "new-wins", "reject"]
Elements = Mapping[str, Any]  # of the DICOM JSON Model, by tag

NAME, PATIENT_ID, BIRTH_DATE, SEX = "00100010", "00100020", "00100030", "00100040"
ISSUER, QUALIFIERS = "00100021", "00100024"
_IDENTITY = frozenset({PATIENT_ID, ISSUER, QUALIFIERS})
_DEMOGRAPHICS = (NAME, BIRTH_DATE, SEX)
PATIENT_TAGS = (PATIENT_ID, ISSUER, QUALIFIERS, *_DEMOGRAPHICS)
_SAID = {
    "first-wins": "It is not the same as in the study, whose patient is shown instead.",
    "new-wins": "It is not the same as in the study before, which has this patient from now on.",
}


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was decided for instances that come into one study; those not named agree with it."""

    own: Elements  # what the study's objects say of the patient from now on
    inconsistent: Mapping[str, tuple[str, ...]]  # tags, by SOP Instance UID; those are refused
    findings: Mapping[str, tuple[Finding, ...]]  # of those that are not
    new_patient: Prepared | None = None  # of whom the study is from now on, where that changes
    moves: bool = False  # so do the instances that the study had before


class Reconcile:
    """The policy on instances that contradict their study."""

    def __init__(self, policy: Policy, systems: IdentifierSystems) -> None:
        """Decide by `policy`; `systems` say who issued a PatientID."""
        self._policy = policy
        self._systems = systems

    def decide(
        self,
        own: Elements | None,
        brought: Iterable[Prepared],
        shown: Callable[[], Elements] = dict,
    ) -> Reconciled:
        """Return what becomes of instances, in the order they come; `own` is None where the study is new.

        `shown` is what is shown of the study's patient: an instance that says the same, because the sender
        has heard of a correction, contradicts nothing.
        """
        known = dict(own or {})
        differing: dict[str, tuple[str, ...]] = {}
        new_patient = None
        brought = list(brought)
        for prepared in brought:
            says = patient_elements(prepared.stored.record.attributes)
            if says == known:
                continue
            tags = _contradictions(known, says, self._systems)
            if tags and prepared.restates:
                known = says if _another(tags) else {**known, **says}
                continue
            if not tags:
                known = {**says, **known}
                continue
            corrected = shown()
            if corrected and not _contradictions(corrected, says, self._systems):
                continue
            differing[prepared.stored.record.sop_instance_uid] = tags
            if self._policy == "new-wins":
                known = says if _another(tags) else {**known, **says}
                new_patient = prepared
        if not differing:
            return Reconciled(known, {}, {})
        if self._policy == "reject":
            return Reconciled(known, differing, {})
        findings = {
            uid: tuple(Finding(tag, _SAID[self._policy], COERCED) for tag in tags)
            for uid, tags in differing.items()
        }
        moves = own is not None and new_patient is not None
        return Reconciled(known, {}, findings, new_patient, moves)


def instead_of(
    attributes: Elements, own: Elements, systems: IdentifierSystems
) -> dict[str, Elements]:
    """Return what an object is shown with that contradicts `own`, what its study says of the patient.

    Where it has another PatientID, nothing of the other patient is left (PS3.3 §C.7.1.1).
    """
    says = patient_elements(attributes)
    if says == own:
        return {}
    differing = _contradictions(own, says, systems)
    tags = PATIENT_TAGS if _another(differing) else differing
    return {
        tag: own.get(tag) or {"vr": attributes[tag]["vr"]}
        for tag in tags
        if tag in own or tag in attributes
    }


def _contradictions(known: Elements, says: Elements, systems: IdentifierSystems) -> tuple[str, ...]:
    found = [
        tag
        for tag in (PATIENT_ID, *_DEMOGRAPHICS)
        if tag in known and tag in says and _plain(tag, known[tag]) != _plain(tag, says[tag])
    ]
    if PATIENT_ID in known and PATIENT_ID in says and _issuers_differ(known, says, systems):
        found.append(ISSUER)
    return tuple(found)


def _issuers_differ(known: Elements, says: Elements, systems: IdentifierSystems) -> bool:
    """Tell whether both name an issuer of the PatientID, and not the same one."""
    issuers = {systems.of_patient_id(known), systems.of_patient_id(says)}
    return len(issuers - {systems.patient_id_system}) > 1


def patient_elements(attributes: Elements) -> dict[str, Any]:
    """Return what an object says of its patient: elements that have a value."""
    return {
        tag: attributes[tag]
        for tag in PATIENT_TAGS
        if tag in attributes and attributes[tag].get("Value")
    }


def records_of(reconciled: Reconciled, brought: Iterable[Prepared]) -> Iterator[ProblemRecord]:
    """Yield a record of each attribute that differs; what is refused is told by its error."""
    for prepared in brought if reconciled.findings else ():
        record = prepared.stored.record
        for finding in reconciled.findings.get(record.sop_instance_uid, ()):
            yield ProblemRecord(
                "inconsistent-study", record.study_instance_uid, finding.message, finding.tag,
                series_instance_uid=record.series_instance_uid,
                sop_instance_uid=record.sop_instance_uid,
            )  # fmt: skip


def refusal(tags: Iterable[str]) -> InconsistentPatient:
    """Return the error of an instance that contradicts its study."""
    return InconsistentPatient(
        "What the instance says of its patient is not what its study says.",
        attributes=tuple(tags),
        details=tuple((tag, "It is not the same as in the study.") for tag in tags),
    )


def _another(tags: Iterable[str]) -> bool:
    """Tell whether these are attributes by which patients are told apart."""
    return not _IDENTITY.isdisjoint(tags)


def _plain(tag: str, element: Elements) -> Any:
    """Return a value as it is compared: names by component groups, without case and padding."""
    value = element["Value"][0]
    if tag == NAME and isinstance(value, Mapping):
        return {group: name for group, text in value.items() if (name := folded_name(str(text)))}
    text = str(value).strip()
    return text.replace(".", "") if tag == BIRTH_DATE else text.upper() if tag == SEX else text
