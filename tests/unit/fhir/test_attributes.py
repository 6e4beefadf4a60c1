import pytest

from app.fhir.attributes import fhir_string, items, text, unsigned
from tests.unit.fhir.dicom_json import attributes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        ("3", 3),
        (0, 0),
        (-1, None),
        (2**31, None),
        (None, None),
        ("x", None),
        ([], None),
        (float("inf"), None),
    ],
)
def test_a_number_is_one_that_fhir_can_carry(value: object, expected: int | None) -> None:
    assert unsigned(attributes(SeriesNumber=value), "SeriesNumber") == expected


def test_the_first_value_that_says_something_is_the_text() -> None:
    assert text(attributes(StudyDescription=[None, " ", "Thorax "]), "StudyDescription") == "Thorax"
    assert text({}, "StudyDescription") == ""


def test_a_string_loses_what_fhir_and_utf_8_cannot_carry() -> None:
    assert fhir_string(" a\x00b\x1bc\td\ud800 ") == "abc\td\ufffd"


def test_a_sequence_has_items_only() -> None:
    given = attributes(IssuerOfAccessionNumberSequence=[{}, None, "x"])

    assert items(given, "IssuerOfAccessionNumberSequence") == [{}]


def test_an_unknown_keyword_is_a_mistake_in_a_table() -> None:
    with pytest.raises(KeyError):
        text({}, "NoSuchKeyword")
