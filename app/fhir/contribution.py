"""What an instance says of its study and of its series, by the rows of the mapping.

Strategy: the instances of a study say nearly always the same of it. So the attributes that the rows read are
taken as they stand, and the rows are applied only where that was not done to the same a moment ago.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import orjson

from app.dicom.instance import Finding, InstanceRecord
from app.fhir.attributes import has_value, path
from app.fhir.authorship import Said, said
from app.fhir.conversions import CONVERSIONS
from app.fhir.data_set import DataSet
from app.fhir.identifiers import IdentifierSystems
from app.fhir.patient_conversions import PATIENT_CONVERSIONS
from app.fhir.rows import elements_of, unmapped
from app.fhir.tables import LEVELS, Level, rows

Attributes = Mapping[str, Any]

_SCHEMES = path("CodingSchemeIdentificationSequence")[0]
_REMEMBERED = 256  # studies and series that are written at one time


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of where instances come from, besides what they say."""

    systems: IdentifierSystems
    time_zone: str | None
    most: int  # entries of a list


@dataclass(frozen=True, slots=True)
class Contribution:
    """What an instance says at one level: elements, and what has no form in FHIR."""

    elements: Mapping[str, Said]
    findings: tuple[Finding, ...]


def contributions(
    instances: Iterable[InstanceRecord], level: Level, origin: Origin
) -> Iterator[tuple[InstanceRecord, Contribution]]:
    """Yield what instances say; what was yielded just before is not repeated."""
    before = b""
    for record in instances:
        stands = _written(_as_it_stands(record.attributes, level))
        if stands != before:
            yield record, _contribution(stands, level, origin)
        before = stands


def without_form(
    instances: Sequence[InstanceRecord], origin: Origin
) -> Iterator[tuple[InstanceRecord, Finding]]:
    """Yield what instances say that has no form in FHIR, of several that say the same the first."""
    for level in LEVELS:
        for record, said_here in contributions(instances, level, origin):
            for finding in said_here.findings:
                yield record, finding


@lru_cache(maxsize=_REMEMBERED)
def _contribution(stands: bytes, level: Level, origin: Origin) -> Contribution:
    data_set = DataSet(json.loads(stands), origin.systems, origin.time_zone)
    conversions = PATIENT_CONVERSIONS if level == "patient" else CONVERSIONS
    elements = elements_of(data_set, rows(level), conversions, {})
    return Contribution(
        {name: said(value, origin.most) for name, value in elements.items()},
        tuple(unmapped(data_set, rows(level), conversions)),
    )


def _as_it_stands(attributes: Attributes, level: Level) -> dict[str, Any]:
    """Return the attributes that the rows read."""
    steady, dated = _read(level)
    stands = {tag: attributes[tag] for tag in steady if tag in attributes}
    for date, otherwise in dated:
        if not has_value(attributes, (date,)):
            stands |= {tag: attributes[tag] for tag in otherwise if tag in attributes}
    return stands


def _written(attributes: Attributes) -> bytes:
    try:
        return orjson.dumps(attributes)
    except TypeError:  # half a surrogate pair, or a number of more than 64 bits
        return json.dumps(attributes).encode()


@cache
def _read(level: Level) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return the tags that the rows read, and of dates those that are read where a first one is missing.

    The latter (the time of an acquisition) differ in every instance of a series.
    """
    steady, dated = {_SCHEMES: None}, []
    for row in rows(level):
        first, *others = [[each[0] for each in source] for source in row.sources]
        if row.conversion == "date_time":
            dated.append((first[0], tuple(tag for source in others for tag in source)))
            others = []
        steady.update(dict.fromkeys(tag for source in (first, *others) for tag in source))
    return tuple(steady), tuple(dated)
