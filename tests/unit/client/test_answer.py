"""Reading the answer of a STOW request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.answer import Remark, StowAnswer, meaning, read_answer


def item(uid: str, **more: Any) -> dict[str, Any]:
    return {"00081155": {"vr": "UI", "Value": [uid]}} | more


def test_each_instance_has_its_own_result() -> None:
    payload = {
        "00081199": {
            "vr": "SQ",
            "Value": [item("1.1"), item("1.2") | {"00081196": {"vr": "US", "Value": [0xB000]}}],
        },
        "00081198": {
            "vr": "SQ",
            "Value": [
                item("1.3")
                | {
                    "00081197": {"vr": "US", "Value": [0x0120]},
                    "00741048": {
                        "vr": "SQ",
                        "Value": [{"00000902": {"vr": "LO", "Value": ["Study UID is missing"]}}],
                    },
                }
            ],
        },
        "0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xC000]}}]},
    }

    assert read_answer(payload) == StowAnswer(
        stored={"1.1": None, "1.2": Remark(0xB000)},
        refused={"1.3": Remark(0x0120, "Study UID is missing")},
        others=(Remark(0xC000),),
    )


def test_instance_named_twice_is_nobodys() -> None:
    """One UID, stored and refused: which file is meant cannot be told."""
    payload = {
        "00081199": {"vr": "SQ", "Value": [item("1.1"), item("1.2")]},
        "00081198": {"vr": "SQ", "Value": [item("1.1")]},
    }

    assert read_answer(payload) == StowAnswer(stored={"1.2": None})


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (0xA900, "identifiers"),
        (0xC122, "Transfer Syntax"),
        (0xC123, "cannot understand"),
        (0x0111, "other bytes"),
        (1, "failure"),
        (None, "does not say why"),
    ],
)
def test_failure_reasons_are_told_in_words(reason: int | None, words: str) -> None:
    assert words in meaning(reason)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["00081199", "00081198", "0008119A", "00081155", "00081197", "Value"]),
            inner,
        )
    ),
)


@given(JSON)
def test_any_json_is_read_without_failure(payload: Any) -> None:
    """Another server's odd answer must not end an import."""
    answer = read_answer(payload)

    assert set(answer.stored).isdisjoint(answer.refused)
