"""Cursors: where in an answer to go on, as a text that means nothing to whoever carries it.

A cursor holds the sort values of the last row and how many rows were given before. It belongs to one search:
a digest over the search and the position tells a cursor of another search, or one that was damaged on its way,
from the right one. There is nothing to be gained by making one up: it only says where to begin.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import orjson

from app.dicom.qido_grammar import Query
from app.errors import BadQuery

_DIGEST_BYTES = 9

SortValue = str | None


@dataclass(frozen=True, slots=True)
class Position:
    """Behind which row to go on."""

    passed: int  # rows before, as the pages that led here counted them
    last: tuple[SortValue, ...]  # sort values of the last of them


def write_cursor(resource: str, query: Query, position: Position) -> str:
    """Return the cursor of a position in the answer to a query."""
    where = orjson.dumps([position.passed, position.last])
    return urlsafe_b64encode(_digest(resource, query, where) + where).decode().rstrip("=")


def read_cursor(resource: str, query: Query, sort_keys: int) -> Position | None:
    """Return the position that the query's cursor stands for. Raises BadQuery for a wrong cursor."""
    if query.cursor is None:
        return None
    text = query.cursor
    try:
        raw = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as exc:
        raise _wrong() from exc
    digest, where = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(resource, query, where):
        raise _wrong()
    passed, last = _understood(where)
    if len(last) != sort_keys:
        raise _wrong()
    return Position(passed, tuple(last))


def _understood(where: bytes) -> tuple[int, Sequence[SortValue]]:
    """Return what stands in a cursor, whoever wrote it."""
    try:
        found = orjson.loads(where)
    except orjson.JSONDecodeError as exc:
        raise _wrong() from exc
    match found:
        case [int(passed), [*last]] if passed >= 0 and all(
            value is None or isinstance(value, str) for value in last
        ):
            return passed, last
    raise _wrong()


def _wrong() -> BadQuery:
    return BadQuery("The parameter cursor is not one of this search: begin again without it.")


def _digest(resource: str, query: Query, where: bytes) -> bytes:
    """Return a digest of what makes two searches the same, and of a position."""
    same = repr((resource, query.scope, query.keys, query.orderby)).encode()
    return sha256(same + b"\0" + where).digest()[:_DIGEST_BYTES]
