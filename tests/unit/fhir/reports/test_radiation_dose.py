"""Radiation dose reports as Observations (PS3.16 TID 10001, 10011, 10021)."""

from typing import Any

from tests.report_objects import (
    XRAY_DOSE,
    angiography_dose,
    code,
    coded,
    container,
    ct_dose,
    number,
    report,
    when,
)
from tests.unit.fhir.reports.made import code_of, resources_of

START, END = code("113809"), code("113810")


def components(observation: dict[str, Any]) -> dict[str, Any]:
    """Return the components by code, as their values."""
    return {
        code_of(each["code"]): next(v for k, v in each.items() if k != "code")
        for each in observation["component"]
    }


def test_ct_dose_has_its_totals_and_its_events() -> None:
    total, *events = resources_of(ct_dose(events=2))

    assert {c["code"] for c in total["code"]["coding"]} == {"73569-6", "113701"}
    assert components(total)["113813"]["value"] == 800.5
    assert components(total)["113812"]["value"] == 2
    assert total["effectivePeriod"] == {
        "start": "2024-02-29T10:10:00+01:00",
        "end": "2024-02-29T10:15:30+01:00",
    }
    assert total["device"] == {"type": "Device", "display": "CT 1"}
    assert total["hasMember"] == [{"reference": f"Observation/{e['id']}"} for e in events]
    first = components(events[0])
    assert first["113830"] == {
        "value": 12.5,
        "unit": "mGy",
        "system": "http://unitsofmeasure.org",
        "code": "mGy",
    }
    assert first["113838"]["value"] == 400.25
    assert first["125203"] == "Thorax 0"
    assert code_of(events[0]["bodySite"]) == "51185008"
    assert events[1]["identifier"] == [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3.2"}]


def test_totals_of_two_planes_are_members_of_their_own() -> None:
    total, one, other, event = resources_of(angiography_dose())

    assert "component" not in total
    assert len(total["hasMember"]) == 3
    assert code_of(components(one)["113764"]) == "113620"
    assert code_of(components(other)["113764"]) == "113621"
    assert components(one)["113725"]["value"] == 0.08
    assert components(event)["122130"]["value"] == 0.0002
    assert event["effectiveDateTime"] == "2024-02-29T10:11:12.5+01:00"


def test_administration_of_a_radiopharmaceutical_is_an_event() -> None:
    administration = container(
        code("113502", meaning="Radiopharmaceutical Administration"),
        coded(code("349358000", "SCT", "Agent"), code("35321007", "SCT", "FDG")),
        when(code("123003"), "20240229080000"),
        number(code("113507", meaning="Administered activity"), "250", "MBq"),
    )

    _, event = resources_of(
        report(code("113500"), administration, sop_class="1.2.840.10008.5.1.4.1.1.88.68")
    )

    assert components(event)["113507"]["value"] == 250
    assert code_of(components(event)["349358000"]) == "35321007"
    assert event["effectiveDateTime"] == "2024-02-29T08:00:00+01:00"


def test_period_that_ends_before_it_begins_is_told_by_its_start() -> None:
    odd = report(
        code("113701"), when(START, "20240229101000"), when(END, "20240228101000"),
        sop_class=XRAY_DOSE,
    )  # fmt: skip

    (total,) = resources_of(odd)

    assert total["effectiveDateTime"] == "2024-02-29T10:10:00+01:00"
    assert "effectivePeriod" not in total


def test_events_beyond_the_limit_are_counted() -> None:
    total, *events = resources_of(ct_dose(events=4), fhir_report_observations=3)

    assert len(events) == 2
    assert total["extension"] == [{"url": "urn:coregister:left-out", "valueUnsignedInt": 2}]


def test_dose_of_each_breast_says_which_it_is() -> None:
    def dose(side: str, value: str) -> dict[str, Any]:
        laterality = coded(
            code("272741003", "SCT"), code(side, "SCT", side), relationship="HAS CONCEPT MOD"
        )
        return number(code("111637", meaning="Accumulated AGD"), value, "mGy", laterality)

    totals = container(code("113702"), dose("80248007", "1.3"), dose("73056007", "1.28"))

    (total,) = resources_of(report(code("113701"), totals, sop_class=XRAY_DOSE))

    told = {
        code_of(each["extension"][0]["valueCodeableConcept"]): each["valueQuantity"]["value"]
        for each in total["component"]
    }
    assert told == {"80248007": 1.3, "73056007": 1.28}


def test_enhanced_report_that_is_called_a_dose_report_is_one() -> None:
    totals = container(code("113811"), number(code("113813"), "800", "mGy.cm"))

    (total,) = resources_of(report(code("113701"), totals))

    assert total["code"]["coding"][0]["code"] == "73569-6"
    assert components(total)["113813"]["value"] == 800
