"""The page about matching says what the grammar understands."""

import re
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from app.dicom.qido_grammar import Level, Scope, parse_query
from app.limits import Limits

PAGE = (Path(__file__).parents[3] / "docs" / "dicomweb" / "matching.md").read_text("utf-8")
LAST_CELL = re.compile(r"^\|.*\| `([^`]*)` \|$", re.MULTILINE)
EXAMPLES = LAST_CELL.findall(PAGE[: PAGE.index("### Case and spelling")])


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_a_query(example: str) -> None:
    """Each example of the page, typed into a URL as it stands there, asks for something."""
    query = parse_query(Level.STUDY, Scope(), parse_qsl(example, keep_blank_values=True), Limits())

    assert query.keys
    assert query.warnings == ()


def test_every_kind_of_matching_has_an_example() -> None:
    kinds: set[str] = set()
    for example in EXAMPLES:
        parameters = parse_qsl(example, keep_blank_values=True)
        keys = parse_query(Level.STUDY, Scope(), parameters, Limits()).keys
        kinds |= {type(key.matching).__name__ for key in keys}

    assert len(EXAMPLES) > 20
    assert kinds >= {
        "AllOf", "AnyOf", "DateAndTime", "Empty", "Fuzzy", "Numbers", "Times", "Universal", "Wildcard",
    }  # fmt: skip
