"""Which document holds which attribute."""

import pytest

from app.dicom.qido_grammar import Level
from app.index.levels import COMPUTED, level_of, returned, returned_empty, tags_of
from app.index.mappings import index_mappings
from app.index.paging import WINDOW
from app.index.query import JOINED_MOST
from app.index.steps import INDEX


@pytest.mark.parametrize(
    ("tag", "level"),
    [
        ("00100010", Level.STUDY),
        ("00080050", Level.STUDY),
        ("0020000D", Level.STUDY),
        ("00080060", Level.SERIES),
        ("00400275", Level.SERIES),
        ("00080070", Level.SERIES),
        ("00080018", Level.INSTANCE),
        ("00180050", Level.INSTANCE),
        ("00091001", Level.INSTANCE),
    ],
)
def test_attribute_belongs_to_the_level_of_its_module(tag: str, level: Level) -> None:
    """PS3.3 §C.7."""
    assert level_of(tag) is level


def test_series_documents_hold_what_study_documents_hold() -> None:
    assert tags_of(Level.STUDY) < tags_of(Level.SERIES)


def test_counted_attributes_come_from_no_object() -> None:
    assert not COMPUTED.keys() & tags_of(Level.SERIES)


def test_required_return_attributes_are_returned_by_default() -> None:
    """PS3.18 Tables 10.6.3-3 to 10.6.3-5."""
    study = {path[0] for path in returned(Level.STUDY)}
    series = {".".join(path) for path in returned(Level.SERIES)}
    instance = {path[0] for path in returned(Level.INSTANCE)}

    assert study >= set(
        "00080020 00080030 00080050 00080061 00080090 00080201 00100010 00100020 00100030 "  # noqa: SIM905
        "00100040 0020000D 00200010 00201206 00201208".split()
    )
    assert series >= set(
        "00080060 00080201 0008103E 0020000E 00200011 00201209 00400244 00400245 "  # noqa: SIM905
        "00400275.00400009 00400275.00401001".split()
    )
    assert instance >= set(
        "00080016 00080018 00080201 00200013 00280008 00280010 00280011 00280100".split()  # noqa: SIM905
    )
    assert set(returned_empty()) < study


def test_every_index_has_a_version_and_a_bounded_mapping() -> None:
    """Whatever comes, no object can add a field."""
    for definition in index_mappings().values():
        assert definition["version"] >= 1
        assert definition["mappings"]["dynamic"] is False


def test_planner_and_index_agree_on_what_one_request_reaches() -> None:
    definitions = index_mappings()
    for name in INDEX.values():
        settings = definitions[name]["settings"]["index"]
        assert settings["max_result_window"] == WINDOW
        assert settings["max_terms_count"] == JOINED_MOST
