"""Rows of a search's answer (PS3.18 §10.6.3)."""

from typing import Any

import pytest

from app.dicom.instance import BASE_URL_MARK
from app.dicom.qido_grammar import Level, Scope, parse_query
from app.index.hits import answer, columns_of_rows, levels_above
from app.index.levels import COMPUTED
from app.index.packing import pack_json
from app.limits import Limits


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


ATTRIBUTES = {
    "00080016": element("UI", "1.2.840.10008.5.1.4.1.1.2"),
    "00080018": element("UI", "1.2.3.4"),
    "00080020": element("DA", "20250101"),
    "00080060": element("CS", "CT"),
    "00080061": element("CS", "CT"),
    "00081030": element("LO", "Thorax"),
    "00100010": element("PN", {"Alphabetic": "Doe^Jane"}),
    "00190010": element("LO", "ACME"),
    "00191001": element("LO", "private"),
    "0020000D": element("UI", "1.2"),
    "0020000E": element("UI", "1.2.3"),
    "00180050": element("DS", 1.5),
    "00201208": element("IS", 9),
    "00280010": element("US", 512),
    "00400275": element(
        "SQ",
        {
            "00400009": element("SH", "S"),
            "00401001": element("SH", "R"),
            "00321060": element("LO", "x"),
        },
    ),
}
SOURCE = {"metadata": pack_json(ATTRIBUTES)}


def row(level: Level, *parameters: tuple[str, str], scope: Scope | None = None) -> dict[str, Any]:
    query = parse_query(level, scope or Scope(), parameters, Limits())
    (only,) = answer(query, [SOURCE])
    return only


def test_study_row_has_its_default_attributes_and_no_others() -> None:
    found = row(Level.STUDY)

    assert found["00080061"] == element("CS", "CT")
    assert found["00201208"] == element("IS", 9)
    assert found["00081030"] == element("LO", "Thorax")
    assert not {"00080060", "00080018", "00180050", "00191001"} & found.keys()


def test_study_row_has_required_attributes_even_without_a_value() -> None:
    found = row(Level.STUDY)

    assert found["00080050"] == {"vr": "SH"}
    assert found["00100030"] == {"vr": "DA"}
    assert found["00080090"] == {"vr": "PN"}


def test_row_says_where_to_retrieve_it_and_that_it_is_online() -> None:
    assert row(Level.STUDY)["00081190"]["Value"] == [f"{BASE_URL_MARK}/studies/1.2"]
    assert row(Level.SERIES)["00081190"]["Value"] == [f"{BASE_URL_MARK}/studies/1.2/series/1.2.3"]
    assert row(Level.INSTANCE)["00081190"]["Value"] == [
        f"{BASE_URL_MARK}/studies/1.2/series/1.2.3/instances/1.2.3.4"
    ]
    assert row(Level.INSTANCE)["00080056"]["Value"] == ["ONLINE"]


def test_tags_ascend() -> None:
    for level in Level:
        assert list(row(level)) == sorted(row(level))


def test_levels_that_the_url_leaves_open_are_in_the_row() -> None:
    everywhere = row(Level.INSTANCE)
    of_study = row(Level.INSTANCE, scope=Scope("1.2"))
    of_series = row(Level.INSTANCE, scope=Scope("1.2", "1.2.3"))

    assert {"00100010", "00080060", "00280010"} <= everywhere.keys()
    assert "00100010" not in of_study
    assert "00080060" in of_study
    assert not {"00100010", "00080060"} & of_series.keys()
    assert {"0020000D", "0020000E", "00080018", "00280010"} <= of_series.keys()


def test_sequence_is_cut_down_to_its_default_attributes() -> None:
    (item,) = row(Level.SERIES)["00400275"]["Value"]

    assert item.keys() == {"00400009", "00401001"}


def test_sequence_that_is_asked_for_comes_whole() -> None:
    (item,) = row(Level.SERIES, ("includefield", "RequestAttributesSequence"))["00400275"]["Value"]

    assert item.keys() == {"00400009", "00401001", "00321060"}


def test_nested_attribute_that_is_asked_for_comes_beside_the_default_ones() -> None:
    (item,) = row(Level.SERIES, ("includefield", "00400275.00321060"))["00400275"]["Value"]

    assert item.keys() == {"00400009", "00401001", "00321060"}


def test_included_and_matched_attributes_are_in_the_row() -> None:
    found = row(Level.INSTANCE, ("includefield", "SliceThickness"), ("StudyDescription", "Th*"))

    assert found["00180050"] == element("DS", 1.5)
    assert found["00081030"] == element("LO", "Thorax")


def test_key_without_value_asks_for_the_attribute() -> None:
    """Universal matching (PS3.4 §C.2.2.2.3)."""
    assert "00180050" in row(Level.INSTANCE, ("SliceThickness", ""))


def test_private_attribute_comes_with_what_reserves_its_block() -> None:
    found = row(Level.INSTANCE, ("0019E101", ""), ("001900E1", "ACME"))

    assert found["00191001"] == element("LO", "private")
    assert found["00190010"] == element("LO", "ACME")


def test_all_fields_are_everything_that_the_document_has() -> None:
    found = row(Level.INSTANCE, ("includefield", "all"))

    assert ATTRIBUTES.keys() - COMPUTED.keys() <= found.keys()


def test_counts_of_an_object_mean_nothing_below_the_level_that_is_counted() -> None:
    """An object may carry (0020,1208) as its sender saw it; only the study's document knows."""
    found = row(Level.INSTANCE, ("includefield", "all"))

    assert not COMPUTED.keys() & found.keys()


def test_counts_of_the_levels_above_come_from_their_documents() -> None:
    study = {"0020000D": element("UI", "1.2"), "00201208": element("IS", 7), "00081030": {}}
    series = {"0020000E": element("UI", "1.2.3"), "00201209": element("IS", 3)}
    above = {
        Level.STUDY: [{"metadata": pack_json(study)}] * 2,
        Level.SERIES: [{"metadata": pack_json(series)}] * 2,
    }
    query = parse_query(Level.INSTANCE, Scope(), [], Limits())

    assert levels_above(query) == (Level.SERIES, Level.STUDY)
    for found in answer(query, [SOURCE, SOURCE], above):
        assert found["00201208"] == element("IS", 7)
        assert found["00201209"] == element("IS", 3)
        assert found["00081030"] == element("LO", "Thorax")  # of the object that matched


def test_row_whose_study_was_deleted_meanwhile_has_no_counts() -> None:
    query = parse_query(Level.SERIES, Scope(), [], Limits())

    (found,) = answer(query, [SOURCE], {Level.STUDY: [None]})

    assert "00201208" not in found


@pytest.mark.parametrize(
    ("level", "scope", "include", "levels"),
    [
        (Level.STUDY, Scope(), "all", ()),
        (Level.SERIES, Scope(), "", (Level.STUDY,)),
        (Level.SERIES, Scope("1.2"), "", ()),
        (Level.SERIES, Scope("1.2"), "ModalitiesInStudy", (Level.STUDY,)),
        (Level.INSTANCE, Scope("1.2"), "", (Level.SERIES,)),
        (Level.INSTANCE, Scope("1.2", "1.2.3"), "", ()),
        (Level.INSTANCE, Scope("1.2", "1.2.3"), "all", (Level.SERIES, Level.STUDY)),
    ],
)
def test_only_the_documents_that_rows_need_are_fetched(
    level: Level, scope: Scope, include: str, levels: tuple[Level, ...]
) -> None:
    query = parse_query(level, scope, [("includefield", include)], Limits())

    assert levels_above(query) == levels


def test_columns_are_what_rows_have() -> None:
    """PS3.18 §10.6.3: of each level the columns of a table are known before the rows."""
    for level in Level:
        query = parse_query(level, Scope(), [("includefield", "00400275.00321060")], Limits())
        columns = columns_of_rows(query)
        assert columns is not None
        assert columns == sorted(columns)
        assert {path[0] for path in columns} >= row(level).keys()
    every = parse_query(Level.STUDY, Scope(), [("includefield", "all")], Limits())
    assert columns_of_rows(every) is None


def test_attribute_of_a_lower_level_is_left_out_silently() -> None:
    query = parse_query(Level.STUDY, Scope(), [("includefield", "00080060")], Limits())
    study = {tag: each for tag, each in ATTRIBUTES.items() if tag != "00080060"}

    (found,) = answer(query, [{"metadata": pack_json(study)}])

    assert "00080060" not in found
    assert query.warnings == ()
