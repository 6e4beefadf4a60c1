"""Sorting and paging: `orderby`, `cursor`, `limit` and `offset`."""

from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.corpus import make_instance
from tests.http.stock import Stock
from tests.server import Server, store, values

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stock(server: Server) -> Stock:
    made = Stock()
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        made.put(http)
    return made


def rows(client: httpx.Client, path: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.mark.parametrize(
    ("orderby", "expected"),
    [
        ("StudyDate", [4, 2, 3, 0, 1]),
        ("-StudyDate", [1, 0, 3, 2, 4]),
        ("-00080020", [1, 0, 3, 2, 4]),
        ("PatientName,StudyDate", [2, 3, 0, 1, 4]),
        ("-PatientName,-StudyDate", [4, 1, 0, 3, 2]),
        ("StudyDescription", [1, 4, 3, 0, 2]),
        ("-NumberOfStudyRelatedInstances,PatientID,StudyDate", [0, 1, 2, 3, 4]),
    ],
)
def test_studies_are_sorted_as_asked(
    client: httpx.Client, stock: Stock, orderby: str, expected: list[int]
) -> None:
    """An extension, in dcm4chee's syntax."""
    assert stock.numbers(rows(client, "/studies", stock.mine(orderby=orderby))) == expected


def test_series_and_instances_are_sorted_by_attributes_of_their_own_and_above(
    client: httpx.Client, stock: Stock
) -> None:
    series = rows(client, "/series", stock.mine(orderby="-Modality,StudyDate,-SeriesNumber"))
    instances = rows(client, "/instances", stock.mine(orderby="SliceLocation,PatientName"))

    assert [values(row, "00080060")[0] for row in series] == [
        "PT",
        "MR",
        "MR",
        "MR",
        "CT",
        "CT",
        "CT",
    ]
    assert [values(row, "00200011")[0] for row in series[-3:]] == [2, 1, 1]
    assert [values(row, "00200013")[0] for row in instances] == [2] * 7 + [1] * 7
    assert stock.numbers(instances[:2]) in ([2, 3], [3, 2])


def test_what_has_no_value_comes_last_in_both_directions(
    client: httpx.Client, stock: Stock
) -> None:
    empty, filled = generate_uid(), generate_uid()
    shared: dict[str, Any] = {"PatientID": f"last{stock.word}"}
    store(client, make_instance(StudyInstanceUID=empty, StudyDescription=None, **shared))
    store(client, make_instance(StudyInstanceUID=filled, StudyDescription="x", **shared))
    for orderby in ("StudyDescription", "-StudyDescription"):
        found = rows(client, "/studies", {**shared, "orderby": orderby})
        assert [values(row, "0020000D")[0] for row in found] == [filled, empty]


@pytest.mark.parametrize(
    ("path", "orderby"),
    [
        ("/studies", "Modality"),
        ("/studies", "InstanceNumber"),
        ("/series", "InstanceNumber"),
        ("/series", "ModalitiesInStudy"),
        ("/instances", "KVP"),
        ("/studies", "RequestedProcedureCodeSequence"),
        ("/studies", "NoSuchAttribute"),
        ("/studies", "-"),
        ("/patients", "StudyDate"),
    ],
)
def test_order_that_cannot_be_is_a_bad_request(
    client: httpx.Client, path: str, orderby: str
) -> None:
    answer = client.get(path, params={"orderby": orderby})

    assert answer.status_code == 400
    assert "orderby" in answer.json()["detail"]


def followed(client: httpx.Client, path: str, params: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the pages that the Link header leads through."""
    pages: list[list[dict[str, Any]]] = []
    answer = client.get(path, params=params)
    while answer.status_code == 200:
        pages.append(answer.json())
        if "next" not in answer.links:
            assert "X-Next-Cursor" not in answer.headers
            break
        assert f"cursor={answer.headers['X-Next-Cursor']}" in answer.links["next"]["url"]
        answer = client.get(answer.links["next"]["url"])
    return pages


@pytest.mark.parametrize("path", ["/studies", "/series", "/instances", "/patients"])
@pytest.mark.parametrize("orderby", ["", "PatientName", "-PatientID,PatientName"])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_cursors_lead_through_the_whole_answer(
    client: httpx.Client, stock: Stock, path: str, orderby: str, limit: int
) -> None:
    asked = stock.mine(**({"orderby": orderby} if orderby else {}))
    whole = rows(client, path, asked)

    pages = followed(client, path, {**asked, "limit": limit})

    assert [row for page in pages for row in page] == whole
    assert all(len(page) == limit for page in pages[:-1])


def test_what_remains_is_told_behind_a_cursor_too(client: httpx.Client, stock: Stock) -> None:
    first = client.get("/studies", params=stock.mine(limit=2, offset=1))
    second = client.get(first.links["next"]["url"])
    third = client.get("/studies", params=stock.mine(cursor=second.headers["X-Next-Cursor"]))

    assert "There are 2 additional results" in first.headers["Warning"]
    assert "Warning" not in second.headers
    assert second.headers["X-Total-Count"] == "5"
    assert stock.numbers(first.json() + second.json()) == [0, 3, 2, 4]
    assert third.status_code == 204  # the second page was full, but nothing came behind it


def test_cursor_stays_at_its_place_while_others_store_and_delete(client: httpx.Client) -> None:
    """Each entry that is there all the time comes once, whatever happens around it."""
    stock = Stock()
    stock.put(client)
    answer = client.get("/studies", params=stock.mine(limit=2))
    seen = stock.numbers(answer.json())
    patient: dict[str, Any] = {"PatientID": f"{stock.word}-N", "PatientName": "New^N"}
    store(client, make_instance(StudyDate="20991231", **patient))  # before all that were seen
    late = generate_uid()
    store(client, make_instance(StudyInstanceUID=late, StudyDate="19700101", **patient))
    assert client.delete(f"/studies/{stock.studies[seen[0]]}").status_code == 204
    rest: list[str] = []
    while "next" in answer.links:
        answer = client.get(answer.links["next"]["url"])
        if answer.status_code == 200:
            rest += [values(row, "0020000D")[0] for row in answer.json()]

    assert seen == [1, 0]
    assert rest == [stock.studies[3], stock.studies[2], stock.studies[4], late]


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "\u00e9", "a" * 5000, "../../etc/passwd"])
def test_cursor_that_is_none_is_a_bad_request(client: httpx.Client, cursor: str) -> None:
    answer = client.get("/studies", params={"cursor": cursor})

    assert answer.status_code == 400
    assert "cursor" in answer.json()["detail"]


def test_cursor_of_another_search_is_a_bad_request(client: httpx.Client, stock: Stock) -> None:
    cursor = client.get("/studies", params=stock.mine(limit=1)).headers["X-Next-Cursor"]

    for path, params in (
        ("/studies", {"cursor": cursor}),
        ("/series", stock.mine(cursor=cursor)),
        ("/patients", stock.mine(cursor=cursor)),
        ("/studies", stock.mine(cursor=cursor, orderby="PatientName")),
        ("/studies", stock.mine(cursor=cursor, offset=1)),
    ):
        assert client.get(path, params=params).status_code == 400
    assert client.get("/studies", params=stock.mine(cursor=cursor, limit=0)).status_code == 204


def test_limit_of_the_server_is_kept_and_told(client: httpx.Client, stock: Stock) -> None:
    """PS3.18 §8.3.4.4: no rows and no error where nothing is left."""
    assert client.get("/studies", params=stock.mine(limit=0)).status_code == 204
    assert client.get("/studies", params=stock.mine(offset=5)).status_code == 204
    assert client.get("/studies", params=stock.mine(offset=10**12)).status_code == 204
    assert len(rows(client, "/studies", stock.mine(limit=10**9))) == 5
