"""What others wrote on a resource of a report survives whatever becomes of the report."""

from typing import Any

from app.fhir.reports.merging import brought_up_to_date, of_patient, ours_alone, retired

OURS: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "meta": {"source": "urn:coregister"},
    "status": "final",
    "subject": {"reference": "Patient/p"},
    "identifier": [{"value": "ours"}],
    "valueQuantity": {"value": 3},
}
STORED = {
    **OURS,
    "meta": {
        "source": "urn:coregister#abc",
        "versionId": "2",
        "lastUpdated": "2024-01-01T00:00:00Z",
    },
}


def test_new_version_takes_our_elements_and_keeps_others() -> None:
    note = [{"text": "theirs"}]
    present = {**STORED, "note": note, "identifier": [{"value": "ours"}, {"value": "theirs"}]}
    made = {**OURS, "identifier": [{"value": "new"}], "valueString": "new"}
    del made["valueQuantity"]

    merged = brought_up_to_date(present, made, OURS)

    assert merged["note"] == note
    assert merged["identifier"] == [{"value": "new"}, {"value": "theirs"}]
    assert merged["valueString"] == "new"
    assert "valueQuantity" not in merged
    assert merged["meta"] == {"source": "urn:coregister"}


def test_tags_that_others_set_are_kept() -> None:
    tag = [{"system": "urn:x", "code": "reviewed"}]
    present = {**STORED, "meta": {**STORED["meta"], "tag": tag}}

    assert brought_up_to_date(present, OURS)["meta"]["tag"] == tag


def test_retired_resource_keeps_all_but_its_status() -> None:
    assert retired({**STORED, "note": [{"text": "x"}]}) == {
        **OURS,
        "status": "entered-in-error",
        "note": [{"text": "x"}],
    }


def test_subject_follows_without_what_named_the_one_before() -> None:
    present = {**STORED, "subject": {"reference": "Patient/p", "display": "Doe"}}

    assert of_patient(present, "Patient/q") == {**OURS, "subject": {"reference": "Patient/q"}}


def test_resource_with_a_note_or_of_another_source_is_not_ours_alone() -> None:
    assert ours_alone(STORED)
    assert not ours_alone({**STORED, "note": [{"text": "x"}]})
    assert not ours_alone({**STORED, "meta": {"source": "urn:other"}})
