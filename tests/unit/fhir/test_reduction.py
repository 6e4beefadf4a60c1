"""Instances are taken out of an ImagingStudy: counts follow, of others' elements nothing is lost."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fhir.commit_marks import CommitMarks, pending_commits
from app.fhir.imaging_study import SOURCE, merge_imaging_study, retired
from app.fhir.listing import listed
from app.fhir.reduction import ours_alone, reduce_imaging_study
from app.limits import Limits
from tests.unit.fhir.conftest import Merge
from tests.unit.fhir.dicom_json import record

RECORDS = [record(number, series=series) for series in (1, 2, 3) for number in range(1, 9)]
BY_UID = {each.sop_instance_uid: each for each in RECORDS}


def reduced(
    study: dict[str, Any],
    uids: set[str],
    *,
    limits: Limits | None = None,
    status: str = "cancelled",
    commit: CommitMarks | None = None,
) -> dict[str, Any]:
    removed: dict[str, set[str]] = {}
    for uid in uids:
        removed.setdefault(BY_UID[uid].series_instance_uid, set()).add(uid)
    return reduce_imaging_study(
        study,
        removed,
        endpoints=["Endpoint/e"],
        emptied_status=status,
        limits=limits or Limits(),
        commit=commit or CommitMarks(()),
    )


@given(st.sets(st.sampled_from(sorted(BY_UID)), max_size=len(BY_UID) - 1))
def test_what_is_left_is_as_if_the_removed_had_never_come(merge: Merge, uids: set[str]) -> None:
    whole = merge(None, RECORDS)
    before = deepcopy(whole)
    left = [each for each in RECORDS if each.sop_instance_uid not in uids]

    assert reduced(whole, uids) == merge(None, left)
    assert whole == before


@given(st.sets(st.sampled_from(sorted(BY_UID)), max_size=len(BY_UID) - 1))
def test_a_list_stays_complete_or_goes(merge: Merge, uids: set[str]) -> None:
    limits = Limits(fhir_instances=40, fhir_instances_at_once=6)
    study = reduced(merge(None, RECORDS), uids, limits=limits)

    assert listed(study) or not any("instance" in series for series in study["series"])
    assert study["numberOfInstances"] == len(RECORDS) - len(uids)


def test_a_study_that_only_counts_counts_less(merge: Merge) -> None:
    limits = Limits(fhir_instances=0)
    study = merge(None, RECORDS, limits=limits)
    less = reduced(study, {RECORDS[0].sop_instance_uid}, limits=limits)

    assert less["numberOfInstances"] == len(RECORDS) - 1
    assert not listed(less)


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_an_emptied_study_is_retired_and_comes_back_as_new(merge: Merge, status: str) -> None:
    whole = merge(None, RECORDS) | {"note": [{"text": "theirs"}]}
    empty = reduced(whole, set(BY_UID), status=status)

    assert retired(empty)
    assert empty["status"] == status
    assert (empty["numberOfSeries"], empty["numberOfInstances"]) == (0, 0)
    assert not {"series", "modality", "endpoint"} & empty.keys()
    assert empty["note"] == [{"text": "theirs"}]
    assert empty["subject"] == whole["subject"]

    again = merge(empty, RECORDS[:2], patient="Patient/other")
    assert again["status"] == "available"
    assert again["subject"] == {"reference": "Patient/other"}
    assert again == merge(None, RECORDS[:2], patient="Patient/other") | {
        "note": [{"text": "theirs"}]
    }


def test_a_study_that_others_prepared_without_instances_is_not_taken_for_retired(
    merge: Merge,
) -> None:
    prepared = {"status": "registered", "subject": {"reference": "Patient/theirs"}}

    assert not retired(prepared)
    assert merge(prepared, RECORDS[:1])["subject"] == {"reference": "Patient/theirs"}


def test_what_others_wrote_into_a_series_stays_with_it(merge: Merge) -> None:
    study = merge(None, RECORDS)
    study["series"][0]["bodySite"] = {"code": "x"}
    less = reduced(study, {RECORDS[0].sop_instance_uid})

    assert less["series"][0]["bodySite"] == {"code": "x"}


def test_marks_are_written_and_confirmed_ones_go(merge: Merge) -> None:
    study = merge(None, RECORDS, commit=CommitMarks(("stored",)))
    commit = CommitMarks(("deleted",), frozenset({"stored"}))

    assert pending_commits(reduced(study, set(BY_UID), commit=commit)) == ("deleted",)


@pytest.mark.parametrize(
    ("change", "ours"),
    [
        ({}, True),
        ({"meta": {"source": f"{SOURCE}#request", "versionId": "3"}}, True),
        ({"meta": {}}, False),
        ({"meta": {"source": "https://ris.example.org"}}, False),
        ({"note": [{"text": "x"}]}, False),
        ({"reasonCode": [{"text": "x"}]}, False),
        ({"description": "x"}, False),
        ({"basedOn": [{"reference": "ServiceRequest/theirs"}]}, False),
        ({"extension": [{"url": "https://ris.example.org", "valueString": "x"}]}, False),
        ({"extension": [{"url": "urn:coregister:commit", "valueString": "x"}]}, True),
        ({"identifier": [{"system": "https://ris.example.org", "value": "x"}]}, False),
    ],
)
def test_only_what_nobody_else_has_a_part_in_is_ours_alone(
    merge: Merge, change: dict[str, Any], *, ours: bool
) -> None:
    study = merge(None, [record(1, values={"AccessionNumber": "A1", "StudyDescription": "d"})])

    changed = study | change
    if "extension" in change:
        changed["extension"] = [*study["extension"], *change["extension"]]

    assert ours_alone(changed) is ours


def test_a_new_version_changes_the_list_and_no_count(merge: Merge, systems: Any) -> None:
    study = merge(None, RECORDS)
    sop = RECORDS[0].sop_instance_uid
    other = record(1, series=1, values={"InstanceNumber": 99})
    after = merge_imaging_study(
        study, [], replaced=[other], patient="Patient/p", endpoints=["Endpoint/e"], limits=Limits(),
        systems=systems, time_zone=None, commit=CommitMarks(()),
    )  # fmt: skip

    assert after["numberOfInstances"] == study["numberOfInstances"]
    (numbers,) = ({i["uid"]: i["number"] for i in s["instance"]} for s in after["series"][:1])
    assert numbers[sop] == 99
    assert listed(after)
