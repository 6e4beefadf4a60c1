"""DICOM person names (PS3.5 §6.2.1) as FHIR HumanNames, and as what people read."""

from collections.abc import Mapping
from typing import Any

from app.fhir.attributes import fhir_string
from app.fhir.tables import name_representations

_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_COMPONENTS = 5


def human_names(name: object, use: str = "") -> list[dict[str, Any]]:
    """Return one HumanName for each component group of a PN value of the DICOM JSON Model."""
    groups = name if isinstance(name, Mapping) else {}
    written = [kind for kind in name_representations() if _components(groups.get(kind))]
    names = []
    for kind in written:
        made: dict[str, Any] = {"use": use} if use else {}
        made.update(_human_name(_components(groups[kind])))
        if written != ["Alphabetic"]:
            code = name_representations()[kind]
            made["extension"] = [{"url": _REPRESENTATION, "valueCode": code}]
        names.append(made)
    return names


def spoken(name: object) -> str:
    """Return a PN value as it is spoken: of several component groups the alphabetic one."""
    return next((str(each["text"]) for each in human_names(name)), "")


def _human_name(components: list[str]) -> dict[str, Any]:
    """Return family^given^middle^prefix^suffix (PS3.5 §6.2.1.1) as a HumanName."""
    family, given, middle, prefix, suffix = (components + [""] * _COMPONENTS)[:_COMPONENTS]
    parts = [part for part in (prefix, given, middle, family, suffix) if part]
    name: dict[str, Any] = {"text": " ".join(parts)}
    if family:
        name["family"] = family
    if given or middle:
        name["given"] = [part for part in (given, middle) if part]
    if prefix:
        name["prefix"] = [prefix]
    if suffix:
        name["suffix"] = [suffix]
    return name


def _components(group: object) -> list[str]:
    if not isinstance(group, str):
        return []
    components = [fhir_string(part) for part in group.split("^")][:_COMPONENTS]
    return components if any(components) else []
