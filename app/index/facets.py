"""How many studies, series or instances have which value of an attribute, as requests.

Strategy: an attribute that is a column of the asked level (`app.index.ordering`) is counted by Elasticsearch in
one request. Of a column of a level below, the distinct pairs of value and UID are listed and counted here: a
study counts once for a value, in however many of its series it is. Of any other attribute, nested and
private ones too, the matching documents are looked at, up to a limit. All counts are exact.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.dicom.attribute_path import AttributePath, is_private, shown, step_in
from app.dicom.qido_grammar import Level, Query
from app.dicom.qido_ordering import Attribute
from app.errors import BadQuery
from app.index.comparable import NUMBER, forms_of
from app.index.documents import read_metadata
from app.index.key_clause import Clause
from app.index.levels import COMPUTED, MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY, level_of
from app.index.ordering import LONGEST, ORDER, VALUES, is_column
from app.index.query import JOINED_MOST, PAGE, joined, matching
from app.index.steps import INDEX, Request, Steps
from app.limits import Limits

_DOWNWARDS = (Level.STUDY, Level.SERIES, Level.INSTANCE)
# a study's document counts these of its series and instances
_OF_STUDY = {"00080060": MODALITIES_IN_STUDY, "00080016": SOP_CLASSES_IN_STUDY}
_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ"})
_UID = {
    Level.STUDY: "study_instance_uid",
    Level.SERIES: "series_instance_uid",
    Level.INSTANCE: "sop_instance_uid",
}
_LOOKED_AT_ONCE = 1_000
_SIGN, _ALL = 1 << 63, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of one attribute, the most frequent first."""

    attribute: Attribute
    values: tuple[tuple[str | float, int], ...]
    further: int  # different values that are not among them
    missing: int  # entries without a value


@dataclass(frozen=True, slots=True)
class Facets:
    """How many entries match, and what they have."""

    total: int
    facets: tuple[Facet, ...]
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tally:
    """Form of a value → how many entries have it, and how many have any."""

    counts: Counter[str] = field(default_factory=Counter)
    with_value: int = 0


def facet_steps(query: Query, attributes: Sequence[Attribute], limits: Limits) -> Steps[Facets]:
    """Return the steps of counting; `query.limit` is the number of values. Raises BadQuery."""
    places = [_place(query.level, attribute) for attribute in attributes]
    matched = yield from matching(query, limits)
    if matched.filters is None:
        nothing = tuple(Facet(attribute, (), 0, 0) for attribute in attributes)
        return Facets(0, nothing, matched.warnings)
    own = [path[0] for where, path in places if where is query.level and is_column(where, path[0])]
    body = _body(matched.filters, _columns(own, limits), count=True)
    response, lacks = yield Request(INDEX[query.level], body, matched.beside)
    total: int = response["hits"]["total"]["value"]
    facets = []
    for attribute, (where, path) in zip(attributes, places, strict=True):
        is_a_column = len(path) == 1 and is_column(where, path[0])
        if is_a_column and where is query.level:
            tally = _of_column(response["aggregations"], path[0], total)
        else:
            filters = matched.filters
            if where is not query.level and filters:
                filters = yield from joined(query.level, _UID[query.level], filters)
            if is_a_column:
                tally = yield from _of_pairs(query.level, where, path[0], filters)
            else:
                tally = yield from _of_documents(query.level, where, path, filters, limits)
        facets.append(_facet(attribute, tally, total, query.limit, limits))
    warnings = matched.warnings_with(query.level, lacks)
    return Facets(total, tuple(facets), warnings)


def _place(level: Level, attribute: Attribute) -> tuple[Level, AttributePath]:
    """Return where an attribute is counted, and as which. Raises BadQuery where it cannot be."""
    path = attribute.path
    if level is Level.STUDY and len(path) == 1 and path[0] in _OF_STUDY:
        return level, (_OF_STUDY[path[0]],)
    held = COMPUTED.get(path[0]) or level_of(path[0])
    above = _DOWNWARDS.index(held) < _DOWNWARDS.index(level)
    if attribute.vr in _BINARY_VRS or (path[0] in COMPUTED and above):
        raise BadQuery(f"The parameter by names {shown(path)}, whose values are not counted here.")
    return (level if above else held), path


def _columns(tags: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Return the aggregations that count the values of columns."""
    found: dict[str, Any] = {}
    for tag in tags:
        column = f"{VALUES}.{tag}"
        # `map` looks at the documents that match; else every value of the index would be looked through first
        terms = {"field": column, "size": limits.facet_values + 1, "execution_hint": "map"}
        found[f"values_{tag}"] = {"terms": terms}
        found[f"missing_{tag}"] = {"missing": {"field": column}}
    return found


def _of_column(aggregations: Mapping[str, Any], tag: str, total: int) -> _Tally:
    buckets = aggregations[f"values_{tag}"]["buckets"]
    counts = Counter({bucket["key"]: bucket["doc_count"] for bucket in buckets})
    return _Tally(counts, total - aggregations[f"missing_{tag}"]["doc_count"])


def _of_pairs(level: Level, where: Level, tag: str, filters: list[Clause]) -> Steps[_Tally]:
    """Count the distinct pairs of a column's value and the UID above."""
    sources = [
        {"uid": {"terms": {"field": _UID[level]}}},
        {"value": {"terms": {"field": f"{VALUES}.{tag}"}}},
    ]
    tally, last = _Tally(), None
    composite: dict[str, Any] = {"size": PAGE, "sources": sources}
    pairs = 0
    while True:
        body = _body(filters, {"pairs": {"composite": composite}}, count=False)
        response, _ = yield Request(INDEX[where], body)
        found = response["aggregations"]["pairs"]
        for bucket in found["buckets"]:
            key = bucket["key"]
            tally.counts[key["value"]] += 1
            tally.with_value += key["uid"] != last  # pairs come by UID
            last = key["uid"]
        pairs += len(found["buckets"])
        if len(found["buckets"]) < PAGE:
            return tally
        if pairs > JOINED_MOST:
            raise BadQuery(f"The parameter by asks for more than {JOINED_MOST} pairs of values.")
        composite["after"] = found["after_key"]


def _of_documents(
    level: Level, where: Level, path: AttributePath, filters: list[Clause], limits: Limits
) -> Steps[_Tally]:
    """Look at every document that matches."""
    body = _body(filters, {}, count=True) | {
        "size": _LOOKED_AT_ONCE,
        "sort": [{ORDER: "asc"}],
        "_source": ["metadata", _UID[level]],
    }
    entries: dict[str, set[str]] = {}
    while True:
        response, _ = yield Request(INDEX[where], body)
        if body["track_total_hits"] and response["hits"]["total"]["value"] > limits.facet_documents:
            raise BadQuery(
                f"The parameter by names {shown(path)}, which is counted among at most "
                f"{limits.facet_documents} instances: ask for fewer."
            )
        hits = response["hits"]["hits"]
        for hit in hits:
            attributes = orjson.loads(read_metadata(hit["_source"]))
            entries.setdefault(hit["_source"][_UID[level]], set()).update(_forms(attributes, path))
        if len(hits) < _LOOKED_AT_ONCE:
            break
        body |= {"search_after": hits[-1]["sort"], "track_total_hits": False}
    counts = Counter(form for forms in entries.values() for form in forms)
    return _Tally(counts, sum(1 for forms in entries.values() if forms))


def _forms(dataset: Mapping[str, Any], path: AttributePath) -> Iterator[str]:
    """Yield the forms of the values that a path leads to, in every item."""
    tags = [path[0]]
    if is_private(path[0]):
        tags = [tag for tag in dataset if is_private(tag) and step_in(dataset, tag) == path[0]]
    for element in (dataset[tag] for tag in tags if tag in dataset):
        for value in element.get("Value", ()):
            if len(path) == 1:
                forms = forms_of(element["vr"], value)
                yield from (form[:LONGEST] for form in forms[:1])
            elif isinstance(value, dict):
                yield from _forms(value, path[1:])


def _facet(attribute: Attribute, tally: _Tally, total: int, most: int, limits: Limits) -> Facet:
    if len(tally.counts) > limits.facet_values:
        raise BadQuery(
            f"The parameter by names {shown(attribute.path)}, which has more than "
            f"{limits.facet_values} different values."
        )
    ordered = sorted(tally.counts.items(), key=lambda each: (-each[1], each[0]))
    return Facet(
        attribute,
        tuple((_value(form), count) for form, count in ordered[:most]),
        further=max(len(ordered) - most, 0),
        missing=max(total - tally.with_value, 0),
    )


def _body(
    filters: Sequence[Clause], aggregations: Mapping[str, Any], *, count: bool
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "size": 0,
        "track_total_hits": count,
        "query": {"bool": {"filter": list(filters)}},
    }
    return {**body, "aggs": dict(aggregations)} if aggregations else body


def _value(form: str) -> str | float:
    """Return the value that a form stands for, as it is compared: names folded, dates as digits."""
    return _number(form[1:]) if form[0] == NUMBER else form[1:]


def _number(digits: str) -> float:
    """Return the number that `app.index.comparable.ordered_number` wrote."""
    bits = int(digits.ljust(16, "0"), 16)
    bits = bits ^ _SIGN if bits & _SIGN else bits ^ _ALL
    (number,) = struct.unpack(">d", struct.pack(">Q", bits))
    value: float = number
    return int(value) if value.is_integer() else value
