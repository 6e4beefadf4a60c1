"""Match keys as Elasticsearch clauses on tokens.

A wildcard, a range or a prefix on a token begins with the attribute's path, so that it looks at the values
of that attribute only. Keys in one sequence have to match within one item (PS3.4 §C.2.2.2.6): where a data
set has several items of that sequence, its items are asked one by one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from app.dicom.attribute_matching import (
    UNKNOWN_VR,
    AllOf,
    AnyOf,
    Empty,
    Numbers,
    Times,
    Universal,
    Wildcard,
    Words,
)
from app.dicom.attribute_path import AttributePath, dotted
from app.dicom.qido_grammar import Key
from app.index.comparable import (
    NUMBER,
    TEXT,
    UTC,
    WORD,
    folded,
    folded_name,
    forms_of,
    name_words,
    ordered_number,
)
from app.index.tokens import ITEM_OF, SEVERAL

Clause = dict[str, Any]

_TOKENS, _ITEMS, _ITEM_TOKENS = "tokens", "items", "items.tokens"
_TRIED_VRS = ("LO", "PN", "DS", "DA", "TM", "DT")  # for a value whose VR nobody knows


def filters_of(keys: Iterable[Key], *, value_bytes: int) -> list[Clause]:
    """Return the clauses that a document has to meet; `value_bytes` is the length values are cut at."""
    matched = [key for key in keys if not isinstance(key.matching, Universal)]
    whole = [
        _clause(key, _TOKENS, value_bytes)
        for key in matched
        if not (len(key.path) > 1 and isinstance(key.matching, Empty))
    ]
    return whole + [
        _within_one_item(sequence, matched, value_bytes) for sequence in _sequences(matched)
    ]


def any_of(clauses: Sequence[Clause]) -> Clause:
    """Return a clause that one of these meets."""
    if len(clauses) == 1:
        return clauses[0]
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def _sequences(keys: Iterable[Key]) -> list[AttributePath]:
    """Return the sequences whose items have to be told apart: several keys, or an empty one, within."""
    within: dict[AttributePath, list[Key]] = {}
    for key in keys:
        for depth in range(1, len(key.path)):
            within.setdefault(key.path[:depth], []).append(key)
    return [
        sequence
        for sequence, inner in within.items()
        if len(inner) > 1 or isinstance(inner[0].matching, Empty)
    ]


def _within_one_item(sequence: AttributePath, keys: Iterable[Key], value_bytes: int) -> Clause:
    depth = len(sequence)
    inner = [key for key in keys if len(key.path) > depth and key.path[:depth] == sequence]
    around = [
        key
        for key in keys
        if 1 < len(key.path) <= depth and key.path[:-1] == sequence[: len(key.path) - 1]
    ]
    name = dotted(sequence)
    only_item = {
        "bool": {
            "must_not": [{"term": {_TOKENS: name + SEVERAL}}],
            "filter": [_clause(key, _TOKENS, value_bytes) for key in inner],
        }
    }
    one_item = {
        "nested": {
            "path": _ITEMS,
            "score_mode": "none",
            "query": {
                "bool": {
                    "filter": [
                        {"term": {_ITEM_TOKENS: ITEM_OF + name}},
                        *(_clause(key, _ITEM_TOKENS, value_bytes) for key in inner + around),
                    ]
                }
            },
        }
    }
    return any_of([only_item, one_item])


def _clause(key: Key, field: str, value_bytes: int) -> Clause:
    """Return the clause that tokens of a document, or of one item, have to meet."""
    path = dotted(key.path)
    matching = key.matching
    match matching:
        case AnyOf() if key.vr != "PN":
            terms = (_terms(key.vr, path, value, value_bytes) for value in matching.values)
            clause: Clause = {"terms": {field: [term for each in terms for term in each]}}
        case AnyOf():
            clause = any_of([_name(path, name, field, value_bytes) for name in matching.values])
        case AllOf():
            clause = _all(
                _clause(Key(key.path, key.vr, AnyOf((value,))), field, value_bytes)
                for value in matching.values
            )
        case Wildcard(pattern):
            clause = _wildcard(key.vr, path, pattern, field)
        case Words(words):
            starts = (path + WORD + part for word in words for part in name_words(folded(word)))
            clause = _all({"prefix": {field: {"value": start}}} for start in starts)
        case Numbers(low, high):
            bounds = [ordered_number(end) if end is not None else None for end in (low, high)]
            clause = _range(path + NUMBER, bounds[0], bounds[1], field)
        case Times(low, high, utc):
            clause = _range(path + (UTC if utc else TEXT), low, high, field)
        case Empty():
            clause = {"bool": {"must_not": [{"term": {field: path}}]}}
        case Universal():
            clause = {"match_all": {}}
    return clause


def _all(clauses: Iterable[Clause]) -> Clause:
    every = list(clauses)
    return every[0] if len(every) == 1 else {"bool": {"filter": every}}


def _terms(vr: str, path: str, value: str, value_bytes: int) -> list[str]:
    """Return the tokens that stand for a value."""
    vrs = _TRIED_VRS if vr == UNKNOWN_VR else (vr,)
    forms = {form: None for tried in vrs for form in forms_of(tried, value) if form[0] != WORD}
    return [path + _cut(form, value_bytes) for form in forms]


def _name(path: str, value: str, field: str, value_bytes: int) -> Clause:
    """Return equality with a person name: each component group that is given has to be there."""
    groups = (name for group in value.split("=") if (name := folded_name(group)))
    return _all({"term": {field: path + _cut(TEXT + name, value_bytes)}} for name in groups)


def _wildcard(vr: str, path: str, pattern: str, field: str) -> Clause:
    if vr == "PN":
        groups = [group for group in folded(pattern).split("=") if group.strip("*")]
        return _all(any_of(_name_patterns(path, group, field)) for group in groups)
    patterns = [pattern]
    if vr == UNKNOWN_VR:
        patterns = list(dict.fromkeys([pattern, folded(pattern)]))
    return any_of([_like(path, each, field) for each in patterns])


def _name_patterns(path: str, pattern: str, field: str) -> list[Clause]:
    """Return the clauses for one component group: `smith^*` also finds a name without given name."""
    clauses = [_like(path, pattern, field)]
    while pattern.endswith("^*") and (pattern := pattern[:-2]):
        clauses.append(_like(path, pattern, field))
    return clauses


def _like(path: str, pattern: str, field: str) -> Clause:
    start = _escaped(path).replace("*", "\\*").replace("?", "\\?") + TEXT
    return {"wildcard": {field: {"value": start + _escaped(pattern)}}}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\")


def _range(start: str, low: str | None, high: str | None, field: str) -> Clause:
    """Return a range of tokens; an open end stops where the attribute's tokens of this form stop."""
    if low is not None and low == high:
        return {"term": {field: start + low}}
    after = start[:-1] + chr(ord(start[-1]) + 1)
    return {
        "range": {
            field: {
                "gte": start + (low or ""),
                **({"lte": start + high} if high is not None else {"lt": after}),
            }
        }
    }


def _cut(form: str, value_bytes: int) -> str:
    encoded = form.encode()
    return form if len(encoded) <= value_bytes else encoded[:value_bytes].decode(errors="ignore")
