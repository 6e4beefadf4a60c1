"""References of an ImagingStudy to what the FHIR server may know: by identifier, and made literal.

Strategy: the mapping names an order, an encounter or a person by `Reference.identifier` (FHIR R4 §2.3.0.1,
a logical reference). Once the resource is known, `reference` is put beside the identifier, which stays: so a
study says itself what it was linked by, and the link can be taken back.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.tables import code_system

Reference = Mapping[str, Any]
Change = Callable[[str, Reference], Reference]

# element -> the type that is meant where `Reference.type` does not say
_OF_STUDY = {
    "basedOn": "ServiceRequest",
    "encounter": "Encounter",
    "referrer": "Practitioner",
    "interpreter": "Practitioner",
}
_PERFORMER = "Practitioner"
_RESOLVED = frozenset({"ServiceRequest", "Encounter", "Practitioner"})


@dataclass(frozen=True, slots=True)
class Logical:
    """A resource that is named by its identifier."""

    resource_type: str
    system: str
    value: str


def logical_references(imaging_study: Mapping[str, Any]) -> dict[Logical, Reference]:
    """Return what the study names by an identifier alone, each with a reference that does so."""
    found: dict[Logical, Reference] = {}
    for default, reference in _references(imaging_study):
        named = logical(default, reference)
        if named is not None and "reference" not in reference:
            found.setdefault(named, reference)
    return found


def literal(imaging_study: Mapping[str, Any], known: Mapping[Logical, str]) -> dict[str, Any]:
    """Return the study with `known` references beside their identifiers; it stays as it is itself."""

    def link(default: str, reference: Reference) -> Reference:
        named = logical(default, reference)
        if named is None or named not in known or "reference" in reference:
            return reference
        return {"reference": known[named], "type": named.resource_type, **reference}

    return rewritten(imaging_study, link)


def unlinked(
    imaging_study: Mapping[str, Any], target: str, kept: frozenset[Logical]
) -> dict[str, Any]:
    """Return the study without the references to `target` that it has by other identifiers than `kept`.

    A reference without an identifier was made by somebody else, and stays.
    """

    def unlink(default: str, reference: Reference) -> Reference:
        named = logical(default, reference)
        if reference.get("reference") != target or named is None or named in kept:
            return reference
        return {name: value for name, value in reference.items() if name != "reference"}

    return rewritten(imaging_study, unlink)


def rewritten(imaging_study: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Return a copy of the study in which each of these references is as `change` has it."""
    study = dict(imaging_study)
    for element, default in _OF_STUDY.items():
        value = study.get(element)
        if isinstance(value, Mapping):
            study[element] = change(default, value)
        elif isinstance(value, list):
            study[element] = _each_once([change(default, each) for each in value])
    if any("performer" in series for series in study.get("series", ())):
        study["series"] = [_with_performers(series, change) for series in study["series"]]
    return study


def logical(default: str, reference: Reference) -> Logical | None:
    """Return what a reference names by an identifier, where that is something that is looked for."""
    kind = reference.get("type", default)
    identifier = reference.get("identifier", {})
    system, value = identifier.get("system"), identifier.get("value")
    if kind not in _RESOLVED or not system or not value:
        return None
    return Logical(kind, system, value)


def named_by(resource: Mapping[str, Any]) -> frozenset[Logical]:
    """Return the names by which a study may refer to a resource; an order's is an accession number.

    An identifier of an order that says to be something else than an accession number is none.
    """
    kind = resource.get("resourceType", "")
    return frozenset(
        Logical(kind, identifier["system"], identifier["value"])
        for identifier in resource.get("identifier", ())
        if identifier.get("system") and identifier.get("value")
        if kind != "ServiceRequest" or _may_be_accession(identifier)
    )


def _may_be_accession(identifier: Mapping[str, Any]) -> bool:
    codings = identifier.get("type", {}).get("coding", ())
    codes = [c for c in codings if c.get("system") == code_system("identifier_type")]
    return not codes or any(coding.get("code") == "ACSN" for coding in codes)


def _references(imaging_study: Mapping[str, Any]) -> Iterator[tuple[str, Reference]]:
    for element, default in _OF_STUDY.items():
        value = imaging_study.get(element, ())
        for each in [value] if isinstance(value, Mapping) else value:
            yield default, each
    for series in imaging_study.get("series", ()):
        for performer in series.get("performer", ()):
            yield _PERFORMER, performer.get("actor", {})


def _with_performers(series: Mapping[str, Any], change: Change) -> Mapping[str, Any]:
    performers = [
        {**each, "actor": change(_PERFORMER, each["actor"])} if "actor" in each else each
        for each in series.get("performer", ())
    ]
    return {**series, "performer": performers} if performers else series


def _each_once(references: list[Reference]) -> list[Reference]:
    """Return the references, of several literal ones to one resource the one that says most."""
    best: dict[object, Reference] = {}
    for position, reference in enumerate(references):
        key = reference.get("reference", position)
        best[key] = {**best.get(key, {}), **reference}
    return list(best.values())
