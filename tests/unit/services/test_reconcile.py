"""Instances that say of their patient something else than their study."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.instance import COERCED, InstanceRecord, StoredInstance
from app.fhir.identifiers import IdentifierSystems
from app.services.intake import Prepared
from app.services.reconcile import Policy, Reconcile, Reconciled, instead_of, refusal
from app.settings import Settings

NAME, PATIENT_ID, ISSUER = "00100010", "00100020", "00100021"
BIRTH_DATE, SEX = "00100030", "00100040"
SYSTEMS = IdentifierSystems.from_settings(Settings())
VRS = {NAME: "PN", PATIENT_ID: "LO", ISSUER: "LO", BIRTH_DATE: "DA", SEX: "CS"}


def element(tag: str, value: str | None) -> dict[str, Any]:
    if value is None:
        return {"vr": VRS[tag]}
    return {"vr": VRS[tag], "Value": [{"Alphabetic": value} if tag == NAME else value]}


def instance(number: int, **said: str | None) -> Prepared:
    tags = {"name": NAME, "id": PATIENT_ID, "issuer": ISSUER, "born": BIRTH_DATE, "sex": SEX}
    attributes = {tags[name]: element(tags[name], value) for name, value in said.items()}
    record = InstanceRecord("1.2.3", "1.2.4", f"1.9.{number}", "1.2.5", "1.2.6", attributes)
    return Prepared(StoredInstance(record, "", 0, "", "", ""), {})


def reconcile(policy: Policy = "first-wins") -> Reconcile:
    return Reconcile(policy, SYSTEMS)


def shown(prepared: Prepared, decided: Reconciled) -> dict[str, Any]:
    return dict(instead_of(prepared.stored.record.attributes, decided.own, SYSTEMS))


def test_the_first_instance_says_who_the_study_is_of() -> None:
    decided = reconcile().decide(None, [instance(1, id="A", name="Doe^Jane", sex=None)])

    assert decided.own == {PATIENT_ID: element(PATIENT_ID, "A"), NAME: element(NAME, "Doe^Jane")}
    assert (decided.findings, decided.inconsistent) == ({}, {})


@pytest.mark.parametrize(
    "other",
    [
        {"id": "A", "name": "DOE^JANE"},
        {"id": "A ", "name": "Doe^Jane^^"},
        {"id": "A", "born": "19700101"},
        {"name": "doe^jane"},
        {"id": "A", "issuer": "Clinic", "name": None},
    ],
)
def test_case_padding_and_what_is_not_said_contradict_nothing(other: dict[str, Any]) -> None:
    own = reconcile().decide(None, [instance(1, id="A", name="Doe^Jane", sex="F")]).own
    decided = reconcile("reject").decide(own, [instance(2, **other)])

    assert decided.inconsistent == {}
    assert decided.own[PATIENT_ID] == element(PATIENT_ID, "A")


def test_what_the_study_did_not_know_is_taken_over() -> None:
    own = reconcile().decide(None, [instance(1, id="A")]).own
    decided = reconcile().decide(own, [instance(2, id="A", born="19700101")])

    assert decided.own[BIRTH_DATE] == element(BIRTH_DATE, "19700101")


@pytest.mark.parametrize(
    ("other", "tags"),
    [
        ({"id": "B"}, (PATIENT_ID,)),
        ({"id": "A", "name": "Roe^Jane"}, (NAME,)),
        ({"id": "A", "born": "19700102", "sex": "M"}, (BIRTH_DATE, SEX)),
    ],
)
def test_a_contradiction_is_named_by_its_attributes(
    other: dict[str, Any], tags: tuple[str, ...]
) -> None:
    first = instance(1, id="A", name="Doe^Jane", born="19700101", sex="F")
    decided = reconcile("reject").decide(None, [first, instance(2, **other)])

    assert decided.inconsistent == {"1.9.2": tags}
    error = refusal(tags)
    assert (error.failure_reason, error.attributes) == (0xA900, tags)
    assert all(value not in str(error.details) for value in other.values())


def test_one_patient_id_of_two_issuers_is_two_patients() -> None:
    decided = reconcile("reject").decide(
        None, [instance(1, id="A", issuer="One"), instance(2, id="A", issuer="Two")]
    )

    assert decided.inconsistent == {"1.9.2": (ISSUER,)}


def test_first_wins_shows_nothing_of_another_patient() -> None:
    first = instance(1, id="A", name="Doe^Jane")
    other = instance(2, id="B", name="Roe^Jim", born="19800101", issuer=None)
    decided = reconcile().decide(None, [first, other])

    assert shown(other, decided) == {
        PATIENT_ID: element(PATIENT_ID, "A"),
        NAME: element(NAME, "Doe^Jane"),
        BIRTH_DATE: element(BIRTH_DATE, None),
        ISSUER: element(ISSUER, None),
    }
    assert shown(first, decided) == {}
    assert {f.reason for f in decided.findings["1.9.2"]} == {COERCED}
    assert decided.new_patient is None


def test_first_wins_leaves_the_rest_where_only_the_name_differs() -> None:
    first = instance(1, id="A", name="Doe^Jane")
    other = instance(2, id="A", name="Roe^Jane", sex="F")
    decided = reconcile().decide(None, [first, other])

    assert shown(other, decided) == {NAME: element(NAME, "Doe^Jane")}


def test_new_wins_makes_the_study_the_new_ones_and_shows_the_others_so() -> None:
    first, new = instance(1, id="A", name="Doe^Jane"), instance(2, id="B", name="Roe^Jim")
    decided = reconcile("new-wins").decide(None, [first, new])

    assert decided.new_patient is new
    assert decided.own == {PATIENT_ID: element(PATIENT_ID, "B"), NAME: element(NAME, "Roe^Jim")}
    assert shown(first, decided) == decided.own
    assert shown(new, decided) == {}
    assert decided.findings.keys() == {"1.9.2"}


SAID = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["A", "B", None]),
        "name": st.sampled_from(["Doe", "DOE", "Roe", None]),
        "sex": st.sampled_from(["F", "M", None]),
    },
)


@given(said=st.lists(SAID, min_size=1, max_size=8), cut=st.integers(0, 8))
def test_first_wins_and_reject_come_to_the_same_in_one_commit_or_several(
    said: list[dict[str, Any]], cut: int
) -> None:
    """So it does not matter which requests were written together, or what recovery finds done."""
    instances = [instance(number, **each) for number, each in enumerate(said)]
    for policy in ("first-wins", "reject"):
        together = reconcile(policy).decide(None, instances)
        first = reconcile(policy).decide(None, instances[:cut])
        then = reconcile(policy).decide(first.own if cut else None, instances[cut:])

        assert then.own == together.own
        assert {**first.inconsistent, **then.inconsistent} == together.inconsistent
        assert {**first.findings, **then.findings} == together.findings


@given(said=st.lists(SAID, min_size=1, max_size=8))
def test_the_same_again_changes_nothing_more(said: list[dict[str, Any]]) -> None:
    instances = [instance(number, **each) for number, each in enumerate(said)]
    own = reconcile("reject").decide(None, instances).own
    again = reconcile("reject").decide(own, instances)

    assert again.own == own


@pytest.mark.parametrize("policy", ["first-wins", "new-wins", "reject"])
def test_what_is_stored_anew_as_it_is_shown_contradicts_nothing(policy: Policy) -> None:
    own = reconcile().decide(None, [instance(1, id="A", name="Old^Name", sex="F")]).own
    same_patient = instance(2, id="A", name="New^Name", sex="F")
    other_patient = instance(3, id="B", name="New^Name")
    for anew in (same_patient, other_patient):
        decided = reconcile(policy).decide(own, [replace(anew, restates=True)])

        assert (decided.inconsistent, decided.findings, decided.new_patient) == ({}, {}, None)
        assert decided.own == anew.stored.record.attributes
        assert shown(anew, decided) == {}
