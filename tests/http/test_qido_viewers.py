"""The searches of OHIF, as it sends them."""

from typing import Any

import httpx
import pytest

from tests.http.stock import Stock
from tests.server import Server, values

pytestmark = pytest.mark.stack

LIST = "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060"
ACCEPT = {"Accept": "application/dicom+json"}


@pytest.fixture(scope="module")
def stock(server: Server) -> Stock:
    made = Stock()
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        made.put(http)
    return made


def rows(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(path, headers=ACCEPT)
    if answer.status_code == 204:
        return []
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/dicom+json"
    found: list[dict[str, Any]] = answer.json()
    return found


def test_study_list_has_what_it_shows(client: httpx.Client, stock: Stock) -> None:
    """Modality is asked of studies, which have none: it is left out, and nothing is warned of."""
    answer = client.get(f"/studies?00100020=*{stock.word}*&{LIST}", headers=ACCEPT)
    found = answer.json()

    assert stock.numbers(found) == [1, 0, 3, 2, 4]
    assert "Warning" not in answer.headers
    for row in found:
        assert values(row, "00080061")
        assert values(row, "00201208")
        assert values(row, "00081030")
        assert "00080060" not in row


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ("PatientName=*Zo%C3%AB*", [4]),
        ("PatientName=*ZOE*", [4]),
        ("StudyDescription=*hre*", [2]),
        ("AccessionNumber=*A-1*", [1, 0, 3, 2, 4]),
        ("ModalitiesInStudy=CT%2CMR", [1, 0, 3, 2]),
        ("StudyDate=20240103-20240104", [3, 2]),
        ("StudyDate=19700102-20240102", [4]),
        ("AccessionNumber=*nobody*", []),
    ],
)
def test_filters_of_the_study_list_match(
    client: httpx.Client, stock: Stock, wanted: str, numbers: list[int]
) -> None:
    found = rows(client, f"/studies?00100020=*{stock.word}*&{wanted}&{LIST}")

    assert stock.numbers(found) == numbers


def test_row_of_the_list_opens_and_the_viewer_finds_its_series(
    client: httpx.Client, stock: Stock
) -> None:
    study = stock.studies[1]
    opened = rows(client, f"/studies/{study}/series?includefield=0008103E%2C00080021")
    viewer = rows(
        client,
        f"/studies/{study}/series?includefield=00080021%2C00080031%2C0008103E%2C00200011",
    )
    several = rows(client, f"/studies?{LIST}&StudyInstanceUID={study}%5C{stock.studies[0]}")

    assert [values(row, "00200011") for row in opened] == [[1], [2]]
    assert [values(row, "00201209") for row in viewer] == [[2], [2]]
    assert [values(row, "00080060") for row in viewer] == [["CT"], ["MR"]]
    assert stock.numbers(several) == [1, 0]


def test_accept_with_other_things_beside_chooses_json(client: httpx.Client, stock: Stock) -> None:
    accept = (
        "application/dicom+json, multipart/related; type=application/octet-stream; "
        "transfer-syntax=*"
    )
    answer = client.get(f"/studies?PatientID={stock.word}*", headers={"Accept": accept})

    assert answer.headers["Content-Type"] == "application/dicom+json"
