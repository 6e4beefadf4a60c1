"""In which form rows are sent: JSON, XML, CSV, compressed, empty, without a body (PS3.18 §10.6.3)."""

import csv
import email.parser
import io
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.stock import Stock
from tests.server import Server, store, values

pytestmark = pytest.mark.stack

XML = 'multipart/related; type="application/dicom+xml"'
DICOM = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


@pytest.fixture(scope="module")
def stock(server: Server) -> Stock:
    made = Stock()
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        made.put(http)
    return made


def parts_of(answer: httpx.Response) -> list[ET.Element]:
    """Return the documents of a multipart answer, read by Python's own parser."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.parser.BytesParser().parsebytes(head + answer.content)
    documents = []
    for part in message.walk():
        if not part.is_multipart():
            assert part.get_content_type() == "application/dicom+xml"
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            documents.append(ET.fromstring(payload))  # noqa: S314  our own server's
    return documents


def table_of(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


@pytest.mark.parametrize("path", ["/studies", "/series", "/instances", "/patients"])
def test_rows_as_xml_are_the_rows_as_json(client: httpx.Client, stock: Stock, path: str) -> None:
    """PS3.18 §10.6.3.2: one part a row, in the Native DICOM Model."""
    expected = client.get(path, params=stock.mine()).json()
    answer = client.get(path, params=stock.mine(), headers={"Accept": XML})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(f"{XML}; boundary=")
    documents = parts_of(answer)
    assert len(documents) == len(expected)
    for document, row in zip(documents, expected, strict=True):
        elements = {each.attrib["tag"]: each for each in document.findall(f"{DICOM}DicomAttribute")}
        assert elements.keys() == row.keys()
        texts = [value.text for value in elements["00100020"].findall(f"{DICOM}Value")]
        assert texts == values(row, "00100020")
        urls = [value.text for value in elements.get("00081190", [])]
        assert urls == values(row, "00081190")


@pytest.mark.parametrize("path", ["/studies", "/series", "/instances"])
def test_rows_as_csv_are_the_rows_as_json(client: httpx.Client, stock: Stock, path: str) -> None:
    expected = client.get(path, params=stock.mine()).json()
    answer = client.get(path, params=stock.mine(), headers={"Accept": "text/csv"})

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    rows = table_of(answer)
    assert len(rows) == len(expected)
    for line, row in zip(rows, expected, strict=True):
        assert line["StudyInstanceUID"] == values(row, "0020000D")[0]
        assert line["ModalitiesInStudy"] == "\\".join(values(row, "00080061"))
        assert line["NumberOfStudyRelatedInstances"] == str(values(row, "00201208")[0])
        assert line["PatientName"] == values(row, "00100010")[0]["Alphabetic"]
        assert line["RetrieveURL"] == values(row, "00081190")[0]
        assert line["AccessionNumber"] == "A-1"


def test_csv_has_a_column_for_what_is_asked_for_and_no_formula(
    client: httpx.Client, stock: Stock
) -> None:
    asked = stock.mine(includefield="AnatomicRegionSequence.CodeValue,KVP")
    instances = table_of(client.get("/instances", params=asked, headers={"Accept": "text/csv"}))
    studies = table_of(client.get("/studies", params=stock.mine(), headers={"Accept": "text/csv"}))

    assert {(row["AnatomicRegionSequence.CodeValue"], row["KVP"]) for row in instances} == {
        ("T-CT", "120.0"),
        ("T-MR", ""),
        ("T-PT", ""),
    }
    assert "'=2+5" in {row["StudyDescription"] for row in studies}


def test_csv_of_all_fields_has_what_the_rows_have(client: httpx.Client, stock: Stock) -> None:
    asked = stock.mine(includefield="all", limit=3)
    found = table_of(client.get("/instances", params=asked, headers={"Accept": "text/csv"}))

    assert len(found) == 3
    assert found[0]['0029"STOCK MAKER"01'].startswith("secret-")
    assert found[0]["ImagePositionPatient"] == "-10.5\\0.0\\12.25"
    assert client.get(found[0]["PixelData"]).status_code == 200


@pytest.mark.parametrize("accept", ["application/dicom+json", XML, "text/csv"])
def test_head_has_the_head_of_the_answer(client: httpx.Client, stock: Stock, accept: str) -> None:
    headers = {"Accept": accept}
    whole = client.get("/studies", params=stock.mine(limit=2), headers=headers)
    head = client.head("/studies", params=stock.mine(limit=2), headers=headers)

    assert head.status_code == 200
    assert head.content == b""
    for name in ("X-Total-Count", "Warning", "Link"):
        assert head.headers[name] == whole.headers[name]
    kind = head.headers["Content-Type"].partition("boundary")[0]
    assert kind == whole.headers["Content-Type"].partition("boundary")[0]
    assert client.head("/studies", params={"PatientID": generate_uid()}).status_code == 204


def test_nothing_found_is_204_in_every_form(client: httpx.Client) -> None:
    for accept in ("application/dicom+json", XML, "text/csv"):
        for path in ("/studies", "/series", "/instances", "/patients"):
            answer = client.get(
                path, params={"PatientID": generate_uid()}, headers={"Accept": accept}
            )
            assert answer.status_code == 204
            assert answer.content == b""
            assert answer.headers["X-Total-Count"] == "0"


def test_remaining_rows_and_ignored_parameters_are_warned_of(
    client: httpx.Client, stock: Stock
) -> None:
    """PS3.18 §8.3.4, §10.6.3: the texts of the standard, each with the code 299."""
    answer = client.get(
        "/studies", params=stock.mine(limit=3, unknown="x", includefield="nonsense")
    )

    assert answer.headers["Warning"].split(", ") == [
        '299 coregister "There are 2 additional results that can be requested"',
        '299 coregister "The parameter unknown is not supported and was ignored"',
        '299 coregister "The includefield nonsense is not an attribute and was ignored"',
    ]


def test_many_warnings_do_not_break_the_head(client: httpx.Client, stock: Stock) -> None:
    fields = ",".join(f"nonsense{number}" for number in range(4000))
    answer = client.get("/studies", params=stock.mine(includefield=fields))

    assert answer.status_code == 200
    assert len(answer.headers["Warning"]) < 4096


def test_link_of_a_long_query_is_left_out_but_not_its_cursor(
    client: httpx.Client, stock: Stock
) -> None:
    asked = stock.mine(limit=1, includefield="PatientName," * 400)
    answer = client.get("/studies", params=asked)

    assert "Link" not in answer.headers
    following = client.get("/studies", params={**asked, "cursor": answer.headers["X-Next-Cursor"]})
    assert stock.numbers(answer.json() + following.json()) == [1, 0]


def test_link_cannot_be_broken_out_of(client: httpx.Client, stock: Stock) -> None:
    answer = client.get(f'/studies?PatientID={stock.word}*&limit=1&x=<a>;"b"')

    assert answer.status_code == 200
    assert "<a>" not in answer.headers["Link"]
    assert stock.numbers(client.get(answer.links["next"]["url"]).json()) == [0]


@pytest.fixture(scope="module")
def other(
    stack: Stack, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Another Coregister over the same stores, with settings for other clients."""
    running = Server(
        tmp_path_factory.mktemp("other"),
        stack.elasticsearch_url,
        stack.fhir_url,
        settings={
            "COREGISTER_EMPTY_SEARCH": "empty-list",
            "COREGISTER_COMPRESS": "always",
            "COREGISTER_BLOBS": server.blobs.as_uri(),
            "COREGISTER_LIMIT_QUERY_RESULTS_MAX": "3",
        },
        index_prefix=server.index_prefix,
    )
    running.start()
    yield running
    running.stop()


def test_nothing_found_can_be_an_empty_list(other: Server) -> None:
    """For clients that cannot do without a body."""
    with httpx.Client(base_url=other.base, trust_env=False) as http:
        nobody: dict[str, Any] = {"PatientID": generate_uid()}
        answer = http.get("/studies", params=nobody)
        assert (answer.status_code, answer.json()) == (200, [])
        assert answer.headers["Content-Type"] == "application/dicom+json"
        in_parts = http.get("/studies", params=nobody, headers={"Accept": XML})
        assert in_parts.status_code == 204  # no multipart body is without parts
        lines = http.get(
            "/studies", params=nobody, headers={"Accept": "text/csv"}
        ).text.splitlines()
        assert len(lines) == 1


def test_more_than_the_server_gives_at_once_is_told(other: Server, stock: Stock) -> None:
    with httpx.Client(base_url=other.base, trust_env=False) as http:
        answer = http.get("/instances", params=stock.mine(limit=10))

        assert len(answer.json()) == 3
        assert "There are 11 additional results" in answer.headers["Warning"]


def test_long_json_is_compressed_and_the_same(
    client: httpx.Client, other: Server, stock: Stock
) -> None:
    with httpx.Client(base_url=other.base, trust_env=False) as http:
        asked = stock.mine(limit=3, includefield="all")
        answer = http.get("/instances", params=asked)
        plain = http.get("/instances", params=asked, headers={"Accept-Encoding": "identity"})

    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert answer.json() == plain.json()
    near = client.get("/instances", params=asked)
    assert "Content-Encoding" not in near.headers


def test_series_uid_that_two_studies_use_counts_in_each_of_its_own(client: httpx.Client) -> None:
    """Some senders do that: the rows of a series have the counts of its study."""
    word, series = generate_uid(), generate_uid()
    for number in (1, 2):
        study = generate_uid()
        files = [
            make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, StudyDescription=word)
            for _ in range(number)
        ]
        assert store(client, *files).status_code == 200
    rows = client.get("/instances", params={"StudyDescription": word}).json()

    assert sorted(values(row, "00201209")[0] for row in rows) == [1, 2, 2]
    assert sorted(values(row, "00201208")[0] for row in rows) == [1, 2, 2]
