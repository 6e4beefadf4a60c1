"""How attributes become elements of a Patient: a function for each `as` of `mappings/fhir/patient.toml`."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from app.fhir.attributes import Path, items, items_at, text, text_at, texts_at, values_at
from app.fhir.data_set import DataSet
from app.fhir.date_time import fhir_date
from app.fhir.human_name import human_names, spoken
from app.fhir.rows import Conversion
from app.fhir.tables import code_system, gender_otherwise, genders


def _names(data_set: DataSet, paths: Sequence[Path], use: str) -> list[dict[str, Any]]:
    values = values_at(data_set.attributes, paths[0])
    return [name for value in values for name in human_names(value, use)]


def _gender(data_set: DataSet, paths: Sequence[Path], _: str) -> str | None:
    sex = text_at(data_set.attributes, paths[0]).upper()
    return genders().get(sex, gender_otherwise()) if sex else None


def _date(data_set: DataSet, paths: Sequence[Path], _: str) -> str | None:
    return fhir_date(text_at(data_set.attributes, paths[0]))


def _other_patient_ids(data_set: DataSet, paths: Sequence[Path], _: str) -> list[dict[str, Any]]:
    """Return the other identifiers whose issuer is named.

    The Patient will be found by them: one without an issuer may be of anybody.
    """
    identifiers = []
    for item in items_at(data_set.attributes, paths[0]):
        value, system = text(item, "PatientID"), data_set.systems.issuer_of_patient_id(item)
        if not value or not system:
            continue
        identifier: dict[str, Any] = {"use": "secondary", "system": system, "value": value}
        if kind := _identifier_type(item):
            coding = {"system": code_system("identifier_type"), "code": kind}
            identifier["type"] = {"coding": [coding]}
        identifiers.append(identifier)
    return identifiers


def _identifier_type(item: Mapping[str, Any]) -> str:
    """Return the code of HL7 v2 Table 0203 that the issuer's qualifiers have for an identifier."""
    qualifiers = items(item, "IssuerOfPatientIDQualifiersSequence")
    return next((code for each in qualifiers if (code := text(each, "IdentifierTypeCode"))), "")


def _telephone_numbers(data_set: DataSet, paths: Sequence[Path], _: str) -> list[dict[str, Any]]:
    numbers = texts_at(data_set.attributes, paths[0])
    return [{"system": "phone", "value": number} for number in numbers]


def _address(data_set: DataSet, _: Sequence[Path], __: str) -> list[dict[str, Any]]:
    parts = {
        "text": text(data_set.attributes, "PatientAddress"),
        "state": text(data_set.attributes, "RegionOfResidence"),
        "country": text(data_set.attributes, "CountryOfResidence"),
    }
    known = {name: value for name, value in parts.items() if value}
    return [known] if known else []


def _contact(data_set: DataSet, paths: Sequence[Path], _: str) -> list[dict[str, Any]]:
    name = next(iter(values_at(data_set.attributes, paths[0])), None)
    contact: dict[str, Any] = {}
    if said := spoken(name):
        contact["name"] = {"text": said}
    if contact and (role := text(data_set.attributes, "ResponsiblePersonRole")):
        contact["relationship"] = [{"text": role}]
    return [contact] if contact else []


PATIENT_CONVERSIONS: Mapping[str, Conversion] = MappingProxyType(
    {
        "names": _names,
        "gender": _gender,
        "date": _date,
        "other_patient_ids": _other_patient_ids,
        "telephone_numbers": _telephone_numbers,
        "address": _address,
        "contact": _contact,
    }
)
