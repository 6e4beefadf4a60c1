"""Cursors: opaque, and of one search only."""

from base64 import urlsafe_b64encode
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.errors import BadQuery
from app.index.cursor import Position, _digest, read_cursor, write_cursor
from app.limits import Limits


def query(*parameters: tuple[str, str], level: Level = Level.STUDY) -> Query:
    return parse_query(level, Scope(), parameters, Limits())


POSITION = Position(20, ("smith", None, "0001"))
ASKED = query(("PatientName", "S*"), ("orderby", "PatientName,-StudyDate"))


@given(st.integers(0, 10**9), st.lists(st.none() | st.text(), min_size=1, max_size=5))
def test_cursor_says_where_it_was_written(passed: int, last: list[str | None]) -> None:
    position = Position(passed, tuple(last))
    cursor = write_cursor("study", ASKED, position)

    assert read_cursor("study", replace(ASKED, cursor=cursor), len(last)) == position
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_limit_and_fields_may_change_from_page_to_page() -> None:
    cursor = write_cursor("study", ASKED, POSITION)
    other = replace(ASKED, cursor=cursor, limit=3, include_all=True)

    assert read_cursor("study", other, 3) == POSITION


def test_search_without_a_cursor_begins_at_the_beginning() -> None:
    assert read_cursor("study", ASKED, 3) is None


@pytest.mark.parametrize(
    "other",
    [
        query(("PatientName", "T*"), ("orderby", "PatientName,-StudyDate")),
        query(("PatientName", "S*"), ("orderby", "PatientName,StudyDate")),
        query(("PatientName", "S*")),
        replace(ASKED, scope=Scope("1.2")),
    ],
)
def test_cursor_of_another_search_is_refused(other: Query) -> None:
    cursor = write_cursor("study", ASKED, POSITION)

    with pytest.raises(BadQuery, match="cursor"):
        read_cursor("study", replace(other, cursor=cursor), 3)
    with pytest.raises(BadQuery, match="cursor"):
        read_cursor("patient", replace(ASKED, cursor=cursor), 3)


@given(st.data())
def test_damaged_cursor_is_refused(data: st.DataObject) -> None:
    cursor = write_cursor("study", ASKED, POSITION)
    at = data.draw(st.integers(0, len(cursor) - 2))  # the last digit has bits that mean nothing
    digit = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda each: each != cursor[at]))

    with pytest.raises(BadQuery, match="cursor"):
        read_cursor("study", replace(ASKED, cursor=cursor[:at] + digit + cursor[at + 1 :]), 3)


@given(st.text(max_size=200))
def test_made_up_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadQuery, match="cursor"):
        read_cursor("study", replace(ASKED, cursor=text), 3)


@pytest.mark.parametrize(
    "where",
    [b"", b"[", b"7", b"[1]", b"[-1,[null]]", b'["1",[null]]', b"[1,[2]]", b"[1,[[]]]", b"[1,[]]"],
)
def test_well_signed_nonsense_is_refused_too(where: bytes) -> None:
    """The digest is no secret: whoever writes his own cursor still gets a 400."""
    raw = _digest("study", ASKED, where) + where
    cursor = urlsafe_b64encode(raw).decode().rstrip("=")

    with pytest.raises(BadQuery, match="cursor"):
        read_cursor("study", replace(ASKED, cursor=cursor), 1)


def test_cursor_with_too_few_values_is_refused() -> None:
    where = orjson.dumps([1, ["a"]])
    cursor = urlsafe_b64encode(_digest("study", ASKED, where) + where).decode()

    with pytest.raises(BadQuery, match="cursor"):
        read_cursor("study", replace(ASKED, cursor=cursor), 2)
