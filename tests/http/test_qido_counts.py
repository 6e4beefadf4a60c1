"""Counts, facets and patients: extensions of QIDO-RS."""

from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.http.stock import STUDIES, Stock
from tests.server import Server, values

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stock(server: Server) -> Stock:
    made = Stock()
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        made.put(http)
    return made


def count(client: httpx.Client, path: str, **params: Any) -> int:
    answer = client.get(f"{path}/count", params=params)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    found: dict[str, int] = answer.json()
    assert found.keys() == {"count"}
    return found["count"]


def test_every_search_resource_has_a_count(client: httpx.Client, stock: Stock) -> None:
    """As dcm4chee has it."""
    study = f"/studies/{stock.studies[1]}"
    (first, _) = client.get(f"{study}/series").json()

    assert count(client, "/patients", **stock.mine()) == 3
    assert count(client, "/studies", **stock.mine()) == 5
    assert count(client, "/series", **stock.mine()) == 7
    assert count(client, "/instances", **stock.mine()) == 14
    assert count(client, f"{study}/series") == 2
    assert count(client, f"{study}/instances") == 4
    assert count(client, f"{study}/series/{values(first, '0020000E')[0]}/instances") == 2
    assert count(client, "/studies", **stock.mine(limit=1, offset=3, orderby="StudyDate")) == 5
    assert count(client, "/studies", **stock.mine(KVP="120")) == 2
    assert count(client, "/patients", **stock.mine(KVP="120")) == 1
    assert count(client, "/studies", PatientID=generate_uid()) == 0
    assert client.get("/studies/count", params={"StudyDate": "x"}).status_code == 400


def facets(client: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    """Return attribute → its facet."""
    answer = client.get(f"{path}/facets", params=params)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return {"count": body["count"], **{each["name"]: each for each in body["facets"]}}


def pairs(facet: dict[str, Any]) -> list[tuple[Any, int]]:
    return [(each["value"], each["count"]) for each in facet["values"]]


def test_facets_count_entries_of_the_level(client: httpx.Client, stock: Stock) -> None:
    asked = stock.mine(by="Modality,Manufacturer")
    studies = facets(client, "/studies", **asked)
    series = facets(client, "/series", **asked)
    instances = facets(client, "/instances", **asked)

    assert (studies["count"], series["count"], instances["count"]) == (5, 7, 14)
    assert pairs(studies["Modality"]) == [("MR", 3), ("CT", 2), ("PT", 1)]
    assert pairs(series["Modality"]) == [("CT", 3), ("MR", 3), ("PT", 1)]
    assert pairs(instances["Modality"]) == [("CT", 6), ("MR", 6), ("PT", 2)]
    assert pairs(studies["Manufacturer"]) == [("Other, Inc.", 4), ("ACME", 2)]
    assert pairs(instances["Manufacturer"]) == [("Other, Inc.", 8), ("ACME", 6)]


def test_any_tag_can_be_counted_by_at_any_level(client: httpx.Client, stock: Stock) -> None:
    asked = stock.mine(by="KVP,AnatomicRegionSequence.CodeValue,StudyDate,PatientName")
    studies = facets(client, "/studies", **asked)
    instances = facets(client, "/instances", **asked)

    assert pairs(studies["KVP"]) == [(120, 2)]
    assert studies["KVP"]["missing"] == 3
    assert pairs(instances["KVP"]) == [(120, 6)]
    assert instances["KVP"]["missing"] == 8
    nested = "AnatomicRegionSequence.CodeValue"
    assert pairs(studies[nested]) == [("T-MR", 3), ("T-CT", 2), ("T-PT", 1)]
    assert pairs(studies["StudyDate"]) == [
        (each[2], 1) for each in sorted(STUDIES, key=lambda s: s[2])
    ]
    assert ("anna^a", 2) in pairs(studies["PatientName"])
    private = "by=00291001&00290010=STOCK MAKER"
    found = client.get(f"/studies/facets?{private}&PatientID={stock.word}*").json()
    assert {each["value"] for each in found["facets"][0]["values"]} == {
        f"secret-{n}" for n in range(5)
    }


def test_facets_are_of_what_matches(client: httpx.Client, stock: Stock) -> None:
    by = "Modality,KVP"
    ct = facets(client, "/studies", **stock.mine(by=by, ModalitiesInStudy="CT"))
    nested = facets(client, "/series", **stock.mine(by=by, KVP="120"))
    study = facets(client, f"/studies/{stock.studies[1]}/series", by=by)
    nobody = facets(client, "/studies", by=by, PatientID=generate_uid())

    assert pairs(ct["Modality"]) == [("CT", 2), ("MR", 1)]
    assert pairs(nested["Modality"]) == [("CT", 3)]
    assert pairs(study["Modality"]) == [("CT", 1), ("MR", 1)]
    assert (nobody["count"], pairs(nobody["Modality"]), pairs(nobody["KVP"])) == (0, [], [])


def test_facets_give_the_most_frequent_values(client: httpx.Client, stock: Stock) -> None:
    found = facets(client, "/studies", **stock.mine(by="Modality", limit=1))

    assert pairs(found["Modality"]) == [("MR", 3)]
    assert found["Modality"]["further"] == 2


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "by"),
        ("by=", "by"),
        ("by=NoSuchAttribute", "NoSuchAttribute"),
        ("by=00291001", "00291001"),
        ("by=PixelData", "7FE00010"),
        ("by=Modality&limit=x", "limit"),
    ],
)
def test_facets_that_cannot_be_are_a_bad_request(
    client: httpx.Client, query: str, named: str
) -> None:
    answer = client.get(f"/studies/facets?{query}")

    assert answer.status_code == 400
    assert named in answer.json()["detail"]


def test_patients_come_once_by_name_with_their_counts(client: httpx.Client, stock: Stock) -> None:
    rows = client.get("/patients", params=stock.mine()).json()

    assert [values(row, "00100020")[0][-1] for row in rows] == ["B", "A", "C"]
    assert [values(row, "00201200")[0] for row in rows] == [2, 2, 1]
    assert [values(row, "00201202")[0] for row in rows] == [2, 4, 1]
    assert [values(row, "00201204")[0] for row in rows] == [4, 8, 2]
    assert values(rows[1], "00100010")[0]["Alphabetic"] == "Anna^A"  # as the newest study has it
    assert all(list(row) == sorted(row) for row in rows)
    assert not {"0020000D", "00080020", "00081190"} & rows[0].keys()


def test_patients_are_found_by_anything_of_their_studies(
    client: httpx.Client, stock: Stock
) -> None:
    def found(**asked: Any) -> list[str]:
        answer = client.get("/patients", params=stock.mine(**asked))
        rows = answer.json() if answer.status_code == 200 else []
        return [values(row, "00100020")[0][-1] for row in rows]

    assert found(orderby="-PatientName") == ["C", "A", "B"]
    assert found(PatientName="ahren*") == ["B"]
    assert found(StudyDate="20240105-") == ["A"]
    assert found(ModalitiesInStudy="MR") == ["B", "A"]
    assert found(KVP="120") == ["A"]
    assert found(limit=1, offset=1) == ["A"]
    assert found(StudyDate="1999") == []


def test_row_of_a_patient_has_attributes_of_the_patient_only(
    client: httpx.Client, stock: Stock
) -> None:
    """What else is asked for is left out silently, as at the other levels."""
    (row, *_) = client.get(
        "/patients", params=stock.mine(includefield="StudyDate,PatientComments,Modality")
    ).json()
    every = client.get("/patients", params=stock.mine(includefield="all")).json()[0]
    text = client.get("/patients", params=stock.mine(), headers={"Accept": "text/csv"}).text

    assert not {"00080020", "00080060"} & row.keys()
    assert not {"00080020", "0020000D"} & every.keys()
    assert "NumberOfPatientRelatedStudies" in text.splitlines()[0]
    assert len(text.splitlines()) == 4
