"""Measurements of reports as Observations (PS3.16 TID 1500 and others)."""

import pytest

from tests.corpus import make_instance
from tests.report_objects import (
    COMPREHENSIVE,
    code,
    coded,
    container,
    item,
    number,
    report,
    text,
    tid_1500,
    uid,
)
from tests.unit.fhir.reports.made import code_of, of_type, resources_of

GROUP = code("125007", meaning="Measurement Group")
DIAMETER = code("81827009", "SCT", "Diameter")
FINDING_SITE = code("363698007", "SCT", "Finding Site")
SUBJECT_CLASS = code("121024", meaning="Subject Class")


def test_measurement_group_has_its_measurements_and_evaluations_as_members() -> None:
    image = make_instance(FrameOfReferenceUID="1.2.3.9")

    report_, group, *members = resources_of(tid_1500([image]))

    assert report_["result"] == [{"reference": f"Observation/{group['id']}"}]
    assert group["hasMember"] == [{"reference": f"Observation/{m['id']}"} for m in members]
    assert code_of(group["code"]) == "125007"
    assert code_of(group["valueCodeableConcept"]) == "27925004"
    assert {"value": "Nodule 1"} in group["identifier"]
    diameter, attenuation, margin = members
    assert diameter["valueQuantity"] == {
        "value": 12.5,
        "unit": "mm",
        "system": "http://unitsofmeasure.org",
        "code": "mm",
    }
    assert attenuation["valueQuantity"]["value"] == -37.25
    assert code_of(attenuation["method"]) == "126410"
    derivation = [c for c in attenuation["component"] if code_of(c["code"]) == "121401"]
    assert [code_of(c["valueCodeableConcept"]) for c in derivation] == ["373098007"]
    assert code_of(margin["valueCodeableConcept"]) == "RID5709"


def test_finding_site_and_laterality_of_a_group_hold_for_its_measurements() -> None:
    image = make_instance(FrameOfReferenceUID="1.2.3.9")

    for observation in of_type(resources_of(tid_1500([image])), "Observation"):
        assert code_of(observation["bodySite"]) == "39607008"
        sides = [c for c in observation["component"] if code_of(c["code"]) == "272741003"]
        assert [code_of(c["valueCodeableConcept"]) for c in sides] == ["24028007"]


def test_region_of_a_group_is_where_it_was_derived_from() -> None:
    image = make_instance(FrameOfReferenceUID="1.2.3.9")

    group = resources_of(tid_1500([image]))[1]

    (study,) = group["derivedFrom"]
    (selection,) = study["extension"]
    parts = {part["url"]: part for part in selection["extension"]}
    assert parts["regionType"]["valueString"] == "POLYGON"
    assert parts["frameOfReferenceUid"]["valueId"] == "1.2.3.9"
    assert len(parts["coordinates"]["valueString"].split()) == 12


def test_images_of_another_study_are_named_by_its_uid() -> None:
    instance = {
        "ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "ReferencedSOPInstanceUID": "1.2.3.4",
        "ReferencedFrameNumber": "3",
    }
    evidence = {
        "StudyInstanceUID": "1.2.3",
        "ReferencedSeriesSequence": [
            {"SeriesInstanceUID": "1.2.3.1", "ReferencedSOPSequence": [instance]}
        ],
    }
    image = item("IMAGE", None, relationship="INFERRED FROM", ReferencedSOPSequence=[instance])

    report_, observation = resources_of(
        report(
            code("1", "99T"),
            number(DIAMETER, "3", "mm", image),
            PertinentOtherEvidenceSequence=[evidence],
        )
    )

    other = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    assert {"type": "ImagingStudy", "identifier": other} in report_["imagingStudy"]
    (own, of_other) = sorted(observation["derivedFrom"], key=lambda r: "identifier" in r)
    assert own == {"reference": "ImagingStudy/s"}
    parts = {part["url"]: part for part in of_other["extension"][0]["extension"]}
    assert parts["sopInstanceUid"]["valueId"] == "1.2.3.4"
    assert parts["seriesUid"]["valueId"] == "1.2.3.1"
    assert parts["frames"]["valueString"] == "3"


def test_single_measurement_has_the_site_of_the_section_above_it() -> None:
    site = coded(
        FINDING_SITE, code("T-32600", "SRT", "Left Ventricle"), relationship="HAS CONCEPT MOD"
    )
    mode = coded(
        code("G-0373", "SRT", "Image Mode"), code("G-03A2", "SRT", "2D mode"),
        relationship="HAS CONCEPT MOD",
    )  # fmt: skip
    section = container(code("121070"), site, number(DIAMETER, "4.5", "cm", mode))

    (observation,) = of_type(resources_of(report(code("125200"), section)), "Observation")

    codings = observation["bodySite"]["coding"]
    assert [c["system"] for c in codings] == [
        "http://snomed.info/sct",
        "urn:oid:2.16.840.1.113883.6.99",
    ]
    assert observation["component"][0]["code"]["text"] == "Image Mode"


def test_measurement_that_was_inferred_from_another_says_so() -> None:
    inner = number(code("1", "99T"), "2", "cm", relationship="INFERRED FROM")

    report_, source, observation = resources_of(
        report(code("2", "99T"), number(DIAMETER, "3", "cm", inner))
    )

    assert {"reference": f"Observation/{source['id']}"} in observation["derivedFrom"]
    assert report_["result"] == [{"reference": f"Observation/{observation['id']}"}]


def test_evaluations_outside_of_groups_become_observations() -> None:
    section = container(
        code("C0034375", "UMLS", "Qualitative Evaluations"),
        coded(code("1", "99T", "Quality"), code("2", "99T", "Good")),
        text(code("3", "99T", "Remark"), "Blurred"),
    )
    elsewhere = container(code("121070"), coded(code("121071"), code("4", "99T", "Mass")))

    found = of_type(resources_of(report(code("5", "99T"), section, elsewhere)), "Observation")

    assert [o["code"]["text"] for o in found] == ["Quality", "Remark"]
    assert found[1]["valueString"] == "Blurred"


@pytest.mark.parametrize(("subject", "count"), [("121025", 1), ("121027", 1), ("121026", 0)])
def test_what_is_measured_on_a_fetus_is_no_observation_of_the_patient(
    subject: str, count: int
) -> None:
    context = coded(SUBJECT_CLASS, code(subject), relationship="HAS OBS CONTEXT")
    section = container(code("1", "99T"), context, number(DIAMETER, "3", "cm"))

    found = of_type(resources_of(report(code("2", "99T"), section)), "Observation")

    assert len(found) == count


def test_specimen_is_named() -> None:
    specimen = uid(code("121039", meaning="Specimen UID"), "1.2.3.5", "HAS OBS CONTEXT")
    group = container(GROUP, specimen, number(DIAMETER, "3", "um"))

    _, *found = resources_of(report(code("1", "99T"), group))

    identifier = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3.5"}
    assert [o["specimen"]["identifier"] for o in found] == [identifier, identifier]


@pytest.mark.parametrize(
    ("qualifier", "reason"), [("114000", "not-a-number"), ("114006", "error"), ("1", "unknown")]
)
def test_measurement_without_a_value_says_why(qualifier: str, reason: str) -> None:
    empty = item("NUM", DIAMETER, NumericValueQualifierCodeSequence=code(qualifier))

    (observation,) = of_type(resources_of(report(code("1", "99T"), empty)), "Observation")

    assert code_of(observation["dataAbsentReason"]) == reason
    assert "valueQuantity" not in observation


def test_concept_without_a_code_says_that_it_is_missing() -> None:
    nameless = number([], "3", "cm")

    (observation,) = of_type(resources_of(report(code("1", "99T"), nameless)), "Observation")

    assert observation["code"]["extension"][0]["valueCode"] == "unknown"


def test_measurements_beyond_the_limit_are_counted_in_the_report() -> None:
    many = [number(DIAMETER, str(n), "mm") for n in range(5)]

    made = resources_of(
        report(code("1", "99T"), *many, sop_class=COMPREHENSIVE), fhir_report_observations=2
    )

    assert len(of_type(made, "Observation")) == 2
    assert made[0]["extension"] == [{"url": "urn:coregister:left-out", "valueUnsignedInt": 3}]
    assert len(made[0]["result"]) == 2


def test_item_of_a_shape_by_reference_is_followed() -> None:
    instance = {"ReferencedSOPClassUID": "1.2", "ReferencedSOPInstanceUID": "1.2.3.4"}
    image = item("IMAGE", None, relationship="SELECTED FROM", ReferencedSOPSequence=[instance])
    shape = item("SCOORD", code("111030"), image, GraphicType="POINT", GraphicData=[1.5, 2.0])
    by_reference = {"RelationshipType": "INFERRED FROM", "ReferencedContentItemIdentifier": [1, 1]}

    found = of_type(
        resources_of(report(code("1", "99T"), shape, number(DIAMETER, "3", "mm", by_reference))),
        "Observation",
    )

    parts = {part["url"]: part for part in found[0]["derivedFrom"][0]["extension"][0]["extension"]}
    assert parts["sopInstanceUid"]["valueId"] == "1.2.3.4"
    assert parts["coordinates"]["valueString"] == "1.5 2.0"
