"""One match key as an Elasticsearch clause on a field of tokens.

A wildcard, a range or a prefix on a token begins with the attribute's path, so that it looks at the values
of that attribute only.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from app.dicom.attribute_matching import (
    AllOf,
    AnyOf,
    Either,
    Empty,
    Fuzzy,
    Universal,
    Wildcard,
)
from app.dicom.attribute_path import AttributePath, dotted
from app.dicom.match_keys import Key
from app.dicom.person_name import folded, folded_name, sound, spellings
from app.dicom.range_matching import DateAndTime, Numbers, Times
from app.index.comparable import (
    NAME,
    NUMBER,
    SOUND,
    TEMPORAL,
    TEXT,
    UTC,
    WORD,
    forms_of,
    ordered_number,
)

Clause = dict[str, Any]


def key_clause(key: Key, field: str, value_bytes: int) -> Clause:
    """Return the clause that a field of tokens, of a document or of one item, has to meet.

    `value_bytes` is the length that values are cut at.
    """
    path = dotted(key.path)
    match key.matching:
        case AnyOf(values):
            clause = _equal(key.vr, path, values, field, value_bytes)
        case Wildcard(pattern):
            clause = _wildcard(key.vr, path, pattern, field)
        case Fuzzy(text, literal):
            exact = key_clause(Key(key.path, key.vr, literal), field, value_bytes)
            clause = any_of([exact, *_like_words(path, text, field)])
        case Numbers() | Times() | DateAndTime():
            clause = _between(key.path, key.vr, key.matching, field)
        case Empty():
            clause = {"bool": {"must_not": [{"term": {field: path}}]}}
        case AllOf(matchings):
            keys = (Key(key.path, key.vr, each) for each in matchings)
            clause = all_of(key_clause(each, field, value_bytes) for each in keys)
        case Either(readings):
            keys = (Key(key.path, vr, each) for vr, each in readings)
            clause = any_of([key_clause(each, field, value_bytes) for each in keys])
        case Universal():
            clause = {"match_all": {}}
    return clause


def any_of(clauses: Sequence[Clause]) -> Clause:
    """Return a clause that one of these meets."""
    if len(clauses) == 1:
        return clauses[0]
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def all_of(clauses: Iterable[Clause]) -> Clause:
    """Return a clause that all of these meet."""
    every = list(clauses)
    return every[0] if len(every) == 1 else {"bool": {"filter": every}}


def _equal(vr: str, path: str, values: Iterable[str], field: str, value_bytes: int) -> Clause:
    """Return equality with one of some values."""
    if vr == "PN":
        return any_of([_name(path, name, field, value_bytes) for name in values])
    forms = (form for value in values for form in forms_of(vr, value))
    return {"terms": {field: [path + _cut(form, value_bytes) for form in forms]}}


def _name(path: str, value: str, field: str, value_bytes: int) -> Clause:
    """Return equality with a person name: each component group that is given has to be there."""
    groups = (name for group in value.split("=") if (name := folded_name(group)))
    return all_of({"term": {field: path + _cut(NAME + name, value_bytes)}} for name in groups)


def _like_words(path: str, text: str, field: str) -> list[Clause]:
    """Return the clause for a name that has a word like each of a text's; none for a text without words."""
    words = dict.fromkeys(spellings(text))
    return [all_of(_like_word(path, word, field) for word in words)] if words else []


def _like_word(path: str, spelling: str, field: str) -> Clause:
    clauses: list[Clause] = [{"prefix": {field: {"value": path + WORD + spelling}}}]
    if (heard := sound(spelling)) is not None:
        clauses.append({"term": {field: path + SOUND + heard}})
    return any_of(clauses)


def _wildcard(vr: str, path: str, pattern: str, field: str) -> Clause:
    if vr != "PN":
        return _like(path + TEXT, pattern, field)
    groups = [group for group in folded(pattern).split("=") if group.strip("*")]
    return all_of(any_of(_name_patterns(path + NAME, group, field)) for group in groups)


def _name_patterns(start: str, pattern: str, field: str) -> list[Clause]:
    """Return the clauses for one component group: `smith^*` also finds a name without given name."""
    clauses = [_like(start, pattern, field)]
    while pattern.endswith("^*") and (pattern := pattern[:-2]):
        clauses.append(_like(start, pattern, field))
    return clauses


def _like(start: str, pattern: str, field: str) -> Clause:
    literal = _escaped(start).replace("*", "\\*").replace("?", "\\?")
    return {"wildcard": {field: {"value": literal + _escaped(pattern)}}}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\")


def _between(
    path: AttributePath, vr: str, matching: Numbers | Times | DateAndTime, field: str
) -> Clause:
    start = dotted(path)
    match matching:
        case Numbers(low, high):
            bounds = [ordered_number(end) if end is not None else None for end in (low, high)]
            return _range(start + NUMBER, bounds[0], bounds[1], field)
        case Times(earliest, latest, utc):
            return _range(start + (UTC if utc else TEMPORAL[vr]), earliest, latest, field)
        case DateAndTime():
            return _date_and_time(path, matching, field)


def _date_and_time(path: AttributePath, matching: DateAndTime, field: str) -> Clause:
    """Return the clause for a date within the range, and on its first and last day a time within it."""
    date = dotted(path) + TEMPORAL["DA"]
    time = dotted((*path[:-1], matching.time)) + TEMPORAL["TM"]
    low, high = matching.low, matching.high
    if low is not None and high is not None and low[0] == high[0]:
        return all_of([_range(date, low[0], low[0], field), _range(time, low[1], high[1], field)])
    between = {
        "gt": date + (low[0] if low is not None else ""),
        "lt": date + high[0] if high is not None else _after(date),
    }
    clauses: list[Clause] = [{"range": {field: between}}]
    if low is not None:
        clauses.append(
            all_of([{"term": {field: date + low[0]}}, _range(time, low[1], None, field)])
        )
    if high is not None:
        clauses.append(
            all_of([{"term": {field: date + high[0]}}, _range(time, None, high[1], field)])
        )
    return any_of(clauses)


def _range(start: str, low: str | None, high: str | None, field: str) -> Clause:
    """Return a range of tokens; an open end stops where the attribute's tokens of this form stop."""
    if low is not None and low == high:
        return {"term": {field: start + low}}
    last = {"lte": start + high} if high is not None else {"lt": _after(start)}
    return {"range": {field: {"gte": start + (low or ""), **last}}}


def _after(start: str) -> str:
    return start[:-1] + chr(ord(start[-1]) + 1)


def _cut(form: str, value_bytes: int) -> str:
    encoded = form.encode()
    return form if len(encoded) <= value_bytes else encoded[:value_bytes].decode(errors="ignore")
