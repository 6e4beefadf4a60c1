"""What a FHIR Patient says of the person in an object, as DICOM attributes: the way back of `app.fhir.patient`.

Strategy: each of the four (name, identifier, birth date, sex) is compared in the form that FHIR would have of
the object, so that what came from an object never contradicts it. What FHIR does not say, or says in a way that
DICOM cannot hold, stays as the object has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from app.dicom.correction import Correction, Element
from app.fhir.attributes import items, text
from app.fhir.date_time import fhir_date
from app.fhir.identifiers import IdentifierSystems
from app.fhir.issuer import issuer_of
from app.fhir.patient import PATIENT_OF_STUDY_SYSTEM
from app.fhir.person_names import SpokenName, shown_name
from app.fhir.tables import genders

# the elements of a Patient that show in DICOM; of another change nothing follows
_SHOWN = ("id", "identifier", "name", "gender", "birthDate")

_NAME, _ID, _ISSUER, _QUALIFIERS = "00100010", "00100020", "00100021", "00100024"
_BIRTH_DATE, _SEX = "00100030", "00100040"
_LONGEST_ID = 64  # characters of an LO
_DAY = len("2000-01-01")
# an identifier of another kind than these (insurance, passport) is no number of a record
_RECORD_NUMBERS = frozenset({"MR", "PI", "PT"})
_USES = ("usual", "official", None, "secondary", "temp")


@dataclass(frozen=True, slots=True)
class Demographics:
    """The part of a Patient that shows in DICOM."""

    patient: Mapping[str, Any]  # the Patient, reduced to that part

    @classmethod
    def of(cls, patient: Mapping[str, Any]) -> Self:
        """Return what this Patient says."""
        return cls({name: patient[name] for name in _SHOWN if name in patient})

    @property
    def reference(self) -> str:
        """Return the reference to the Patient."""
        return f"Patient/{self.patient['id']}"

    def shown(
        self, attributes: Mapping[str, Any], systems: IdentifierSystems
    ) -> dict[str, Element | None]:
        """Return tag -> what is to be shown, where an object's `attributes` say otherwise; None is nothing."""
        return {
            **_name(self.patient, attributes),
            **_identifier(self.patient, attributes, systems),
            **_birth_date(self.patient, attributes),
            **_sex(self.patient, attributes),
        }


def correction_for(
    patient: Mapping[str, Any],
    attributes: Mapping[str, Any],
    systems: IdentifierSystems,
    *,
    at: str,
) -> Correction | None:
    """Return the correction that a FHIR Patient makes of an object's attributes, or None."""
    demographics = Demographics.of(patient)
    shown = demographics.shown(attributes, systems)
    return Correction.of(shown, attributes, patient=demographics.reference, at=at)


def _name(patient: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Element | None]:
    groups = shown_name(patient.get("name"))
    if not groups:
        return {}
    own = next(iter(items(attributes, "PatientName")), {})
    named = any(SpokenName.of_group(group) for group in own.values())
    others = () if named else items(attributes, "OtherPatientNames")
    if any(_says(each, groups) for each in (own, *others)):
        return {}
    value = {kind: written for kind, name in groups.items() if (written := name.group())}
    return {_NAME: {"vr": "PN", "Value": [value]}} if value else {}


def _says(name: Mapping[str, Any], groups: Mapping[str, SpokenName]) -> bool:
    """Tell whether a person name of an object has these component groups."""
    return all(SpokenName.of_group(name.get(kind)).same_as(said) for kind, said in groups.items())


def _identifier(
    patient: Mapping[str, Any], attributes: Mapping[str, Any], systems: IdentifierSystems
) -> dict[str, Element | None]:
    """Return PatientID and who issued it: that of the object's own issuer, else the patient's usual one."""
    own = text(attributes, "PatientID")
    system = systems.of_patient_id(attributes) if own else systems.patient_id_system
    known = [each for each in patient.get("identifier") or () if _holds(each, systems)]
    if not own:  # other numbers that the object itself has are not meant
        others = items(attributes, "OtherPatientIDsSequence")
        numbers = {(systems.of_patient_id(each), text(each, "PatientID")) for each in others}
        known = [each for each in known if _number(each) not in numbers]
    elif (system, own) in map(_number, known):
        return {}
    ranked = sorted(known, key=lambda each: (each["system"] != system, _rank(each)))
    if not ranked or not (ranked[0]["system"] == system or _numbers_record(ranked[0])):
        return {}
    best = ranked[0]
    shown: dict[str, Element | None] = {_ID: {"vr": "LO", "Value": [best["value"].strip()]}}
    if best["system"] == system and own:
        return shown
    issuer = issuer_of(best["system"], systems)
    return shown if issuer is None else {**shown, _ISSUER: None, _QUALIFIERS: None, **issuer}


def _holds(identifier: Any, systems: IdentifierSystems) -> bool:
    """Tell whether an Identifier is in use and can be a PatientID (LO: 64 characters, no backslash)."""
    if not isinstance(identifier, Mapping) or identifier.get("use") == "old":
        return False
    system, value = identifier.get("system"), identifier.get("value")
    if not isinstance(system, str) or not isinstance(value, str):
        return False
    if system == PATIENT_OF_STUDY_SYSTEM or issuer_of(system, systems) is None:
        return False
    number = value.strip()
    return 0 < len(number) <= _LONGEST_ID and number.isprintable() and "\\" not in number


def _number(identifier: Mapping[str, Any]) -> tuple[str, str]:
    return identifier["system"], identifier["value"].strip()


def _rank(identifier: Mapping[str, Any]) -> tuple[bool, int]:
    use = identifier.get("use")
    return not _numbers_record(identifier), _USES.index(use) if use in _USES else len(_USES)


def _numbers_record(identifier: Mapping[str, Any]) -> bool:
    codings = identifier.get("type", {}).get("coding") or ()
    codes = {coding.get("code") for coding in codings}
    return not codes or not codes.isdisjoint(_RECORD_NUMBERS)


def _birth_date(
    patient: Mapping[str, Any], attributes: Mapping[str, Any]
) -> dict[str, Element | None]:
    """Return PatientBirthDate; a year or a month that the object's day contradicts leaves it empty (Type 2)."""
    said = patient.get("birthDate")
    if not isinstance(said, str) or not said:
        return {}
    own = fhir_date(text(attributes, "PatientBirthDate"))
    if len(said) < _DAY:
        contradicted = own is not None and not own.startswith(said)
        return {_BIRTH_DATE: {"vr": "DA"}} if contradicted else {}
    day = said.replace("-", "")
    if own == said or fhir_date(day) is None:
        return {}
    return {_BIRTH_DATE: {"vr": "DA", "Value": [day]}}


def _sex(patient: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Element | None]:
    """Return PatientSex; `unknown` says nothing."""
    said = patient.get("gender")
    codes = {gender: code for code, gender in genders().items() if gender != "unknown"}
    if said not in codes or text(attributes, "PatientSex").upper() == codes[said]:
        return {}
    return {_SEX: {"vr": "CS", "Value": [codes[said]]}}
