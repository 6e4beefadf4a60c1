"""The query string of a search, as a typed query (PS3.18 §8.3.4, §10.6.1.2).

Lenient where clients are: keywords and hex tags in any case, UID lists with commas or backslashes,
`includefield` repeated or comma-separated. Strict where a slip would silently change the answer: a name that
looks like an attribute but is none, a value that its VR does not allow, an attribute named twice.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.dicom.attribute_matching import (
    AllOf,
    AnyOf,
    Flags,
    Matching,
    Wildcard,
    Words,
    matching_of,
)
from app.dicom.attribute_path import (
    UNKNOWN_VR,
    AttributePath,
    creator_tag,
    is_private,
    is_private_creator,
    private_step,
    tag_of,
    vr_of,
)
from app.dicom.wildcard_pattern import is_affordable
from app.errors import BadQuery
from app.limits import Limits

ALL_FIELDS = "all"
_FLAGS = ("fuzzymatching", "emptyvaluematching", "multiplevaluematching")
_ABOUT_THE_ANSWER = frozenset({"accept", "charset"})  # PS3.18 §8.3.3
# SpecificCharacterSet (PS3.4 §C.2.2.2), InstanceAvailability, RetrieveURL: returned, never matched
_NEVER_MATCHED = frozenset({"00080005", "00080056", "00081190"})
_ATTRIBUTE_LIKE = re.compile(r"(?:[0-9A-Fa-f]{8}|[A-Z][A-Za-z0-9]+)(?:\.\w+)*")
_STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID = "0020000D", "0020000E"
_MOST_DIGITS = 18
_NAME_SHOWN = 64
_LONGEST_CREATOR = 64  # characters of an LO
_DEEPEST_PATH = 64  # nesting that no object is kept with (app.limits)


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
class Key:
    """One attribute to match."""

    path: AttributePath
    vr: str
    matching: Matching


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
    warnings: tuple[str, ...] = ()  # texts of Warning: 299


def parse_query(
    level: Level, scope: Scope, parameters: Sequence[tuple[str, str]], limits: Limits
) -> Query:
    """Return the query that the parameters ask for. Raises BadQuery, naming the parameter."""
    single, fields, ignored = _sorted_out(parameters)
    flags = Flags(**{name: _flag(name, single.pop(name)) for name in _FLAGS if name in single})
    limit = _count("limit", single.pop("limit", None), limits.query_results)
    offset = _count("offset", single.pop("offset", None), 0)
    if len(single) > limits.query_keys:
        raise BadQuery(f"The query has more than {limits.query_keys} match keys.")
    keys = tuple(_keys(single, flags, limits))
    include, not_included = _included(fields, single)
    return Query(
        level=level,
        scope=scope,
        keys=keys,
        limit=min(limit, limits.query_results_max),
        offset=offset,
        include_all=ALL_FIELDS in fields,
        include=include,
        warnings=tuple(
            [f"The parameter {name} is not supported and was ignored" for name in ignored]
            + [f"The attribute {name} is not matched" for name in single if name in _NEVER_MATCHED]
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
        elif lower in ("limit", "offset", *_FLAGS):
            _once(single, lower, value)
        elif lower in _ABOUT_THE_ANSWER:
            continue
        elif _ATTRIBUTE_LIKE.fullmatch(name) or tag_of(name.split(".")[0]) is not None:
            _once(single, ".".join(_tags(name)), value)
        else:
            ignored.append(_printable(name))
    return single, fields, ignored


def _once(single: dict[str, str], name: str, value: str) -> None:
    if name in single:
        raise BadQuery(f"The parameter {name} occurs more than once.")
    single[name] = value


def _tags(name: str) -> list[str]:
    """Return the tags of a dotted name."""
    if name.count(".") > _DEEPEST_PATH:
        raise BadQuery(f"The parameter {_printable(name)}… names too many levels.")
    tags = [tag_of(part) for part in name.split(".")]
    known = [tag for tag in tags if tag is not None]
    if len(known) < len(tags):
        raise BadQuery(
            f"The parameter {_printable(name)} is not an attribute of the DICOM dictionary."
        )
    if known[0] < "00080000":
        raise BadQuery(f"The parameter {_printable(name)} is not an attribute of a data set.")
    return known


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


def _keys(single: Mapping[str, str], flags: Flags, limits: Limits) -> Iterable[Key]:
    """Yield the match keys; a private creator that qualifies another key is none itself."""
    for name, value in single.items():
        path, qualifiers = _resolved(name.split("."), single)
        if is_private_creator(name[-8:]) and _qualifies(name, single):
            continue
        vr = _vr(name, qualifiers)
        matching = matching_of(vr, "" if name in _NEVER_MATCHED else value, flags)
        if matching is None:
            raise BadQuery(f"The value of {name} is not valid for its value representation ({vr}).")
        _refuse_excess(name, matching, limits)
        yield Key(path, vr, matching)


def _refuse_excess(name: str, matching: Matching, limits: Limits) -> None:
    match matching:
        case AnyOf(values) | AllOf(values) if len(values) > limits.query_values:
            raise BadQuery(f"The parameter {name} has more than {limits.query_values} values.")
        case Wildcard(pattern) if len(pattern) > limits.index_value_bytes:
            raise BadQuery(f"The pattern of {name} is longer than {limits.index_value_bytes}.")
        case Wildcard(pattern) if not is_affordable(pattern):
            raise BadQuery(f"The pattern of {name} has too many wildcards.")
        case Words(words) if len(words) > limits.query_keys:
            raise BadQuery(f"The parameter {name} has more than {limits.query_keys} words.")


def _resolved(
    tags: Sequence[str], single: Mapping[str, str]
) -> tuple[AttributePath, tuple[str | None, ...]]:
    """Return the path of dotted tags, with the creators of its private steps (PS3.18 §8.3.4.1)."""
    steps: list[str] = []
    creators: list[str | None] = []
    for depth, tag in enumerate(tags):
        creator = None
        step = tag
        if is_private_creator(tag):
            step = f"{tag[:4]}0010"
        elif is_private(tag):
            reserving = ".".join([*tags[:depth], creator_tag(tag)])
            creator = single.get(reserving, "").strip()
            if not creator:
                raise BadQuery(
                    f"The private attribute {'.'.join(tags)} needs its Private Creator: "
                    f"{reserving}=<name>."
                )
            if len(creator) > _LONGEST_CREATOR:
                raise BadQuery(f"The parameter {reserving} is too long to be a Private Creator.")
            step = private_step(tag, creator)
        steps.append(step)
        creators.append(creator)
    return tuple(steps), tuple(creators)


def _qualifies(name: str, single: Mapping[str, str]) -> bool:
    """Tell whether a private creator parameter is there for the sake of another."""
    before, block = name[:-8], name[-2:]
    start = f"{before}{name[-8:-4]}{block}"
    return any(other != name and other.startswith(start) for other in single)


def _vr(name: str, creators: Sequence[str | None]) -> str:
    """Return the VR of the last step, after making sure that those before are sequences."""
    tags = name.split(".")
    for tag, creator in zip(tags[:-1], creators[:-1], strict=True):
        if vr_of(tag, creator) not in ("SQ", UNKNOWN_VR):
            raise BadQuery(f"The parameter {name} goes through {tag}, which is not a sequence.")
    return vr_of(tags[-1], creators[-1])


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
            path, _ = _resolved(_tags(field), single)
        except BadQuery:
            unknown.append(_printable(field))
            continue
        paths[path] = None
    return tuple(paths), unknown


def _printable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "?", name)[:_NAME_SHOWN]


def scope_keys(scope: Scope) -> tuple[Key, ...]:
    """Return the match keys that the URL stands for."""
    named = (
        (_STUDY_INSTANCE_UID, scope.study_instance_uid),
        (_SERIES_INSTANCE_UID, scope.series_instance_uid),
    )
    return tuple(Key((tag,), "UI", AnyOf((uid,))) for tag, uid in named if uid is not None)
