"""Applies the rows of a mapping table to a data set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from app.dicom.instance import Finding
from app.fhir.attributes import Path, has_value
from app.fhir.data_set import DataSet
from app.fhir.tables import Row

_NO_CODE = "There is neither a code nor a meaning; it was left out in FHIR."
_NOTHING: tuple[Any, ...] = (None, [], "unknown")
# What is said where a conversion makes nothing of a value. What is no date or no number at all was said when
# the object was read.
_WRONG = MappingProxyType(
    {
        "unsigned": "The value is no number from 0 to 2147483647; it was left out in FHIR.",
        "concepts": _NO_CODE,
        "body_site": _NO_CODE,
        "gender": "The value is none of M, F and O; FHIR has the gender as unknown.",
    }
)

# gets a data set, the paths of one source of a row, and what the row says besides; returns what the element
# has of it, None or nothing where FHIR has no form for what stands there
Conversion = Callable[[DataSet, Sequence[Path], str], Any]


def elements_of(
    data_set: DataSet,
    rows: Sequence[Row],
    conversions: Mapping[str, Conversion],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the elements that a data set has values for, after those that are `given`."""
    elements = dict(given)
    for row in rows:
        value = converted(data_set, row, conversions)
        if isinstance(value, list):
            value = [*elements.get(row.element, ()), *value]
        if value not in (None, []):
            elements[row.element] = value
    return elements


def converted(data_set: DataSet, row: Row, conversions: Mapping[str, Conversion]) -> Any:
    """Return what a row makes of a data set, None where its attributes have no value."""
    source = source_of(data_set, row)
    return conversions[row.conversion](data_set, source, row.detail) if source else None


def unmapped(
    data_set: DataSet, rows: Sequence[Row], conversions: Mapping[str, Conversion]
) -> Iterator[Finding]:
    """Yield what stands in a data set and has no form in FHIR; it is left out."""
    for row in rows:
        source = source_of(data_set, row)
        if source is None or row.conversion not in _WRONG:
            continue
        if conversions[row.conversion](data_set, source, row.detail) in _NOTHING:
            yield Finding(source[0][0], _WRONG[row.conversion])


def source_of(data_set: DataSet, row: Row) -> tuple[Path, ...] | None:
    """Return the first source of a row that a data set has a value for."""
    for source in row.sources:
        if has_value(data_set.attributes, source[0]):
            return source
    return None
