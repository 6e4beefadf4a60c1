"""What answers are sorted by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.errors import BadQuery
from app.index.levels import columns_of_instances
from app.index.ordering import LONGEST, MOST, column_values, is_column, sort_of
from app.index.tokens import indexed_values
from app.limits import Limits


def query(level: Level, *parameters: tuple[str, str]) -> Query:
    return parse_query(level, Scope(), parameters, Limits())


def values(vr: str, *given_values: Any) -> list[str]:
    attributes = {"00100010": {"vr": vr, "Value": list(given_values)}}
    tokens = indexed_values(attributes, Limits()).tokens
    return column_values(tokens, attributes).get("00100010", [])


def test_without_orderby_newest_studies_come_first() -> None:
    assert sort_of(query(Level.STUDY)) == [{"order": "asc"}]


def test_every_order_is_made_total() -> None:
    asked = query(Level.STUDY, ("orderby", "-StudyDate,00100010"))

    assert sort_of(asked) == [
        {"values.00080020": {"order": "desc", "missing": "_last"}},
        {"values.00100010": {"order": "asc", "missing": "_last"}},
        {"order": "asc"},
    ]


@pytest.mark.parametrize(
    ("level", "name", "sortable"),
    [
        (Level.STUDY, "PatientName", True),
        (Level.STUDY, "NumberOfStudyRelatedInstances", True),
        (Level.STUDY, "ModalitiesInStudy", True),
        (Level.STUDY, "SeriesNumber", False),
        (Level.STUDY, "ProcedureCodeSequence", False),
        (Level.SERIES, "Manufacturer", True),
        (Level.SERIES, "PatientID", True),
        (Level.SERIES, "NumberOfStudyRelatedInstances", False),
        (Level.SERIES, "InstanceNumber", False),
        (Level.INSTANCE, "InstanceNumber", True),
        (Level.INSTANCE, "SliceLocation", True),
        (Level.INSTANCE, "KVP", False),
        (Level.INSTANCE, "00091001", False),
    ],
)
def test_entries_are_sorted_by_what_their_documents_hold(
    level: Level, name: str, sortable: bool
) -> None:
    asked = query(level, ("orderby", name))

    assert is_column(level, asked.orderby[0].tag) is sortable
    if sortable:
        assert len(sort_of(asked)) == 2
    else:
        with pytest.raises(BadQuery, match=asked.orderby[0].tag):
            sort_of(asked)


@pytest.mark.parametrize(
    "text", ["NoSuchKeyword", "Modality,", "RequestAttributesSequence.StudyID"]
)
def test_orderby_that_names_no_attribute_is_refused(text: str) -> None:
    if text.endswith(","):
        assert len(query(Level.SERIES, ("orderby", text)).orderby) == 1
        return
    with pytest.raises(BadQuery, match="orderby"):
        query(Level.STUDY, ("orderby", text))


def test_orderby_has_a_limit() -> None:
    most = Limits().query_order_keys
    tags = ",".join(f"0010{number:04X}" for number in range(0x1000, 0x1001 + most))

    with pytest.raises(BadQuery, match=str(most)):
        query(Level.STUDY, ("orderby", tags))


def test_cursor_and_offset_do_not_go_together() -> None:
    with pytest.raises(BadQuery, match="cursor"):
        query(Level.STUDY, ("cursor", "x"), ("offset", "1"))


@given(st.lists(st.floats(allow_nan=False, width=32), min_size=2))
def test_numbers_sort_as_numbers(numbers: list[float]) -> None:
    keys = [values("DS", number) for number in numbers]

    assert [number for _, number in sorted(zip(keys, numbers, strict=True))] == sorted(numbers)


def test_names_sort_without_case_and_accents() -> None:
    names = ["Zorn", "ärmel", "Anna", "ÄRMEL^B"]
    keys = {values("PN", {"Alphabetic": name})[0]: name for name in names}

    assert [keys[key] for key in sorted(keys)] == ["Anna", "ärmel", "ÄRMEL^B", "Zorn"]


def test_long_and_many_values_are_cut() -> None:
    assert values("LO", "b", None, "a") == ["=b", "=a"]
    assert values("UT", "x" * 10_000) == ["=" + "x" * (LONGEST - 1)]
    assert len(values("DS", *range(1000))) == MOST


@pytest.mark.parametrize("vr", ["OB", "DA"])
def test_what_cannot_be_compared_is_left_out(vr: str) -> None:
    assert values(vr, "never") == []


def test_only_attributes_of_the_document_itself_are_columns() -> None:
    """Not those of a sequence's items, and no attribute that has no value."""
    item = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Within"}]}}
    attributes = {"00081110": {"vr": "SQ", "Value": [item, item]}, "00100020": {"vr": "LO"}}
    tokens = indexed_values(attributes, Limits()).tokens

    assert column_values(tokens, {"00081110", "00100010", "00100020"}) == {}


def test_name_stands_for_its_first_group() -> None:
    assert values("PN", {"Alphabetic": "Yamada^Taro", "Ideographic": "山田^太郎"}) == [
        "^yamada^taro"
    ]


def test_instances_can_be_sorted_by_a_few_attributes_only() -> None:
    """There are many of them: each name costs some bytes in every document."""
    assert len(columns_of_instances()) < 24
