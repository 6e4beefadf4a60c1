"""Persons that a data set names, as references to a Practitioner that nobody may have.

A reference has the person's identifier where the data set tells one (PS3.3 §10.1, Person Identification
Macro), and the name as it is spoken.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from app.fhir.attributes import Path, items, values_at
from app.fhir.coding import coding
from app.fhir.data_set import DataSet
from app.fhir.human_name import spoken


def practitioners(data_set: DataSet, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return references for names and identifications; the n-th identification is of the n-th name."""
    names: list[str] = []
    identifications: list[Mapping[str, Any]] = []
    for path in paths:
        for value in values_at(data_set.attributes, path):
            if isinstance(value, Mapping) and not _is_name(value):
                identifications.append(value)
            else:
                names.append(spoken(value))
    pairs = zip_longest(names, identifications, fillvalue=None)
    made = (_practitioner(data_set, name or "", each or {}) for name, each in pairs)
    return [reference for reference in made if len(reference) > 1]


def _is_name(value: Mapping[str, Any]) -> bool:
    return bool({"Alphabetic", "Ideographic", "Phonetic"} & value.keys())


def _practitioner(
    data_set: DataSet, name: str, identification: Mapping[str, Any]
) -> dict[str, Any]:
    reference: dict[str, Any] = {"type": "Practitioner"}
    for item in items(identification, "PersonIdentificationCodeSequence"):
        code = coding(item, data_set.schemes)
        if code and "code" in code and "system" in code:
            reference["identifier"] = {"system": code["system"], "value": code["code"]}
            name = name or code.get("display", "")
            break
    if name:
        reference["display"] = name
    return reference
