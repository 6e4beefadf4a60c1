"""The query string of a search, as a typed query (PS3.18 §8.3.4, §10.6.1.2).

Lenient where clients are: keywords and hex tags in any case, UID lists with commas or backslashes,
`includefield` repeated or comma-separated. Strict where a slip would silently change the answer: a name that
looks like an attribute but is none, a value that its VR does not allow, an attribute named twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.dicom.attribute_matching import AnyOf, Flags
from app.dicom.attribute_path import AttributePath
from app.dicom.match_keys import (
    NEVER_MATCHED,
    Key,
    dotted_tags,
    match_keys,
    names_attribute,
    printable,
    resolved,
)
from app.dicom.qido_ordering import OrderKey, parse_order
from app.errors import BadQuery
from app.limits import Limits

ALL_FIELDS = "all"
_FLAGS = ("fuzzymatching", "emptyvaluematching", "multiplevaluematching")
_OPTIONS = ("limit", "offset", "orderby", "cursor", *_FLAGS)
_ABOUT_THE_ANSWER = frozenset({"accept", "charset"})  # PS3.18 §8.3.3
_STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID = "0020000D", "0020000E"
_MOST_DIGITS = 18


class Level(StrEnum):
    """What a search returns."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Scope:
    """The study and series that the URL names."""

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A search, understood."""

    level: Level
    scope: Scope
    keys: tuple[Key, ...]
    limit: int
    offset: int
    include_all: bool = False
    include: tuple[AttributePath, ...] = ()
    orderby: tuple[OrderKey, ...] = ()
    cursor: str | None = None  # as it was given; `app.index.cursor` reads it
    warnings: tuple[str, ...] = ()  # texts of Warning: 299


def parse_query(
    level: Level, scope: Scope, parameters: Sequence[tuple[str, str]], limits: Limits
) -> Query:
    """Return the query that the parameters ask for. Raises BadQuery, naming the parameter."""
    single, fields, ignored = _sorted_out(parameters)
    flags = Flags(**{name: _flag(name, single.pop(name)) for name in _FLAGS if name in single})
    limit = _count("limit", single.pop("limit", None), limits.query_results)
    offset = _count("offset", single.pop("offset", None), 0)
    orderby = parse_order([single.pop("orderby", "")], limits.query_order_keys)
    cursor = single.pop("cursor", None)
    if cursor is not None and offset:
        raise BadQuery("The parameter offset cannot go together with cursor.")
    if len(single) > limits.query_keys:
        raise BadQuery(f"The query has more than {limits.query_keys} match keys.")
    keys = tuple(match_keys(single, flags, limits))
    include, not_included = _included(fields, single)
    return Query(
        level=level,
        scope=scope,
        keys=keys,
        limit=min(limit, limits.query_results_max),
        offset=offset,
        include_all=ALL_FIELDS in fields,
        include=include,
        orderby=orderby,
        cursor=cursor,
        warnings=tuple(
            [f"The parameter {name} is not supported and was ignored" for name in ignored]
            + [f"The attribute {name} is not matched" for name in single if name in NEVER_MATCHED]
            + [
                f"The includefield {name} is not an attribute and was ignored"
                for name in not_included
            ]
        ),
    )


def _sorted_out(
    parameters: Iterable[tuple[str, str]],
) -> tuple[dict[str, str], list[str], list[str]]:
    """Return match keys and options by name, the included fields, and names that mean nothing here."""
    single: dict[str, str] = {}
    fields: list[str] = []
    ignored: list[str] = []
    for name, value in parameters:
        lower = name.lower()
        if lower == "includefield":
            fields += [field.strip() for field in value.split(",") if field.strip()]
        elif lower in _OPTIONS:
            _once(single, lower, value)
        elif lower in _ABOUT_THE_ANSWER:
            continue
        elif names_attribute(name):
            _once(single, dotted_tags(name), value)
        else:
            ignored.append(printable(name))
    return single, fields, ignored


def _once(single: dict[str, str], name: str, value: str) -> None:
    if name in single:
        raise BadQuery(f"The parameter {name} occurs more than once.")
    single[name] = value


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise BadQuery(f"The parameter {name} is neither true nor false.")
    return value.lower() == "true"


def _count(name: str, value: str | None, default: int) -> int:
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()):
        raise BadQuery(f"The parameter {name} is not a number from 0.")
    return int(value) if len(value) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _included(
    fields: Iterable[str], single: Mapping[str, str]
) -> tuple[tuple[AttributePath, ...], list[str]]:
    """Return the paths of included fields, and the names that are no attributes."""
    paths: dict[AttributePath, None] = {}
    unknown: list[str] = []
    for field in fields:
        if field == ALL_FIELDS:
            continue
        try:
            path, _ = resolved(dotted_tags(field), single)
        except BadQuery:
            unknown.append(printable(field))
            continue
        paths[path] = None
    return tuple(paths), unknown


def scope_keys(scope: Scope) -> tuple[Key, ...]:
    """Return the match keys that the URL stands for."""
    named = (
        (_STUDY_INSTANCE_UID, scope.study_instance_uid),
        (_SERIES_INSTANCE_UID, scope.series_instance_uid),
    )
    return tuple(Key((tag,), "UI", AnyOf((uid,))) for tag, uid in named if uid is not None)
