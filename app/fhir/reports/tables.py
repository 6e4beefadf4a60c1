"""The tables of `mappings/fhir/reports.toml`, read once."""

import tomllib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from app.fhir.attributes import text
from app.resources import data_path

Kind = Literal["report", "dose", "document"]
StatusOf = Literal["DiagnosticReport", "Observation", "DocumentReference"]


@cache
def kinds() -> Mapping[str, Kind]:
    """Return what an object becomes, by SOP Class UID."""
    return MappingProxyType(
        {uid: kind for kind, uids in _table()["objects"].items() for uid in uids}
    )


@cache
def concepts(name: str) -> frozenset[str]:
    """Return the concepts that play a part in a content tree, as SCHEME:VALUE."""
    return frozenset(_table()["concepts"][name])


@cache
def dose_concepts(name: str) -> frozenset[str]:
    """Return the concepts that play a part in a radiation dose report, as SCHEME:VALUE."""
    return frozenset(_table()["dose"][name])


@cache
def report_titles(sop_class_uid: str) -> frozenset[str]:
    """Return the titles that make an encapsulated document of this class a report."""
    table = _table()["document_report"]
    return frozenset(table["titles"] if sop_class_uid in table["objects"] else ())


@cache
def fixed_code(name: str) -> Mapping[str, str]:
    """Return a Coding that is always the same."""
    return MappingProxyType(dict(_table()["code"][name]))


def absent_reason(qualifier: str) -> str:
    """Return why a measurement has no value (data-absent-reason), by its qualifier."""
    return str(_table()["no_value"].get(qualifier, "unknown"))


def media_type_of_class(sop_class_uid: str) -> str:
    """Return the media type of encapsulated documents of a class."""
    return str(_table()["media_type"].get(sop_class_uid, "application/octet-stream"))


def status_of(attributes: Mapping[str, Any], resource_type: StatusOf) -> str | None:
    """Return the status of a resource by the flags of its object (PS3.3 §C.17.2), or None for none."""
    for row in _table()["status"][resource_type]:
        if "attribute" not in row or text(attributes, row["attribute"]) == row["value"]:
            return str(row["status"])
    return None


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(data_path("mappings", "fhir", "reports.toml").read_text("utf-8"))
