"""Values of content items as elements of an Observation."""

import math
from collections.abc import Mapping
from typing import Any

from app.dicom.uid import is_uid
from app.fhir.attributes import fhir_string, items, path, text, values_at
from app.fhir.coding import concept_key
from app.fhir.human_name import spoken
from app.fhir.reports.content import Item
from app.fhir.reports.document import Document
from app.fhir.reports.tables import absent_reason

ABSENT_REASON = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_ABSENT_EXTENSION = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_LARGEST = 1e30  # what stands in a report and is larger is no measurement
_WHOLE_BELOW = 1e15  # a float is exact up to here
_NUMERIC, _FLOATING = path("NumericValue"), path("FloatingPointValue")
_TEXTS = {"TEXT": path("TextValue"), "UIDREF": path("UID")}


def code_of(document: Document, item: Item) -> dict[str, Any]:
    """Return the concept name of an item; R4 requires a code, so a missing one says that it is."""
    concept = document.concept(item.name())
    return concept or {"extension": [{"url": _ABSENT_EXTENSION, "valueCode": "unknown"}]}


def value_of(document: Document, item: Item, longest: int) -> dict[str, Any]:
    """Return `value[x]` of an item, or `dataAbsentReason`; nothing for what has no value to be told.

    A text longer than `longest` is cut.
    """
    match item.value_type:
        case "NUM":
            return _measured(document, item)
        case "CODE":
            concept = document.concept(item.code())
            return {"valueCodeableConcept": concept} if concept else {}
        case "DATETIME":
            when = document.date_time(text(item.attributes, "DateTime"))
            return {"valueDateTime": when} if when else {}
        case "DATE":
            when = document.date_time(text(item.attributes, "Date"))
            return {"valueDateTime": when} if when else {}
        case "PNAME":
            values = values_at(item.attributes, path("PersonName"))
            said = next(filter(None, map(spoken, values)), "")
        case _:
            at = _TEXTS.get(item.value_type)
            values = values_at(item.attributes, at) if at else ()
            said = next((prose(each) for each in values if isinstance(each, str)), "")
            if item.value_type == "UIDREF" and is_uid(said):
                said = f"urn:oid:{said}"
    return {"valueString": said[:longest].strip()} if said else {}


def prose(value: str) -> str:
    """Return a text with the line ends that FHIR's readers expect."""
    return fhir_string(value).replace("\r\n", "\n").replace("\r", "\n")


def _measured(document: Document, item: Item) -> dict[str, Any]:
    """Return MeasuredValueSequence (PS3.3 §C.18.1) as a Quantity, or why there is none."""
    for measured in items(item.attributes, "MeasuredValueSequence"):
        number = _number(measured)
        if number is not None:
            return {"valueQuantity": {"value": number, **_unit(document, measured)}}
    qualifiers = items(item.attributes, "NumericValueQualifierCodeSequence")
    reason = absent_reason(concept_key(qualifiers[0])) if qualifiers else "unknown"
    absent: dict[str, Any] = {"coding": [{"system": ABSENT_REASON, "code": reason}]}
    if qualifiers and (said := text(qualifiers[0], "CodeMeaning")):
        absent["text"] = said
    return {"dataAbsentReason": absent}


def _number(measured: Mapping[str, Any]) -> float | int | None:
    # a double is there where the decimal string is not exact enough (PS3.3 §C.18.1)
    for value in (*values_at(measured, _FLOATING), *values_at(measured, _NUMERIC)):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            continue
        if not math.isfinite(number) or abs(number) > _LARGEST:
            continue
        return int(number) if number.is_integer() and abs(number) < _WHOLE_BELOW else number
    return None


def _unit(document: Document, measured: Mapping[str, Any]) -> dict[str, str]:
    """Return unit, system and code of a Quantity; of a unit that is no code, its name."""
    for unit in items(measured, "MeasurementUnitsCodeSequence"):
        concept = document.concept(unit) or {}
        said = concept.get("text", "")
        code: dict[str, str] = next(iter(concept.get("coding", ())), {})
        known = {"unit": said or code.get("code", "")}
        if "system" in code and "code" in code:
            known |= {"system": code["system"], "code": code["code"]}
        return {name: value for name, value in known.items() if value}
    return {}
