"""Reads values out of the DICOM JSON Model (PS3.18 Annex F) in the form that FHIR wants them.

Nothing here fails on a value: what is no number is no number, what FHIR cannot carry is left out.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydicom.datadict import tag_for_keyword

# FHIR's unsignedInt and positiveInt end here (R4 §2.24.0.1)
_LARGEST_INTEGER = 2**31 - 1

# FHIR strings have no control characters but these (R4 §2.24.0.1); PostgreSQL refuses NUL
_FORBIDDEN = {
    **{code: None for code in range(0x20) if chr(code) not in "\t\r\n"},
    **dict.fromkeys(range(0xD800, 0xE000), "�"),  # lone surrogates are no UTF-8
}


def text(attributes: Mapping[str, Any], keyword: str) -> str:
    """Return the first value that is not empty, as a FHIR string; else an empty one."""
    for value in _values(attributes, keyword):
        if isinstance(value, str | int | float) and (clean := fhir_string(str(value))):
            return clean
    return ""


def unsigned(attributes: Mapping[str, Any], keyword: str) -> int | None:
    """Return the first value where it is an unsignedInt."""
    for value in _values(attributes, keyword)[:1]:
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return number if 0 <= number <= _LARGEST_INTEGER else None
    return None


def items(attributes: Mapping[str, Any], keyword: str) -> Sequence[Mapping[str, Any]]:
    """Return the items of a sequence."""
    return [item for item in _values(attributes, keyword) if isinstance(item, Mapping)]


def fhir_string(value: str) -> str:
    """Return a value without what a FHIR string cannot carry and without padding."""
    return value.translate(_FORBIDDEN).strip()


def _values(attributes: Mapping[str, Any], keyword: str) -> Sequence[Any]:
    values = attributes.get(_tag(keyword), {}).get("Value") or ()
    return values if isinstance(values, Sequence) else ()


@cache
def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return f"{tag:08X}"
