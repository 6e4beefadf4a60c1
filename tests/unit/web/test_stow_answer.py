"""The Store Instances Response (PS3.18 Table I.1-1)."""

from typing import Any

import pytest

from app.dicom.instance import COERCED, DISCARDED, UNFIT, Finding
from app.errors import BadInstance, InvalidAttributes, LinkRefused, NotDicom
from app.services.outcome import InstanceOutcome
from app.web.stow_answer import OFFERS, answer, store_response

BASE = "http://here/dicom-web"


def stored(instance: str = "1.3", study: str = "1", *findings: Finding) -> InstanceOutcome:
    return InstanceOutcome("1.9", instance, study, "1.2", findings=findings)


def items(body: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body.get(tag, {}).get("Value", [])
    return found


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([stored()], 200),
        ([stored("1.3", "1", Finding("00080020", "It is no date."))], 202),
        ([stored(), InstanceOutcome(None, None, error=NotDicom("No."))], 202),
        ([InstanceOutcome(None, None, error=NotDicom("No."))], 409),
        ([InstanceOutcome("1.9", "1.3", "1", "1.2", error=LinkRefused("No."))], 409),
    ],
)
def test_the_status_tells_all_some_or_none(outcomes: list[InstanceOutcome], status: int) -> None:
    """PS3.18 Table 10.5.3-1."""
    assert answer(outcomes, BASE, OFFERS[0]).status_code == status


def test_attributes_are_ascending_at_every_level() -> None:
    """PS3.18 §F.2.2."""
    outcomes = [
        stored("1.3", "1", Finding("00080020", "It is no date.")),
        InstanceOutcome("1.9", "1.4", error=BadInstance("No.", attributes=("00080020",))),
        InstanceOutcome(None, None, error=NotDicom("No.")),
    ]

    def check(data_set: dict[str, Any]) -> None:
        assert list(data_set) == sorted(data_set)
        for element in data_set.values():
            if element["vr"] == "SQ":
                for item in element["Value"]:
                    check(item)

    check(store_response(outcomes, BASE))


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([UNFIT], 0xB007),
        ([UNFIT, DISCARDED], 0xB006),
        ([DISCARDED, COERCED, UNFIT], 0xB000),
    ],
)
def test_the_gravest_warning_reason_is_the_one_that_is_told(
    reasons: list[int], expected: int
) -> None:
    findings = [Finding("00080020", "It is no date.", reason) for reason in reasons]

    (item,) = items(store_response([stored("1.3", "1", *findings)], BASE), "00081199")

    assert item["00081196"] == {"vr": "US", "Value": [expected]}
    assert len(items(item, "00741048")) == len(reasons)


def test_a_comment_names_the_path_and_the_attribute() -> None:
    finding = Finding("00400275.1.00080100", "A value is too long.")

    (item,) = items(store_response([stored("1.3", "1", finding)], BASE), "00081199")

    assert items(item, "00741048") == [
        {
            "00000901": {"vr": "AT", "Value": ["00080100"]},
            "00000902": {"vr": "LO", "Value": ["00400275.1.00080100: A value is too long."]},
        }
    ]


def test_every_attribute_with_a_fault_of_its_own_is_named() -> None:
    error = InvalidAttributes("No.", details=(("00080020", "A."), ("00080030", "B.")))

    (item,) = items(store_response([InstanceOutcome("1.9", "1.3", error=error)], BASE), "00081198")

    assert item["00081197"]["Value"] == [0xA900]
    assert [each["00000901"]["Value"] for each in items(item, "00741048")] == [
        ["00080020"],
        ["00080030"],
    ]


def test_a_failure_without_full_identity_is_among_the_other_failures() -> None:
    """What is known of it is told all the same."""
    body = store_response([InstanceOutcome(None, "1.3", error=NotDicom("No."))], BASE)

    (item,) = items(body, "0008119A")
    assert item["00081155"]["Value"] == ["1.3"]
    assert "00081150" not in item
    assert "00081198" not in body


@pytest.mark.parametrize(
    ("studies", "urls"), [(("1", "1"), [f"{BASE}/studies/1"]), (("1", "2"), [])]
)
def test_the_study_has_its_url_where_there_is_one(
    studies: tuple[str, str], urls: list[str]
) -> None:
    outcomes = [stored(f"1.{n}", study) for n, study in enumerate(studies)]

    assert store_response(outcomes, BASE).get("00081190", {}).get("Value", []) == urls
