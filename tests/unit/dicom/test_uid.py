"""UIDs (PS3.5 §9.1)."""

import pytest

from app.dicom.uid import is_uid


@pytest.mark.parametrize("text", ["1", "1.2.840.10008.1.2", "1.02.3", "2.25." + "9" * 59])
def test_uid_is_one(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.2a",
        "1.2\n",
        "1.2 ",
        "../1",
        "\u0661.\u0662",
        "1." + "2" * 63,
    ],
)
def test_other_text_is_none(text: str) -> None:
    assert not is_uid(text)
