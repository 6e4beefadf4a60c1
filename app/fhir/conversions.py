"""How attributes become elements of an ImagingStudy: a function for each `as` of `mappings/fhir`.

Each gets a data set and the paths of one source of a row, and returns what the element has of it, or None
where FHIR has no form for what stands there.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from app.fhir.attributes import (
    Path,
    items_at,
    path,
    text,
    text_at,
    texts_at,
    unsigned_at,
)
from app.fhir.coding import coding, concepts
from app.fhir.data_set import DataSet
from app.fhir.date_time import date_time_of
from app.fhir.device import device_reference
from app.fhir.persons import practitioners
from app.fhir.rows import Conversion
from app.fhir.tables import body_sites, code_system, lateralities

_TIME_ZONE = path("TimezoneOffsetFromUTC")
_REQUESTS = path("RequestAttributesSequence")


def _text(data_set: DataSet, paths: Sequence[Path], _: str) -> str | None:
    return text_at(data_set.attributes, paths[0]) or None


def _code(data_set: DataSet, paths: Sequence[Path], _: str) -> str | None:
    """Return a code as FHIR has codes: no more than one blank in a row (R4 §2.24.0.1)."""
    return " ".join(text_at(data_set.attributes, paths[0]).split()) or None


def _unsigned(data_set: DataSet, paths: Sequence[Path], _: str) -> int | None:
    return unsigned_at(data_set.attributes, paths[0])


def _date_time(data_set: DataSet, paths: Sequence[Path], _: str) -> str | None:
    day, *times = [text_at(data_set.attributes, each) for each in paths if each != _TIME_ZONE]
    own = text_at(data_set.attributes, _TIME_ZONE)
    return date_time_of(day, times[0] if times else "", own, data_set.time_zone)


def _accession_numbers(data_set: DataSet, _: Sequence[Path], __: str) -> list[dict[str, Any]]:
    """Return the AccessionNumber, and those of the requests that an instance fulfils, each once."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for attributes in (data_set.attributes, *items_at(data_set.attributes, _REQUESTS)):
        if number := text(attributes, "AccessionNumber"):
            system = data_set.systems.of_accession_number(attributes)
            found[system, number] = {
                "type": {
                    "coding": [
                        {"system": code_system("identifier_type"), "code": "ACSN"},
                        {"system": code_system("dicom"), "code": "121022"},
                    ]
                },
                "system": system,
                "value": number,
            }
    return list(found.values())


def _orders(data_set: DataSet, paths: Sequence[Path], detail: str) -> list[dict[str, Any]]:
    """Return an order for each accession number: R5 has it there alone, and R4 can."""
    numbers = _accession_numbers(data_set, paths, detail)
    return [{"type": "ServiceRequest", "identifier": number} for number in numbers]


def _study_id(data_set: DataSet, paths: Sequence[Path], _: str) -> list[dict[str, Any]]:
    value, system = text_at(data_set.attributes, paths[0]), data_set.systems.study_id_system
    identifier = {"type": {"text": "Study ID"}, "system": system, "value": value}
    return [identifier] if value and system else []


def _encounter(data_set: DataSet, paths: Sequence[Path], _: str) -> dict[str, Any] | None:
    value = text_at(data_set.attributes, paths[0])
    if not value:
        return None
    identifier = {
        "type": {"coding": [{"system": code_system("identifier_type"), "code": "VN"}]},
        "system": data_set.systems.of_admission_id(data_set.attributes),
        "value": value,
    }
    return {"type": "Encounter", "identifier": identifier}


def _person(data_set: DataSet, paths: Sequence[Path], _: str) -> dict[str, Any] | None:
    return next(iter(practitioners(data_set, paths)), None)


def _persons(data_set: DataSet, paths: Sequence[Path], _: str) -> list[dict[str, Any]]:
    return practitioners(data_set, paths)


def _performers(data_set: DataSet, paths: Sequence[Path], function: str) -> list[dict[str, Any]]:
    return [_performer(actor, function) for actor in practitioners(data_set, paths)]


def _device(data_set: DataSet, _: Sequence[Path], function: str) -> list[dict[str, Any]]:
    actor = device_reference(data_set.attributes)
    return [_performer(actor, function)] if actor else []


def _performer(actor: Mapping[str, Any], function: str) -> dict[str, Any]:
    code = {"system": code_system("participation"), "code": function}
    return {"function": {"coding": [code]}, "actor": actor}


def _place(data_set: DataSet, paths: Sequence[Path], _: str) -> dict[str, Any] | None:
    name = text_at(data_set.attributes, paths[0])
    return {"type": "Location", "display": name} if name else None


def _concepts(data_set: DataSet, paths: Sequence[Path], _: str) -> list[dict[str, Any]]:
    """Return the items of a Code Sequence, or the values of a text, as CodeableConcepts."""
    if entries := items_at(data_set.attributes, paths[0]):
        return concepts(entries, data_set.schemes)
    return [{"text": value} for value in texts_at(data_set.attributes, paths[0])]


def _body_site(data_set: DataSet, paths: Sequence[Path], _: str) -> dict[str, Any] | None:
    for item in items_at(data_set.attributes, paths[0])[:1]:
        return coding(item, data_set.schemes)
    named = text_at(data_set.attributes, paths[0])
    if site := body_sites().get(named.upper()):
        return {"system": code_system("snomed"), "code": site[0], "display": site[1]}
    return {"display": named} if named else None


def _laterality(data_set: DataSet, paths: Sequence[Path], _: str) -> dict[str, Any] | None:
    sides = {text.upper() for text in texts_at(data_set.attributes, paths[0])}
    return side(sides)


def side(sides: set[str]) -> dict[str, Any] | None:
    """Return the Coding of the sides that images are of (R, L, B); of both where they differ."""
    known = sides & lateralities().keys()
    if not known:
        return None
    (one,) = known if len(known) == 1 else {"B"}
    code, display = lateralities()[one]
    return {"system": code_system("snomed"), "code": code, "display": display}


def _specimens(data_set: DataSet, paths: Sequence[Path], _: str) -> list[dict[str, Any]]:
    descriptions = items_at(data_set.attributes, paths[0])
    if descriptions:
        named = [_specimen(data_set, description) for description in descriptions]
        return [{"type": "Specimen", "identifier": each} for each in named if each]
    value = text_at(data_set.attributes, paths[0])
    system = data_set.systems.of_container(data_set.attributes)
    container = {"system": system, "value": value}
    return [{"type": "Specimen", "identifier": container}] if value else []


def _specimen(data_set: DataSet, description: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what identifies a specimen: its identifier, which a laboratory knows, else its UID."""
    if value := text(description, "SpecimenIdentifier"):
        return {"system": data_set.systems.of_specimen(description), "value": value}
    if uid := text(description, "SpecimenUID"):
        return {"system": code_system("dicom_uid"), "value": f"urn:oid:{uid}"}
    return None


CONVERSIONS: Mapping[str, Conversion] = MappingProxyType(
    {
        "text": _text,
        "code": _code,
        "unsigned": _unsigned,
        "date_time": _date_time,
        "accession_numbers": _accession_numbers,
        "orders": _orders,
        "study_id": _study_id,
        "encounter": _encounter,
        "person": _person,
        "persons": _persons,
        "performers": _performers,
        "device": _device,
        "place": _place,
        "concepts": _concepts,
        "body_site": _body_site,
        "laterality": _laterality,
        "specimens": _specimens,
    }
)
