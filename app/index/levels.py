"""Which document holds which attribute: of the study, of the series, of the instance."""

import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

from app.dicom.attribute_path import AttributePath, tag_of, vr_of
from app.dicom.qido_grammar import Level
from app.resources import data_path

MODALITIES_IN_STUDY = "00080061"
SOP_CLASSES_IN_STUDY = "00080062"
NUMBER_OF_STUDY_RELATED_SERIES = "00201206"
NUMBER_OF_STUDY_RELATED_INSTANCES = "00201208"
NUMBER_OF_SERIES_RELATED_INSTANCES = "00201209"
NUMBER_OF_PATIENT_RELATED_STUDIES = "00201200"
NUMBER_OF_PATIENT_RELATED_SERIES = "00201202"
NUMBER_OF_PATIENT_RELATED_INSTANCES = "00201204"

# counted, not read from an object: only the document of that level has them
COMPUTED: Mapping[str, Level] = {
    MODALITIES_IN_STUDY: Level.STUDY,
    SOP_CLASSES_IN_STUDY: Level.STUDY,
    NUMBER_OF_STUDY_RELATED_SERIES: Level.STUDY,
    NUMBER_OF_STUDY_RELATED_INSTANCES: Level.STUDY,
    NUMBER_OF_SERIES_RELATED_INSTANCES: Level.SERIES,
}


@cache
def tags_of(level: Level) -> frozenset[str]:
    """Return the top-level tags that documents of a level take from its objects, above instances."""
    study, series = (_tags("attributes", each) for each in (Level.STUDY, Level.SERIES))
    return study if level is Level.STUDY else study | series


@cache
def columns_of_instances() -> frozenset[str]:
    """Return the attributes that instances can be sorted and quickly counted by."""
    return _tags("columns", Level.INSTANCE)


@cache
def patient_tags() -> frozenset[str]:
    """Return the top-level tags that describe the patient, not one study."""
    return frozenset(_tag(name) for name in _table()["attributes"]["patient"])


@cache
def returned_of_patient() -> tuple[AttributePath, ...]:
    """Return the attributes that a row of a patient has by default."""
    return tuple((_tag(name),) for name in _table()["returned"]["patient"])


@cache
def returned(level: Level) -> tuple[AttributePath, ...]:
    """Return the attributes that a row of a level has by default."""
    paths = (name.split(".") for name in _table()["returned"][level])
    return tuple(tuple(_tag(part) for part in path) for path in paths)


@cache
def returned_empty() -> Mapping[str, str]:
    """Return tag → VR of what a study's row has even without a value."""
    return {tag: vr_of(tag) for tag in sorted(_tags("returned_empty", Level.STUDY))}


def level_of(tag: str) -> Level:
    """Return the highest level whose documents have an attribute of the objects."""
    if tag in tags_of(Level.STUDY):
        return Level.STUDY
    return Level.SERIES if tag in tags_of(Level.SERIES) else Level.INSTANCE


def attributes_of(level: Level, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an instance that belong to its study, or its series and study."""
    tags = tags_of(level)
    return {tag: element for tag, element in attributes.items() if tag in tags}


@cache
def _table() -> Mapping[str, Mapping[str, list[str]]]:
    with data_path("mappings", "dicom", "levels.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def _tags(table: str, level: Level) -> frozenset[str]:
    return frozenset(_tag(name) for name in _table()[table][level])


def _tag(name: str) -> str:
    tag = tag_of(name)
    if tag is None:
        raise ValueError(f"levels.toml names {name}, which the dictionary does not know")
    return tag
