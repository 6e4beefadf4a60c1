"""What an instance is called: its document's title, or what kind of image it is."""

from collections.abc import Mapping
from typing import Any

_CONCEPT_NAME, _CODE_MEANING = "0040A043", "00080104"
_DOCUMENT_TITLE, _IMAGE_TYPE = "00420010", "00080008"


def instance_title(attributes: Mapping[str, Any]) -> str:
    """Return the title of an instance, given as DICOM JSON Model; nothing where it has none.

    It is the meaning of ConceptNameCodeSequence, else DocumentTitle, else ImageType with its backslashes.
    """
    for item in _values(attributes, _CONCEPT_NAME)[:1]:
        if isinstance(item, Mapping) and (said := _texts(item, _CODE_MEANING)):
            return said[0]
    if said := _texts(attributes, _DOCUMENT_TITLE):
        return said[0]
    return "\\".join(_texts(attributes, _IMAGE_TYPE))


def _texts(attributes: Mapping[str, Any], tag: str) -> list[str]:
    return [value for value in _values(attributes, tag) if isinstance(value, str) and value.strip()]


def _values(attributes: Mapping[str, Any], tag: str) -> list[Any]:
    element = attributes.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list) else []
