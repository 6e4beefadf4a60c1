"""The tables of `mappings/fhir/`, read once."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from app.fhir.attributes import Path, path
from app.resources import data_path

Level = Literal["patient", "study", "series"]
LEVELS: tuple[Level, ...] = ("patient", "study", "series")


@dataclass(frozen=True, slots=True)
class Row:
    """One way in which an element gets a value.

    Of `sources` the first that a data set has a value for is taken: the first path of each decides, the
    others are read along with it.
    """

    element: str
    sources: tuple[tuple[Path, ...], ...]
    conversion: str
    detail: str  # what the conversion is told besides


@cache
def rows(level: Level) -> tuple[Row, ...]:
    """Return the rows of the Patient, or those of the ImagingStudy for one level."""
    table = _table("patient")["row"] if level == "patient" else _table("imaging_study")[level]
    return tuple(_row(row) for row in table)


def _row(row: Mapping[str, Any]) -> Row:
    return Row(
        element=row["element"],
        sources=tuple(tuple(map(path, _several(source))) for source in row["from"]),
        conversion=row["as"],
        detail=row.get("with", ""),
    )


def _several(source: str | Sequence[str]) -> Sequence[str]:
    return [source] if isinstance(source, str) else source


@cache
def code_system(name: str) -> str:
    """Return the URI of a code system."""
    return str(_table("code_systems")[name])


def coding_scheme_uri(designator: str) -> str:
    """Return the URI of a coding scheme of PS3.16, or nothing where it is none of them."""
    return str(_table("coding_schemes")["uri"].get(designator, ""))


def snomed_rt_uri(designator: str) -> str:
    """Return the URI of a coding scheme with the codes of SNOMED RT, or nothing where it is none."""
    return str(_table("coding_schemes")["snomed_rt"].get(designator, ""))


@cache
def body_sites() -> Mapping[str, tuple[str, str]]:
    """Return SNOMED CT code and meaning by BodyPartExamined."""
    return MappingProxyType(
        {term: (code, said) for term, (code, said) in _table("body_sites").items()}
    )


@cache
def lateralities() -> Mapping[str, tuple[str, str]]:
    """Return SNOMED CT code and meaning by Laterality."""
    return MappingProxyType(
        {term: (code, said) for term, (code, said) in _table("lateralities").items()}
    )


@cache
def genders() -> Mapping[str, str]:
    """Return administrative gender by PatientSex."""
    return MappingProxyType(dict(_table("patient")["gender"]))


@cache
def gender_otherwise() -> str:
    """Return the gender for a PatientSex that the standard does not know."""
    return str(_table("patient")["gender_otherwise"]["value"])


@cache
def name_representations() -> Mapping[str, str]:
    """Return the code of `iso21090-EN-representation` by component group of a person name."""
    return MappingProxyType(dict(_table("patient")["name_representation"]))


@cache
def provenance_codes() -> Mapping[str, Mapping[str, Any]]:
    """Return the codes of activities, roles of entities and types of agents."""
    return MappingProxyType(dict(_table("provenance")))


@cache
def _table(name: str) -> Mapping[str, Any]:
    return tomllib.loads(data_path("mappings", "fhir", f"{name}.toml").read_text("utf-8"))
