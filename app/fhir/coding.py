"""Codes of a data set (PS3.3 §8, the Code Sequence Macro) as FHIR Coding and CodeableConcept.

One place decides what a coding scheme is called in FHIR: the table `mappings/fhir/coding_schemes.toml`, else
what the object says of its scheme, else a URI made of the designator, so that a code is never without a
system and two schemes are never the same.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from app.fhir.attributes import items, text
from app.fhir.snomed import sct_of
from app.fhir.tables import code_system, coding_scheme_uri, snomed_rt_uri

# the code value is in one of three attributes, by its length and kind
_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")


class CodingSchemes:
    """The coding schemes that a data set uses."""

    def __init__(self, prefix: str, attributes: Mapping[str, Any]) -> None:
        """Make the URI of a scheme that nothing is known of from `prefix` and its designator."""
        self._prefix = prefix
        self._told = dict(_told(attributes))

    def uri_of(self, item: Mapping[str, Any]) -> str:
        """Return the URI of the scheme that an item's code is of, or nothing where it names none."""
        if designator := text(item, "CodingSchemeDesignator"):
            known = coding_scheme_uri(designator) or snomed_rt_uri(designator)
            told = known or _uid(item) or self._told.get(designator)
            return told or self._prefix + quote(designator, safe="")
        # a URN as the value names its own scheme (PS3.3 §8.1)
        return code_system("uri") if text(item, "URNCodeValue") else _uid(item)


def codeable_concept(item: Mapping[str, Any], schemes: CodingSchemes) -> dict[str, Any] | None:
    """Return an item of a code sequence, or None where it says nothing.

    A code of SNOMED RT is there beside its successor.
    """
    concept: dict[str, Any] = {}
    codings = [each for each in (_snomed_ct(item), _as_is(item, schemes)) if each]
    if codings:
        concept["coding"] = codings
    if meaning := text(item, "CodeMeaning"):
        concept["text"] = meaning
    return concept or None


def concepts(entries: Iterable[Mapping[str, Any]], schemes: CodingSchemes) -> list[dict[str, Any]]:
    """Return the items of a code sequence that say something."""
    return [concept for item in entries if (concept := codeable_concept(item, schemes))]


def coding(item: Mapping[str, Any], schemes: CodingSchemes) -> dict[str, Any] | None:
    """Return an item as one Coding, which only has a display where there is no code; None for nothing.

    A code of SNOMED RT becomes its successor.
    """
    if made := _snomed_ct(item) or _as_is(item, schemes):
        return made
    meaning = text(item, "CodeMeaning")
    return {"display": meaning} if meaning else None


def code_value(item: Mapping[str, Any]) -> str:
    """Return the code value of an item as a FHIR code has it: without superfluous white space."""
    value = next(filter(None, (text(item, keyword) for keyword in _VALUES)), "")
    return " ".join(value.split())


def concept_key(item: Mapping[str, Any]) -> str:
    """Return a code as SCHEME:VALUE to compare concepts by; codes of SNOMED RT as those of SNOMED CT."""
    scheme, value = text(item, "CodingSchemeDesignator"), code_value(item)
    if snomed_rt_uri(scheme) and (code := sct_of(value)):
        return f"SCT:{code}"
    return f"{scheme}:{value}"


def _as_is(item: Mapping[str, Any], schemes: CodingSchemes) -> dict[str, Any] | None:
    value = code_value(item)
    if not value:
        return None
    made = {"code": value}
    if system := schemes.uri_of(item):
        made = {"system": system, **made}
    if version := text(item, "CodingSchemeVersion"):
        made["version"] = version
    return _displayed(made, item)


def _snomed_ct(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the concept in SNOMED CT where its code is one of SNOMED RT."""
    if not snomed_rt_uri(text(item, "CodingSchemeDesignator")):
        return None
    code = sct_of(code_value(item))
    return _displayed({"system": code_system("snomed"), "code": code}, item) if code else None


def _displayed(made: dict[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    meaning = text(item, "CodeMeaning")
    return {**made, "display": meaning} if meaning else made


def _told(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the URIs that a data set gives to its schemes (PS3.3 §C.12.1, SOP Common Module)."""
    found = []
    for item in items(attributes, "CodingSchemeIdentificationSequence"):
        designator = text(item, "CodingSchemeDesignator")
        uri = _fhir_url(item) or _uid(item)
        if designator and uri:
            found.append((designator, uri))
    return found


def _fhir_url(item: Mapping[str, Any]) -> str:
    """Return the URL of a scheme that is said to be the one that FHIR has for it."""
    for resource in items(item, "CodingSchemeResourcesSequence"):
        url = text(resource, "CodingSchemeURL")
        if text(resource, "CodingSchemeURLType") == "FHIR" and _URI.fullmatch(url):
            return url
    return ""


def _uid(item: Mapping[str, Any]) -> str:
    uid = text(item, "CodingSchemeUID")
    return f"urn:oid:{uid}" if _OID.fullmatch(uid) else ""
