from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.instance import InstanceRecord
from app.fhir.authorship import AUTHORED_EXTENSION
from app.fhir.commit_marks import CommitMarks, pending_commits
from app.fhir.imaging_study import count
from app.limits import Limits
from tests.unit.fhir.conftest import Merge
from tests.unit.fhir.dicom_json import CT_IMAGE, STUDY, attributes, record

RECORDS = [record(number, series=series) for series in (1, 2, 3) for number in range(1, 9)]
SMALL = Limits(fhir_instances=12, fhir_instances_at_once=6)


def memory_of(element: Mapping[str, Any]) -> list[str]:
    """The elements whose checksums an extension keeps."""
    (kept,) = (e for e in element["extension"] if e["url"] == AUTHORED_EXTENSION)
    return [pair.partition(":")[0] for pair in kept["valueString"].split()]


def test_a_new_study_has_what_the_mapping_says(merge: Merge) -> None:
    values = {
        "StudyDate": "20240105",
        "StudyTime": "101112",
        "TimezoneOffsetFromUTC": "+0100",
        "StudyDescription": "Chest",
        "AccessionNumber": "A1",
        "SeriesDescription": "Lung",
        "SeriesDate": "20240105",
    }

    study = merge(None, [record(7, values=values)], commit=CommitMarks(("c1",)))

    assert study == {
        "resourceType": "ImagingStudy",
        "meta": {"source": "urn:coregister"},
        "id": study["id"],
        "identifier": [
            {
                "use": "official",
                "type": {
                    "coding": [
                        {
                            "system": "http://dicom.nema.org/resources/ontology/DCM",
                            "code": "110180",
                        }
                    ]
                },
                "system": "urn:dicom:uid",
                "value": f"urn:oid:{STUDY}",
            },
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                            "code": "ACSN",
                        },
                        {
                            "system": "http://dicom.nema.org/resources/ontology/DCM",
                            "code": "121022",
                        },
                    ]
                },
                "system": "urn:test:accession",
                "value": "A1",
            },
        ],
        "status": "available",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}],
        "subject": {"reference": "Patient/p"},
        "started": "2024-01-05T10:11:12+01:00",
        "endpoint": [{"reference": "Endpoint/e"}],
        "numberOfSeries": 1,
        "numberOfInstances": 1,
        "basedOn": [{"type": "ServiceRequest", "identifier": study["identifier"][1]}],
        "description": "Chest",
        "series": [
            {
                "extension": study["series"][0]["extension"],
                "uid": f"{STUDY}.1",
                "number": 1,
                "modality": {
                    "system": "http://dicom.nema.org/resources/ontology/DCM",
                    "code": "CT",
                },
                "description": "Lung",
                "started": "2024-01-05",
                "numberOfInstances": 1,
                "instance": [
                    {
                        "uid": f"{STUDY}.1.7",
                        "sopClass": {
                            "system": "urn:ietf:rfc:3986",
                            "code": f"urn:oid:{CT_IMAGE}",
                        },
                        "number": 7,
                    }
                ],
            }
        ],
        "extension": [
            *(e for e in study["extension"] if e["url"] == AUTHORED_EXTENSION),
            {"url": "urn:coregister:commit", "valueString": "c1"},
        ],
    }
    assert memory_of(study) == ["description"]
    assert memory_of(study["series"][0]) == ["description", "number"]


@given(st.permutations(RECORDS), st.lists(st.integers(1, 23), max_size=4))
def test_neither_order_nor_grouping_changes_the_result(
    merge: Merge, shuffled: Sequence[InstanceRecord], cuts: Sequence[int]
) -> None:
    study = None
    edges = [0, *sorted(set(cuts)), len(shuffled)]
    for start, end in pairwise(edges):
        study = merge(study, shuffled[start:end])

    assert study == merge(None, RECORDS)


@given(st.sets(st.sampled_from(range(len(RECORDS)))), st.sets(st.sampled_from(range(len(RECORDS)))))
def test_bringing_a_listed_instance_again_changes_nothing(
    merge: Merge, first: set[int], second: set[int]
) -> None:
    before = merge(None, [RECORDS[n] for n in first])
    after = merge(before, [RECORDS[n] for n in second])

    assert count(after).instances == len(first | second)
    assert merge(after, [RECORDS[n] for n in first]) == after


@given(st.lists(st.integers(1, 9), max_size=6))
def test_a_study_counts_right_whether_it_lists_or_not(merge: Merge, sizes: list[int]) -> None:
    study, brought = None, 0
    for size in sizes:
        new = [record(n, series=1 + n % 3) for n in range(brought, brought + size)]
        study = merge(study, new, limits=SMALL)
        brought += size
        lists = [len(series.get("instance", ())) for series in study["series"]]
        counts = [series["numberOfInstances"] for series in study["series"]]

        assert study["numberOfInstances"] == sum(counts) == brought
        assert study["numberOfSeries"] == len(counts)
        assert lists in (counts, [0] * len(counts))


FOREIGN: dict[str, Any] = {
    "text": {"status": "generated", "div": "<div>x</div>"},
    "extension": [{"url": "http://a.example/x", "valueString": "kept"}],
    "basedOn": [{"reference": "ServiceRequest/1"}],
    "referrer": {"display": "Somebody"},
    "reasonCode": [{"text": "Pain"}],
    "note": [{"text": "Look again"}],
    "procedureCode": [{"text": "CT"}],
    "description": "Corrected by hand",
    "encounter": {"reference": "Encounter/1"},
    "subject": {"reference": "Patient/chosen-by-hand"},
}


@given(st.sets(st.sampled_from(sorted(FOREIGN))))
def test_what_others_wrote_stays(merge: Merge, elements: set[str]) -> None:
    """Field ownership: everything but what Coregister derives is others' to write."""
    before = merge(None, RECORDS[:2]) | {name: FOREIGN[name] for name in elements}
    before["series"][0]["bodySite"] = {"code": "51185008"}
    before["identifier"].append({"system": "urn:a", "value": "1"})
    asked = deepcopy(before)

    after = merge(before, [record(9, values={"StudyDescription": "Chest"})])

    assert before == asked
    for name in elements - {"extension"}:
        assert after[name] == FOREIGN[name]
    if "extension" in elements:
        assert FOREIGN["extension"][0] in after["extension"]
    assert after["series"][0]["bodySite"] == {"code": "51185008"}
    assert {"system": "urn:a", "value": "1"} in after["identifier"]


def test_what_others_broke_is_repaired(merge: Merge) -> None:
    whole = merge(None, RECORDS)
    broken = deepcopy(whole) | {
        "identifier": [],
        "status": "cancelled",
        "modality": [{"code": "MR"}],
        "numberOfSeries": 9,
        "numberOfInstances": 99,
        "endpoint": [{"reference": "Endpoint/gone"}],
    }

    assert merge(broken, RECORDS[:1]) == whole


def test_what_the_server_sets_is_not_sent_back(merge: Merge) -> None:
    before = merge(None, RECORDS[:1])
    before["meta"] = {
        "versionId": "3",
        "lastUpdated": "2024-01-05T10:11:12Z",
        "source": "#aBc",
        "tag": [{"code": "teaching"}],
    }

    assert merge(before, RECORDS[1:2])["meta"] == {"tag": [{"code": "teaching"}]}

    before["meta"]["source"] = "http://pacs.example#aBc"

    assert merge(before, RECORDS[1:2])["meta"]["source"] == "http://pacs.example"


def test_a_patient_that_is_only_named_becomes_a_link(merge: Merge) -> None:
    before = merge(None, RECORDS[:1])
    before["subject"] = {"display": "Somebody"}

    after = merge(before, RECORDS[1:2], patient="Patient/found")

    assert after["subject"] == {"display": "Somebody", "reference": "Patient/found"}


def test_modalities_are_those_of_the_series(merge: Merge) -> None:
    """The same as ModalitiesInStudy of QIDO, so a series without one does not add to them."""
    study = merge(
        None,
        [
            record(1, series=1, values={"Modality": "SR"}),
            record(1, series=2, values={"Modality": "CT"}),
            record(1, series=3, values={"Modality": "CT"}),
            record(1, series=4, values={"Modality": None}),
        ],
    )

    assert [coding["code"] for coding in study["modality"]] == ["CT", "SR"]
    assert count(study).modalities == ("CT", "SR")
    assert study["series"][3]["modality"]["extension"][0]["valueCode"] == "unknown"


def test_each_accession_number_is_an_identifier_once(merge: Merge) -> None:
    issuer = attributes(LocalNamespaceEntityID="RIS")
    values: list[dict[str, Any]] = [
        {"AccessionNumber": "A1"},
        {"AccessionNumber": "A1"},
        {"AccessionNumber": "A1", "IssuerOfAccessionNumberSequence": [issuer]},
        {"AccessionNumber": "A2"},
    ]

    study = merge(None, [record(n, values=given) for n, given in enumerate(values)])

    assert [(i["system"], i["value"]) for i in study["identifier"][1:]] == [
        ("urn:test:accession", "A1"),
        ("urn:test:accession", "A2"),
        ("urn:test:issuer:RIS", "A1"),
    ]
    assert [order["identifier"] for order in study["basedOn"]] == study["identifier"][1:]


def test_the_study_starts_with_its_earliest_instance(merge: Merge) -> None:
    late, early = {"StudyDate": "20240106"}, {"StudyDate": "20240105", "StudyTime": "0900"}

    study = merge(None, [record(1, values=late), record(2, values=early)], time_zone="Asia/Tokyo")

    assert study["started"] == "2024-01-05T09:00:00+09:00"


@pytest.mark.parametrize("number", [-1, None, 2**40])
def test_a_number_that_fhir_cannot_carry_is_left_out(merge: Merge, number: int | None) -> None:
    given = {"SeriesNumber": number, "InstanceNumber": number}

    (series,) = merge(None, [record(1, values=given)])["series"]

    assert "number" not in series
    assert "number" not in series["instance"][0]


def test_marks_stay_until_they_are_confirmed(merge: Merge) -> None:
    one = merge(None, RECORDS[:1], commit=CommitMarks(("a", "b")))
    two = merge(one, RECORDS[1:2], commit=CommitMarks(("c",), frozenset({"a"})))
    three = merge(two, RECORDS[2:3], commit=CommitMarks((), frozenset({"b", "c"})))

    assert pending_commits(one) == ("a", "b")
    assert pending_commits(two) == ("b", "c")
    assert "extension" not in three
