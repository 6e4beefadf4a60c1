"""The tables of `mappings/fhir/`, read once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from app.resources import data_path


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute that becomes one element."""

    element: str
    keyword: str
    conversion: Literal["text", "unsigned"]


@cache
def code_system(name: str) -> str:
    """Return the URI of a code system."""
    return str(_table("code_systems")[name])


@cache
def rows(level: Literal["study", "series", "instance"]) -> tuple[Row, ...]:
    """Return the rows of the ImagingStudy table for one level."""
    return tuple(
        Row(element=row["element"], keyword=row["keyword"], conversion=row["as"])
        for row in _table("imaging_study")[level]
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
def _table(name: str) -> Mapping[str, Any]:
    return tomllib.loads(data_path("mappings", "fhir", f"{name}.toml").read_text("utf-8"))
