"""Content-Type and Accept values, read leniently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.media_type import parse_content_type, split_list


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("application/dicom", ("application/dicom", {})),
        ("Application/DICOM ; Transfer-Syntax=*", ("application/dicom", {"transfer-syntax": "*"})),
        (
            'multipart/related; type="application/dicom"; boundary="a b;c"',
            ("multipart/related", {"type": "application/dicom", "boundary": "a b;c"}),
        ),
        (
            "multipart/related;type=application/dicom;boundary=abc ",
            ("multipart/related", {"type": "application/dicom", "boundary": "abc"}),
        ),
        (r'a/b; c="d\"e\\f"', ("a/b", {"c": r'd"e\f'})),
        ('a/b; c="unended', ("a/b", {"c": "unended"})),
        ("a/b; c=1; C=2", ("a/b", {"c": "1"})),
        ("a/b; c=", ("a/b", {"c": ""})),
        ("a/b;;; c = d;e", ("a/b", {"c": "d"})),
        ("", ("", {})),
    ],
)
def test_content_type_is_parsed(value: str, expected: tuple[str, dict[str, str]]) -> None:
    assert parse_content_type(value) == expected


def test_list_is_split_outside_quotes() -> None:
    value = 'multipart/related; type="a,b" , */*;q=0.1,, text/html'

    assert split_list(value) == ['multipart/related; type="a,b"', "*/*;q=0.1", "text/html"]


@given(st.text())
def test_any_text_is_parsed(value: str) -> None:
    parse_content_type(value)
    split_list(value)
