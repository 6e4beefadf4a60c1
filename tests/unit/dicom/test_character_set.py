"""Text in the character sets of DICOM: the examples of PS3.5 Annexes H, I, J and K, and what spoils them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.character_set import DEFAULT_REPERTOIRE, character_set

ESC = b"\x1b"
EXAMPLES = [
    (("ISO_IR 100",), b"\xc4neas^R\xfcdiger", "Äneas^Rüdiger"),
    (("ISO_IR 101",), b"W\xb3adys\xb3aw", "Władysław"),
    (("ISO_IR 144",), b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),  # noqa: RUF001 - Cyrillic is meant
    (("ISO_IR 127",), b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
    (("ISO_IR 126",), b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
    (("ISO_IR 138",), b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    (("ISO_IR 203",), b"\xa4 5", "€ 5"),
    (("ISO_IR 13",), b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    (("ISO_IR 192",), "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
    (("GB18030",), "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
    (
        (None, "ISO 2022 IR 87"),
        b"Yamada^Tarou=" + ESC + b"$B;3ED" + ESC + b"(B^" + ESC + b"$BB@O:" + ESC + b"(B="
        + ESC + b"$B$d$^$@" + ESC + b"(B^" + ESC + b"$B$?$m$&" + ESC + b"(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        ("ISO 2022 IR 13", "ISO 2022 IR 87"),
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=" + ESC + b"$B;3ED" + ESC + b"(J^"
        + ESC + b"$BB@O:" + ESC + b"(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
    ),
    (
        (None, "ISO 2022 IR 149"),
        b"Hong^Gildong=" + ESC + b"$)C\xfb\xf3^" + ESC + b"$)C\xd1\xce\xd4\xd7="
        + ESC + b"$)C\xc8\xab^" + ESC + b"$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (
        (None, "ISO 2022 IR 58"),
        b"Zhang^XiaoDong=" + ESC + b"$)A\xd5\xc5^" + ESC + b"$)A\xd0\xa1\xb6\xab",
        "Zhang^XiaoDong=张^小东",
    ),
    (
        ("ISO 2022 IR 100", "ISO 2022 IR 144"),
        b"\xfc " + ESC + b"-L\xbb\xee\\\xfc",
        "ü Лю\\ü",  # a delimiter brings the first character set back
    ),
    (
        (None, "ISO 2022 IR 159"),
        ESC + b"$(D\x30\x21" + ESC + b"(B",
        b"\x1b$(D\x30\x21".decode("iso2022_jp_2"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("terms", "raw", "expected"), EXAMPLES)
def test_example_of_the_standard_is_decoded(
    terms: tuple[str | None, ...], raw: bytes, expected: str
) -> None:
    declared, complaint = character_set(terms)

    assert complaint is None
    assert declared.decode(raw) == (expected, None)


def test_backslash_within_a_two_byte_character_is_no_delimiter() -> None:
    """In GB18030 the second byte of a character may be 5CH: decode first, then split."""
    text = "誠"
    raw = text.encode("gb18030")
    assert raw[-1:] == b"\\"

    assert character_set(("GB18030",))[0].decode(raw) == (text, None)


@pytest.mark.parametrize(
    "term", ["ISO-IR 100", "ISO IR 100", "ISO_IR_100", "iso_ir 100", "ISO_IR100"]
)
def test_misspelt_term_is_understood_and_found(term: str) -> None:
    declared, complaint = character_set((term,))

    assert complaint is not None
    assert declared.decode(b"R\xfcdiger") == ("Rüdiger", None)


def test_unknown_term_leaves_the_default_repertoire() -> None:
    declared, complaint = character_set(("KLINGON",))

    assert complaint is not None
    assert declared == DEFAULT_REPERTOIRE


@pytest.mark.parametrize(("raw", "text"), [("ü".encode(), "ü"), (b"\xfc", "ü")])
def test_undeclared_text_is_taken_for_what_senders_mean(raw: bytes, text: str) -> None:
    decoded, complaint = DEFAULT_REPERTOIRE.decode(raw)

    assert decoded == text
    assert complaint is not None


@pytest.mark.parametrize(
    ("term", "codec", "text"),
    [("ISO 2022 IR 149", "euc_kr", "홍^길동"), ("ISO 2022 IR 58", "gb2312", "张^小东")],
)
def test_text_without_its_escape_sequence_is_understood_and_found(
    term: str, codec: str, text: str
) -> None:
    """Not as the standard has it, but as Korean and Chinese modalities send it."""
    decoded, complaint = character_set((None, term))[0].decode(text.encode(codec))

    assert decoded == text
    assert complaint is not None


def test_text_before_an_escape_sequence_is_taken_for_what_senders_mean() -> None:
    declared, _ = character_set((None, "ISO 2022 IR 148"))

    text, complaint = declared.decode(b"\xc7elik^" + ESC + b"-M\xd0\xfcl")

    assert text == "Çelik^Ğül"
    assert complaint is not None


@pytest.mark.parametrize(
    ("terms", "raw"),
    [
        (("ISO_IR 192",), b"\xff\xfe"),
        (("ISO 2022 IR 100", "ISO 2022 IR 149"), ESC + b"$)C\xff"),
        (("ISO 2022 IR 100",), b"a" + ESC + b"Zb"),
        (("ISO 2022 IR 100",), b"a" + ESC),
        ((None, "ISO 2022 IR 87"), ESC + b"$B\x7f\x7f"),
    ],
)
def test_undecodable_bytes_are_replaced_and_found(
    terms: tuple[str | None, ...], raw: bytes
) -> None:
    text, complaint = character_set(terms)[0].decode(raw)

    assert complaint is not None
    assert "�" in text or len(text) < len(raw)


TERMS = st.sampled_from(sorted({terms for terms, _, _ in EXAMPLES}, key=str))
PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [ESC, b"$B", b"(B", b"(J", b"$)C", b"$)A", b"-L", b")I", b"\\", b"^", b"\n"]
        ),
        st.binary(max_size=6),
    ),
    max_size=12,
)


@given(TERMS, PIECES)
def test_any_bytes_become_text_without_surrogates(
    terms: tuple[str | None, ...], pieces: list[bytes]
) -> None:
    text, _ = character_set(terms)[0].decode(b"".join(pieces))

    text.encode("utf-8")
