"""What a study is linked to: one resource that fits, of its own patient, and nothing else."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from app.fhir.references import Logical
from app.fhir.stand_in import stand_in_id
from app.services.problems import ProblemRecord
from app.services.references import Linked, Master, References

ORDER = Logical("ServiceRequest", "urn:a", "1")
PERSON = Logical("Practitioner", "urn:p", "7")
SUBJECT = {"reference": "Patient/p"}


def named(logical: Logical, **more: Any) -> dict[str, Any]:
    return {"identifier": {"system": logical.system, "value": logical.value}, **more}


def resource(logical: Logical, name: str, **more: Any) -> dict[str, Any]:
    identifier = named(logical)["identifier"]
    return {
        "resourceType": logical.resource_type,
        "id": name,
        "identifier": [identifier],
        **more,
    }


STUDY: dict[str, Any] = {
    "resourceType": "ImagingStudy",
    "subject": SUBJECT,
    "basedOn": [named(ORDER)],
    "referrer": named(PERSON, display="House"),
}


class Fhir:
    """Knows which Patient another has replaced."""

    def __init__(self, replaced: Mapping[str, str]) -> None:
        self._replaced = replaced

    async def current_patient(self, reference: str) -> str:
        return self._replaced.get(reference, reference)


class Noted(list[ProblemRecord]):
    def note(self, record: ProblemRecord) -> None:
        self.append(record)


async def linked(
    orders: list[dict[str, Any]] | None,
    people: list[dict[str, Any]] | None,
    *,
    noted: Noted | None = None,
    replaced: Mapping[str, str] | None = None,
    practitioner: Master = "fhir",
) -> Linked:
    """Return the study after its searches found these; None stands for one that was refused."""
    references = References(
        cast("Any", Fhir(replaced or {})),
        cast("Any", Noted() if noted is None else noted),
        practitioner=practitioner,
        encounter="fhir",
    )
    wanted = references.wanted(STUDY, None)
    assert list(wanted) == [PERSON, ORDER]
    return await references.link(dict(STUDY), wanted, [people, orders], "1.2")


def order_of(result: Linked) -> str | None:
    (reference,) = result.imaging_study["basedOn"]
    found: str | None = reference.get("reference")
    return found


async def test_what_fits_is_linked() -> None:
    result = await linked([resource(ORDER, "o", subject=SUBJECT)], [resource(PERSON, "d")])

    assert order_of(result) == "ServiceRequest/o"
    assert result.imaging_study["referrer"]["reference"] == "Practitioner/d"
    assert result.new == ()


@pytest.mark.parametrize(
    "orders",
    [
        None,
        [],
        [resource(ORDER, "o", status="entered-in-error")],
        [{"resourceType": "ServiceRequest", "id": "o"}],
    ],
)
async def test_what_does_not_fit_is_not_linked(orders: list[dict[str, Any]] | None) -> None:
    noted = Noted()

    result = await linked(orders, [], noted=noted)

    assert result.imaging_study == STUDY
    assert noted == []


async def test_of_several_that_fit_none_is_linked_and_that_is_noted() -> None:
    noted = Noted()

    result = await linked([resource(ORDER, "o"), resource(ORDER, "q")], [], noted=noted)

    assert order_of(result) is None
    assert [(each.kind, each.tag) for each in noted] == [("ambiguous-reference", "00080050")]
    assert ORDER.value not in noted[0].message


async def test_an_order_entered_in_error_makes_no_other_ambiguous() -> None:
    orders = [resource(ORDER, "o"), resource(ORDER, "q", status="entered-in-error")]

    assert order_of(await linked(orders, [])) == "ServiceRequest/o"


async def test_an_order_of_somebody_else_is_not_linked_and_that_is_noted() -> None:
    noted = Noted()
    orders = [resource(ORDER, "o", subject={"reference": "Patient/other"})]

    assert order_of(await linked(orders, [], noted=noted)) is None
    assert [each.kind for each in noted] == ["ambiguous-reference"]


async def test_an_order_of_whom_the_patient_has_replaced_is_linked() -> None:
    orders = [resource(ORDER, "o", subject={"reference": "Patient/old"})]

    result = await linked(orders, [], replaced={"Patient/old": "Patient/p"})

    assert order_of(result) == "ServiceRequest/o"


async def test_a_practitioner_is_made_only_where_none_is_there() -> None:
    made = await linked([], [], practitioner="dicom")
    found = await linked([], [resource(PERSON, "d")], practitioner="dicom")
    several = await linked([], [resource(PERSON, "d"), resource(PERSON, "e")], practitioner="dicom")
    refused = await linked([], None, practitioner="dicom")

    assert [each["id"] for each in made.new] == [stand_in_id(PERSON)]
    assert made.imaging_study["referrer"]["reference"] == f"Practitioner/{stand_in_id(PERSON)}"
    assert (found.new, several.new, refused.new) == ((), (), ())
    assert "reference" not in refused.imaging_study["referrer"]


def test_what_a_study_named_before_is_not_wanted_again() -> None:
    references = References(
        cast("Any", None), cast("Any", None), practitioner="fhir", encounter="fhir"
    )
    more = {**STUDY, "basedOn": [*STUDY["basedOn"], named(Logical("ServiceRequest", "urn:a", "2"))]}

    assert references.wanted(STUDY, STUDY) == {}
    assert [each.value for each in references.wanted(more, STUDY)] == ["2"]
