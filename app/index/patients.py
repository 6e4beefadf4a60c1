"""A search for patients, as requests: one row for each patient who has a study that matches.

A patient is who the FHIR server says: studies belong together when they are linked to one Patient.

Strategy: the conditions on studies are those of any search. The first request gives the distinct patients of
matching studies in the order that is asked for, by name unless something else is (a patient whose studies
spell a name in two ways stands at the first). The second gives, for the patients of the page, what their
newest study says of them, and counts over all of their studies, matching or not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.dicom.attribute_path import AttributePath
from app.dicom.qido_grammar import Query
from app.dicom.qido_ordering import OrderKey
from app.errors import BadQuery
from app.index.cursor import Position, SortValue, read_cursor
from app.index.documents import read_metadata
from app.index.hits import WHOLE, Row, Tree, paths_of, selected, wanted_of
from app.index.levels import (
    NUMBER_OF_PATIENT_RELATED_INSTANCES,
    NUMBER_OF_PATIENT_RELATED_SERIES,
    NUMBER_OF_PATIENT_RELATED_STUDIES,
    patient_tags,
    returned_of_patient,
)
from app.index.ordering import ORDER, VALUES, direction
from app.index.query import JOINED_MOST, PAGE, Matched, matching
from app.index.steps import Request, Steps
from app.limits import Limits

RESOURCE = "patient"
_BY_NAME = (OrderKey("00100010"), OrderKey("00100020"))
_STUDIES = "studies"
_PATIENT = "fhir.patient"

_Place = tuple[SortValue, ...]  # the values that patients are sorted by, and the patient at the end


@dataclass(frozen=True, slots=True)
class FoundPatients:
    """How many patients match, and those of the page, each as an aggregation's bucket."""

    total: int
    buckets: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...] = ()
    last: _Place | None = None
    passed: int = 0
    full: bool = False  # as many patients as were asked for


def patient_steps(query: Query, limits: Limits) -> Steps[FoundPatients]:
    """Return the steps of a search for patients. Raises BadQuery."""
    order = query.orderby or _BY_NAME
    for key in order:
        if key.tag not in patient_tags():
            raise BadQuery(f"The parameter orderby cannot sort patients by {key.tag}.")
    position = read_cursor(RESOURCE, query, len(order) + 1)
    matched = yield from matching(replace(query, orderby=()), limits)
    if matched.filters is None:
        return FoundPatients(0, (), matched.warnings)
    places, warnings = yield from _places(query, order, matched)
    start = query.offset if position is None else _start(places, position, order)
    page = places[start : start + query.limit]
    if not page:
        return FoundPatients(len(places), (), warnings)
    response, _ = yield Request(_STUDIES, _details([str(place[-1]) for place in page]))
    by_patient = {each["key"]: each for each in response["aggregations"]["patients"]["buckets"]}
    buckets = tuple(by_patient[place[-1]] for place in page if place[-1] in by_patient)
    full = len(page) == query.limit
    return FoundPatients(len(places), buckets, warnings, page[-1], start, full)


def _places(
    query: Query, order: Sequence[OrderKey], matched: Matched
) -> Steps[tuple[list[_Place], tuple[str, ...]]]:
    """Collect the patients of matching studies, in order, each once."""
    found: dict[SortValue, _Place] = {}
    warnings = matched.warnings
    names = [f"by_{number}" for number in range(len(order))] + ["patient"]
    after: Mapping[str, Any] | None = None
    while True:
        body = _grouped(matched, order, names, after)
        response, lacks = yield Request(_STUDIES, body, matched.beside if after is None else None)
        if after is None:
            warnings = matched.warnings_with(query.level, lacks)
        groups = response["aggregations"]["patients"]
        for bucket in groups["buckets"]:
            place = tuple(bucket["key"][name] for name in names)
            found.setdefault(place[-1], place)
        if len(groups["buckets"]) < PAGE:
            return list(found.values()), warnings
        if len(found) > JOINED_MOST:
            raise BadQuery(f"The match keys are met by more than {JOINED_MOST} patients.")
        after = groups["after_key"]


def _grouped(
    matched: Matched,
    order: Sequence[OrderKey],
    names: Sequence[str],
    after: Mapping[str, Any] | None,
) -> dict[str, Any]:
    sources: list[dict[str, Any]] = [
        {
            name: {
                "terms": {
                    "field": f"{VALUES}.{key.tag}",
                    "order": direction(key),
                    "missing_bucket": True,
                    "missing_order": "last",
                }
            }
        }
        for name, key in zip(names, order, strict=False)
    ]
    composite = {"size": PAGE, "sources": [*sources, {names[-1]: {"terms": {"field": _PATIENT}}}]}
    if after is not None:
        composite["after"] = after
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": matched.filters}},
        "aggs": {"patients": {"composite": composite}},
    }


def _details(patients: Sequence[str]) -> dict[str, Any]:
    newest = {"size": 1, "sort": [{ORDER: "asc"}], "_source": ["metadata"]}
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": [{"terms": {_PATIENT: patients}}]}},
        "aggs": {
            "patients": {
                "terms": {"field": _PATIENT, "size": len(patients)},
                "aggs": {
                    "series": {"sum": {"field": "number_of_series"}},
                    "instances": {"sum": {"field": "number_of_instances"}},
                    "newest": {"top_hits": newest},
                },
            }
        },
    }


def _start(places: Sequence[_Place], position: Position, order: Sequence[OrderKey]) -> int:
    """Return the index of the first patient behind a position, even where that patient is gone."""
    falling = [key.descending for key in order] + [False]
    behind = (n for n, place in enumerate(places) if _is_behind(place, position.last, falling))
    return next(behind, len(places))


def _is_behind(place: _Place, other: _Place, falling: Sequence[bool]) -> bool:
    for mine, theirs, is_falling in zip(place, other, falling, strict=True):
        if mine == theirs:
            continue
        if mine is None or theirs is None:
            return mine is None  # what has no value comes last
        return (mine < theirs) if is_falling else (mine > theirs)
    return False


def patient_rows(query: Query, buckets: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield the rows, in order."""
    tree = _tree(query)
    for bucket in buckets:
        (newest,) = bucket["newest"]["hits"]["hits"]
        row = selected(orjson.loads(read_metadata(newest["_source"])), tree)
        row[NUMBER_OF_PATIENT_RELATED_STUDIES] = _number(bucket["doc_count"])
        row[NUMBER_OF_PATIENT_RELATED_SERIES] = _number(bucket["series"]["value"])
        row[NUMBER_OF_PATIENT_RELATED_INSTANCES] = _number(bucket["instances"]["value"])
        yield dict(sorted(row.items()))


def columns_of_patients(query: Query) -> list[AttributePath]:
    """Return the paths of what rows have, ascending."""
    return sorted(paths_of(_tree(query)))


def _tree(query: Query) -> Tree:
    """Return what rows have: attributes of the patient, whatever else is matched or asked for."""
    tree: Tree = {path[0]: {WHOLE: {}} for path in returned_of_patient()}
    asked = wanted_of(query)
    if asked is None:
        return tree | {tag: {WHOLE: {}} for tag in patient_tags()}
    return tree | {tag: within for tag, within in asked.items() if tag in patient_tags()}


def _number(value: float) -> Row:
    return {"vr": "IS", "Value": [int(value)]}
