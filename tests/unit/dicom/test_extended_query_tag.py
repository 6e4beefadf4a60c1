from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.extended_query_tag import (
    ExtendedQueryTag,
    parse_query_status,
    parse_tags,
    tag_in_path,
)
from app.dicom.qido_grammar import Level
from app.errors import BadRequest
from app.limits import Limits

LIMITS = Limits()
PRIVATE = {"Path": "04011001", "VR": "SS", "PrivateCreator": "MicrosoftPC", "Level": "Instance"}


def refusal(*entries: Any) -> str:
    with pytest.raises(BadRequest) as raised:
        parse_tags(list(entries), LIMITS)
    return raised.value.message


def test_a_standard_tag_takes_its_vr_from_the_dictionary() -> None:
    assert parse_tags([{"Path": "ManufacturerModelName", "Level": "Series"}], LIMITS) == [
        ExtendedQueryTag("00081090", "LO", Level.SERIES)
    ]


def test_property_names_and_values_count_in_any_case() -> None:
    assert parse_tags([{"path": "0040a30a", "level": "STUDY"}], LIMITS) == parse_tags(
        [{"PATH": "0040A30A", "Level": "Study"}], LIMITS
    )


def test_a_private_tag_is_known_by_creator_and_element_wherever_its_block_lies() -> None:
    (tag,) = parse_tags([PRIVATE], LIMITS)
    assert tag.step == '0401"MicrosoftPC"01'
    (elsewhere,) = parse_tags([{**PRIVATE, "Path": "04014201"}], LIMITS)
    assert elsewhere.step == tag.step


def test_levels_as_numbers_of_the_client_library_are_understood() -> None:
    numbers = [parse_tags([{"Path": "PatientAge", "Level": n}], LIMITS)[0].level for n in range(3)]
    assert numbers == [Level.INSTANCE, Level.SERIES, Level.STUDY]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"Path": "NoSuchKeyword", "Level": "Study"}, "Path"),
        ({"Path": "00081140.00081155", "Level": "Study"}, "Path"),
        ({"Path": "PatientAge"}, "Level"),
        ({"Path": "PatientAge", "Level": "Patient"}, "Level"),
        ({"Path": "PatientAge", "Level": "Study", "VR": "LO"}, "VR is not AS"),
        ({"Path": "PatientAge", "Level": "Study", "PrivateCreator": "X"}, "PrivateCreator"),
        ({"Path": "ReferencedImageSequence", "Level": "Study"}, "VR"),
        ({"Path": "PixelData", "Level": "Study"}, "VR"),
        ({"Path": "00091001", "Level": "Study", "VR": "LO"}, "PrivateCreator is missing"),
        ({"Path": "00091001", "Level": "Study", "PrivateCreator": "X"}, "VR is missing"),
        ({**PRIVATE, "VR": "SQ"}, "VR"),
        ({**PRIVATE, "Path": "04010001"}, "no private attribute"),
        ({**PRIVATE, "PrivateCreator": "x" * 65}, "PrivateCreator"),
        ({"Path": "PatientAge", "Level": "Study", "Colour": "red"}, "property"),
        ({"Path": 7, "Level": "Study"}, "Path is no text"),
        ("PatientAge", "no JSON object"),
    ],
)
def test_a_bad_entry_is_refused_by_number_and_reason(entry: Any, said: str) -> None:
    message = refusal({"Path": "PatientSize", "Level": "Study"}, entry)
    assert "tag 2 of the body" in message
    assert said in message


def test_a_body_that_is_no_list_is_empty_or_names_a_tag_twice_is_refused() -> None:
    assert "list" in refusal()
    assert "twice" in refusal(
        {"Path": "PatientAge", "Level": "Study"}, {"Path": "00101010", "Level": "Series"}
    )
    with pytest.raises(BadRequest):
        parse_tags({"Path": "PatientAge"}, LIMITS)


def test_more_tags_than_the_limit_are_refused() -> None:
    few = Limits(extended_query_tags=1)
    with pytest.raises(BadRequest, match="extended_query_tags"):
        parse_tags([{"Path": "PatientAge", "Level": "Study"}] * 2, few)


@pytest.mark.parametrize(
    ("body", "enabled"),
    [
        ({"QueryStatus": "Enabled"}, True),
        ({"queryStatus": "disabled"}, False),
        ({"QueryStatus": 1}, True),
        ({"QueryStatus": 0}, False),
    ],
)
def test_a_query_status_is_understood(body: Any, enabled: bool) -> None:
    assert parse_query_status(body) is enabled


@pytest.mark.parametrize(
    "body", [{}, [], {"QueryStatus": "maybe"}, {"QueryStatus": True}, {"Level": "Study"}]
)
def test_what_is_no_query_status_is_refused(body: Any) -> None:
    with pytest.raises(BadRequest):
        parse_query_status(body)


def test_a_path_names_a_tag_by_keyword_or_digits() -> None:
    assert tag_in_path("PatientAge") == tag_in_path("00101010") == "00101010"
    with pytest.raises(BadRequest):
        tag_in_path("PatientAge.1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Path", "VR", "Level", "PrivateCreator", "x"]), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_understood_or_refused(body: Any) -> None:
    try:
        tags = parse_tags(body, LIMITS)
    except BadRequest:
        return
    assert all(tag.step for tag in tags)
