"""Which instances a rejection note rejects (IHE IOCM, PS3.3 §C.17.6.2.1)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.instance import InstanceRecord
from app.dicom.rejection_note import (
    KEY_OBJECT_SELECTION,
    REJECTION_TITLES,
    RejectedInstance,
    rejected_by,
)

NOTE = "1.9.1"


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def evidence(*references: tuple[str, str, str]) -> dict[str, Any]:
    items = [
        {
            "0020000D": element("UI", study),
            "00081115": element(
                "SQ",
                {
                    "0020000E": element("UI", series),
                    "00081199": element("SQ", {"00081155": element("UI", instance)}),
                },
            ),
        }
        for study, series, instance in references
    ]
    return element("SQ", *items)


def title(code: str, scheme: str = "DCM") -> dict[str, Any]:
    return element("SQ", {"00080100": element("SH", code), "00080102": element("SH", scheme)})


def record(attributes: dict[str, Any], sop_class: str = KEY_OBJECT_SELECTION) -> InstanceRecord:
    return InstanceRecord("1.9", "1.9.0", NOTE, sop_class, "1.2.840.10008.1.2.1", attributes)


@pytest.mark.parametrize("code", REJECTION_TITLES)
def test_a_rejection_title_rejects_what_the_evidence_lists(code: str) -> None:
    references = [("1.1", "1.1.1", "1.1.1.1"), ("1.2", "1.2.1", "1.2.1.1")]
    note = record({"0040A043": title(code), "0040A375": evidence(*references)})

    assert rejected_by(note) == tuple(RejectedInstance(*each) for each in references)


@pytest.mark.parametrize(
    "note",
    [
        record({"0040A043": title("113000"), "0040A375": evidence(("1", "2", "3"))}),
        record({"0040A043": title("113001", "99X"), "0040A375": evidence(("1", "2", "3"))}),
        record({"0040A043": title("113001"), "0040A375": evidence(("1", "2", "3"))}, "1.2.3"),
        record({"0040A043": title("113001")}),
        record({"0040A043": {"vr": "SQ"}, "0040A375": {"vr": "SQ"}}),
        record({"0040A375": evidence(("1", "2", "3"))}),
        record({"0040A043": title("113001"), "0040A375": evidence(("1", "2", NOTE))}),
        record({"0040A043": title("113001"), "0040A375": evidence(("1", "", "3"))}),
    ],
    ids=["another title", "another scheme", "another class", "nothing", "empty", "no title", "itself",
         "half a reference"],
)  # fmt: skip
def test_anything_else_rejects_nothing(note: InstanceRecord) -> None:
    assert rejected_by(note) == ()


def test_an_instance_that_is_listed_twice_is_rejected_once() -> None:
    twice = evidence(("1", "2", "3"), ("1", "2", "3"))
    note = record({"0040A043": title("113037"), "0040A375": twice})

    assert rejected_by(note) == (RejectedInstance("1", "2", "3"),)


@given(
    st.dictionaries(
        st.sampled_from(["0040A375", "0040A043"]), st.lists(st.builds(dict), max_size=3)
    )
)
def test_items_without_anything_reject_nothing(items: dict[str, list[dict[str, Any]]]) -> None:
    note = record({tag: element("SQ", *values) for tag, values in items.items()})
    assert rejected_by(note) == ()
