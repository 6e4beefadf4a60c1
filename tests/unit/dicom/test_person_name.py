"""Person names in the forms in which they are compared."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dicom.person_name import folded, folded_name, sound, spellings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MÜLLER", "müller"),
        ("Müller", "Muller"),
        ("Łukasz", "lukasz"),
        ("Strauß", "STRAUSS"),
        ("Søren", "soren"),
        ("José", "José"),
        ("\uff39\uff21\uff2d\uff21", "yama"),
    ],
)
def test_names_that_differ_by_case_or_accent_are_folded_alike(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@given(st.text())
def test_folding_twice_is_folding_once_for_names(text: str) -> None:
    once = folded_name(text)

    assert folded_name(once) == once


def test_empty_components_and_spaces_of_a_name_do_not_count() -> None:
    assert folded_name(" Doe ^ John^^ ^") == "doe^john"


@pytest.mark.parametrize(
    "variants",
    [
        ["Müller", "Mueller", "Muller", "MÜLLER", "Mu\u0308ller"],
        ["Strauß", "Strauss", "STRAUSS"],
        ["Søren", "Soeren", "Soren", "Sören"],
        ["Åse", "Aase", "Ase"],
        ["Tarō", "Tarou", "Taro", "たろう", "タロウ", "タロー", "ﾀﾛｳ"],
        ["やまだ", "ヤマダ", "ﾔﾏﾀﾞ", "Yamada"],
        ["Иванов", "Ivanov"],
        ["O'Brien", "OBrien", "O\u2019Brien"],
        ["Nguyễn", "Nguyen"],
        ["Łukasz", "Lukasz"],
    ],
)
def test_variants_of_a_name_have_one_spelling(variants: list[str]) -> None:
    assert len({tuple(spellings(each)) for each in variants}) == 1


def test_words_of_all_components_are_spelled_apart() -> None:
    assert spellings("von Doe-Smith^John Q.^^Dr.") == ["von", "do", "smith", "john", "q", "dr"]
    assert spellings("*^?=") == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Meyer", "Maier"),
        ("Smith", "Smyth"),
        ("Schmidt", "Schmitt"),
        ("Stephen", "Steven"),
        ("Catherine", "Kathryn"),
        ("Jon", "John"),
        ("Strauß", "Straus"),
        ("Philip", "Filip"),
    ],
)
def test_names_that_sound_alike_have_one_sound(one: str, other: str) -> None:
    ((first,), (second,)) = spellings(one), spellings(other)

    assert first != second
    assert sound(first) == sound(second) is not None


@pytest.mark.parametrize("word", ["li", "lee", "a", "12"])
def test_short_word_has_no_sound(word: str) -> None:
    assert sound(spellings(word)[0]) is None


@pytest.mark.parametrize(("one", "other"), [("Smith", "Jones"), ("Meyer", "Müller")])
def test_names_that_sound_otherwise_are_told_apart(one: str, other: str) -> None:
    assert sound(spellings(one)[0]) != sound(spellings(other)[0])


@given(st.text(st.characters(codec="ascii", categories=["L", "Nd"]), min_size=1), st.data())
def test_beginning_of_a_word_is_spelled_as_the_beginning_of_its_spelling(
    word: str, data: st.DataObject
) -> None:
    start = word[: data.draw(st.integers(1, len(word)))]

    assert spellings(word)[0].startswith(spellings(start)[0])


@given(st.text())
@settings(deadline=None)  # the first letter of a script loads its table
def test_any_text_is_spelled_in_plain_letters(text: str) -> None:
    for spelling in spellings(text):
        assert spelling.isascii()
        assert spelling.isalnum()
        sound(spelling)
