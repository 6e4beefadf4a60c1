"""Reads values out of the DICOM JSON Model (PS3.18 Annex F) in the form that FHIR wants them.

Nothing here fails on a value: what is no number is no number, what FHIR cannot carry is left out.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydicom.datadict import tag_for_keyword

# the tag of an attribute, after those of the sequences that it is in
Path = tuple[str, ...]

# FHIR's unsignedInt and positiveInt end here (R4 §2.24.0.1)
_LARGEST_INTEGER = 2**31 - 1

# FHIR strings have no control characters but these (R4 §2.24.0.1); PostgreSQL refuses NUL
_FORBIDDEN = {
    **{code: None for code in range(0x20) if chr(code) not in "\t\r\n"},
    **dict.fromkeys(range(0xD800, 0xE000), "�"),  # lone surrogates are no UTF-8
}


def text(attributes: Mapping[str, Any], keyword: str) -> str:
    """Return the first value that is not empty, as a FHIR string; else an empty one."""
    return text_at(attributes, path(keyword))


def unsigned(attributes: Mapping[str, Any], keyword: str) -> int | None:
    """Return the first value where it is an unsignedInt."""
    return unsigned_at(attributes, path(keyword))


def items(attributes: Mapping[str, Any], keyword: str) -> Sequence[Mapping[str, Any]]:
    """Return the items of a sequence."""
    return items_at(attributes, path(keyword))


def text_at(attributes: Mapping[str, Any], at: Path) -> str:
    """Return the first value that is not empty, as a FHIR string; else an empty one."""
    return next(iter(texts_at(attributes, at)), "")


def texts_at(attributes: Mapping[str, Any], at: Path) -> list[str]:
    """Return the values that are not empty, as FHIR strings."""
    return [
        clean
        for value in values_at(attributes, at)
        if isinstance(value, str | int | float) and (clean := fhir_string(str(value)))
    ]


def unsigned_at(attributes: Mapping[str, Any], at: Path) -> int | None:
    """Return the first value where it is an unsignedInt."""
    for value in values_at(attributes, at)[:1]:
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return number if 0 <= number <= _LARGEST_INTEGER else None
    return None


def items_at(attributes: Mapping[str, Any], at: Path) -> Sequence[Mapping[str, Any]]:
    """Return the items of a sequence."""
    return [item for item in values_at(attributes, at) if isinstance(item, Mapping)]


def values_at(attributes: Mapping[str, Any], at: Path) -> Sequence[Any]:
    """Return the values of an attribute: of all items, where it is within sequences."""
    if len(at) > 1:
        found = items_at(attributes, at[:1])
        return [value for item in found for value in values_at(item, at[1:])]
    element = attributes.get(at[0])
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list | tuple) else ()


def has_value(attributes: Mapping[str, Any], at: Path) -> bool:
    """Tell whether an attribute has a value; an item without attributes is none."""
    return any(value or value == 0 for value in values_at(attributes, at))


def fhir_string(value: str) -> str:
    """Return a value without what a FHIR string cannot carry and without padding."""
    return value.translate(_FORBIDDEN).strip()


@cache
def path(keywords: str) -> Path:
    """Return the path of a keyword, or of several with dots between them."""
    return tuple(map(_tag, keywords.split(".")))


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return f"{tag:08X}"
