"""Who wrote and who verified a report, and what device did (PS3.3 §C.17.2, PS3.16 TID 1002)."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.fhir.attributes import items, path, text, values_at
from app.fhir.coding import CodingSchemes, coding
from app.fhir.human_name import spoken
from app.fhir.reports.content import Item
from app.fhir.reports.document import Document, uid_identifier
from app.fhir.reports.tables import concepts

_DEVICE_NAMES = (
    "device_observer_name",
    "device_observer_manufacturer",
    "device_observer_model",
    "device_observer_serial",
)


def interpreters(document: Document) -> list[dict[str, Any]]:
    """Return who is responsible for a report: those who verified it, else its authors."""
    schemes = document.schemes
    verifiers = [
        _person(
            values_at(observer, path("VerifyingObserverName")),
            items(observer, "VerifyingObserverIdentificationCodeSequence"),
            schemes,
        )
        for observer in items(document.attributes, "VerifyingObserverSequence")
    ]
    return [each for each in verifiers if len(each) > 1] or authors(document)


def authors(document: Document) -> list[dict[str, Any]]:
    """Return who wrote it."""
    people = [
        _person(
            values_at(author, path("PersonName")),
            items(author, "PersonIdentificationCodeSequence"),
            document.schemes,
        )
        for author in items(document.attributes, "AuthorObserverSequence")
    ]
    return [each for each in people if len(each) > 1]


def organizations(document: Document) -> list[dict[str, Any]]:
    """Return who issued it: the verifiers' organisation, else the institution."""
    observers = items(document.attributes, "VerifyingObserverSequence")
    named = [text(each, "VerifyingOrganization") for each in observers]
    found = [name for name in dict.fromkeys(named) if name]
    found = found or [text(document.attributes, "InstitutionName")]
    return [{"type": "Organization", "display": name} for name in found if name]


def observers(root: Item) -> list[dict[str, Any]]:
    """Return the persons whom the content tree names as observers."""
    names = [
        spoken(value)
        for child in root.children
        if child.key in concepts("person_observer")
        for value in values_at(child.attributes, path("PersonName"))
    ]
    return [{"type": "Practitioner", "display": name} for name in dict.fromkeys(names) if name]


def observing_device(root: Item) -> dict[str, Any] | None:
    """Return the device that the content tree names as observer."""
    reference: dict[str, Any] = {"type": "Device"}
    uid = root.first(concepts("device_observer_uid"))
    if uid is not None and (value := text(uid.attributes, "UID")):
        reference["identifier"] = uid_identifier(value)
    found = [root.first(concepts(name)) for name in _DEVICE_NAMES]
    said = [text(item.attributes, "TextValue") for item in found if item is not None]
    if display := " ".join(filter(None, said)):
        reference["display"] = display
    return reference if len(reference) > 1 else None


def _person(
    names: Iterable[object], codes: Iterable[Mapping[str, Any]], schemes: CodingSchemes
) -> dict[str, Any]:
    reference: dict[str, Any] = {"type": "Practitioner"}
    display = next(filter(None, map(spoken, names)), "")
    for item in codes:
        code = coding(item, schemes) or {}
        if "code" in code and "system" in code:
            reference["identifier"] = {"system": code["system"], "value": code["code"]}
            display = display or code.get("display", "")
            break
    if display:
        reference["display"] = display
    return reference
