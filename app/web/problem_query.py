"""The query string of `/errors`, typed, and the cursor of its pages."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TypeVar

import orjson
from starlette.datastructures import QueryParams

from app.dicom.uid import is_uid
from app.errors import BadQuery
from app.index.problem_records import KINDS, STATES, ProblemKind, ProblemSearch

ANY = "all"  # of `state`
_PARAMETERS = ("kind", "study", "since", "state", "limit", "cursor")
_LIMIT = 100
_DIGITS = 6

Name = TypeVar("Name", bound=str)


def parse_search(params: QueryParams, *, most: int) -> ProblemSearch:
    """Return which records are asked for, at most `most` of them. Raises BadQuery."""
    _known(params, _PARAMETERS)
    state = _single(params, "state") or STATES[0]
    return ProblemSearch(
        kinds=parse_kinds(params.getlist("kind")),
        study_instance_uid=parse_study(_single(params, "study")),
        since=_since(_single(params, "since")),
        state=None if state == ANY else _one_of(STATES, state, "state", also=ANY),
        limit=_limit(_single(params, "limit"), most),
        after=_after(_single(params, "cursor")),
    )


def parse_retry(params: QueryParams) -> ProblemSearch:
    """Return the records whose causes are to be tried again. Raises BadQuery."""
    _known(params, ("kind", "study"))
    study = parse_study(_single(params, "study"))
    return ProblemSearch(parse_kinds(params.getlist("kind")), study, state="open")


def parse_kinds(values: Collection[str]) -> tuple[ProblemKind, ...]:
    """Return the kinds that are named, each with a comma or a parameter of its own. Raises BadQuery."""
    names = [name for value in values for name in value.split(",")]
    return tuple(_one_of(KINDS, name, "kind") for name in names)


def parse_study(value: str | None) -> str | None:
    """Return the study that is named. Raises BadQuery."""
    if value is not None and not is_uid(value):
        raise BadQuery("The parameter study is no UID.")
    return value


def write_cursor(last: tuple[int, str]) -> str:
    """Return the text that stands for a row, behind which to go on."""
    return urlsafe_b64encode(orjson.dumps(last)).decode().rstrip("=")


def _known(params: Mapping[str, str], names: Collection[str]) -> None:
    for name in params:
        if name not in names:
            raise BadQuery(f"There are the parameters {', '.join(names)}, and no other.")


def _single(params: QueryParams, name: str) -> str | None:
    values = params.getlist(name)
    if len(values) > 1:
        raise BadQuery(f"The parameter {name} is there more than once.")
    return values[0] if values else None


def _one_of(known: Collection[Name], value: str, name: str, also: str = "") -> Name:
    for each in known:
        if each == value:
            return each
    names = ", ".join([*known, also] if also else known)
    raise BadQuery(f"The parameter {name} is one of {names}.")


def _since(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(_unspaced(value))
    except ValueError as exc:
        raise BadQuery(
            "The parameter since is a date or a time such as 2026-11-21T08:00Z."
        ) from exc
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).isoformat()


def _unspaced(value: str) -> str:
    """Return a time with the + of its offset, which a query string has as a space unless it is escaped."""
    return value.replace(" ", "+") if "T" in value else value


def _limit(value: str | None, most: int) -> int:
    if value is None:
        return min(_LIMIT, most)
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:_DIGITS]) <= most:
        raise BadQuery(f"The parameter limit is a number from 1 to {most}.")
    return int(value[:_DIGITS])


def _after(value: str | None) -> tuple[int, str] | None:
    if value is None:
        return None
    try:
        found = orjson.loads(urlsafe_b64decode(value.encode() + b"=" * (-len(value) % 4)))
    except (binascii.Error, ValueError) as exc:
        raise _wrong_cursor() from exc
    match found:
        case [int(seen), str(identity)] if 0 <= seen < 2**53:
            return seen, identity
    raise _wrong_cursor()


def _wrong_cursor() -> BadQuery:
    return BadQuery("The parameter cursor is none that an answer here had.")
