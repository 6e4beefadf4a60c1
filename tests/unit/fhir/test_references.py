from typing import Any

import pytest
from fhir.resources.R4B.encounter import Encounter
from fhir.resources.R4B.practitioner import Practitioner

from app.fhir.references import (
    Logical,
    literal,
    logical_references,
    named_by,
    rewritten,
    unlinked,
)
from app.fhir.stand_in import made_of, stand_in_id

ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
PLAC = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]}
ORDER = Logical("ServiceRequest", "urn:a", "1")
PERSON = Logical("Practitioner", "urn:p", "7")


def named(logical: Logical, **more: Any) -> dict[str, Any]:
    return {"identifier": {"system": logical.system, "value": logical.value}, **more}


STUDY: dict[str, Any] = {
    "resourceType": "ImagingStudy",
    "basedOn": [named(ORDER, type="ServiceRequest")],
    "referrer": named(PERSON, display="House"),
    "interpreter": [{"display": "nobody known"}],
    "series": [
        {"uid": "1", "performer": [{"actor": named(PERSON)}, {"actor": {"reference": "Device/1"}}]},
        {"uid": "2"},
    ],
}


def test_what_is_named_by_an_identifier_alone_is_logical() -> None:
    assert set(logical_references(STUDY)) == {ORDER, PERSON}


def test_a_known_reference_stands_beside_identifier_and_display() -> None:
    linked = literal(STUDY, {ORDER: "ServiceRequest/o", PERSON: "Practitioner/p"})

    assert linked["basedOn"] == [
        {"reference": "ServiceRequest/o", "type": "ServiceRequest", **named(ORDER)}
    ]
    assert linked["referrer"]["reference"] == "Practitioner/p"
    assert linked["referrer"]["display"] == "House"
    actors = [each["actor"]["reference"] for each in linked["series"][0]["performer"]]
    assert actors == ["Practitioner/p", "Device/1"]
    assert "performer" not in linked["series"][1]
    assert logical_references(linked) == {}


def test_the_study_that_was_given_stays_as_it_is() -> None:
    before = repr(STUDY)

    literal(STUDY, {ORDER: "ServiceRequest/o", PERSON: "Practitioner/p"})

    assert repr(STUDY) == before


def test_what_others_linked_is_not_touched() -> None:
    study = {"basedOn": [named(ORDER, reference="ServiceRequest/theirs")]}

    assert literal(study, {ORDER: "ServiceRequest/o"}) == study


def test_two_references_to_one_order_become_one() -> None:
    study = {"basedOn": [{"reference": "ServiceRequest/o"}, named(ORDER)]}

    linked = literal(study, {ORDER: "ServiceRequest/o"})

    assert linked["basedOn"] == [
        {"reference": "ServiceRequest/o", "type": "ServiceRequest", **named(ORDER)}
    ]


def test_references_without_identifier_are_kept_each() -> None:
    study = {"interpreter": [{"display": "A"}, {"display": "B"}]}

    assert rewritten(study, lambda _, each: each) == study


def test_a_link_is_taken_back_where_the_order_has_another_number() -> None:
    linked = literal(STUDY, {ORDER: "ServiceRequest/o"})

    assert unlinked(linked, "ServiceRequest/o", frozenset({ORDER})) == linked
    back = unlinked(linked, "ServiceRequest/o", frozenset())
    assert back["basedOn"] == [named(ORDER, type="ServiceRequest")]


def test_a_link_that_others_made_is_not_taken_back() -> None:
    study = {"basedOn": [{"reference": "ServiceRequest/o"}]}

    assert unlinked(study, "ServiceRequest/o", frozenset()) == study


@pytest.mark.parametrize(("kind", "counts"), [(ACSN, True), (PLAC, False), (None, True)])
def test_an_order_is_named_by_what_may_be_an_accession_number(
    kind: dict[str, Any] | None, counts: bool
) -> None:
    identifier = {"system": "urn:a", "value": "1", **({"type": kind} if kind else {})}
    order = {"resourceType": "ServiceRequest", "identifier": [identifier, {"value": "no system"}]}

    assert named_by(order) == (frozenset({ORDER}) if counts else frozenset())


def test_others_are_named_by_any_identifier() -> None:
    person = {"resourceType": "Practitioner", "identifier": [{"system": "urn:p", "value": "7"}]}

    assert named_by(person) == {PERSON}


def test_a_practitioner_is_made_of_what_an_object_says() -> None:
    resource = made_of(PERSON, named(PERSON, display="House"), "Patient/p")

    Practitioner.model_validate(resource)
    assert resource["id"] == stand_in_id(PERSON)
    assert resource["identifier"] == [{"system": "urn:p", "value": "7"}]
    assert resource["name"] == [{"use": "usual", "text": "House"}]


def test_an_encounter_is_made_of_what_an_object_says() -> None:
    visit = Logical("Encounter", "urn:v", "9")

    resource = made_of(visit, named(visit), "Patient/p")

    Encounter.model_validate(resource)
    assert resource["subject"] == {"reference": "Patient/p"}
    assert resource["id"] != stand_in_id(Logical("Practitioner", "urn:v", "9"))
