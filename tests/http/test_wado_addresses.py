"""Every address in an answer is the one that the client can use, and every answer has the safe headers."""

import re
from collections.abc import Iterator

import httpx
import pytest
from pydicom.uid import generate_uid

from app.web.safe_headers import HEADERS
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.server import Server, multipart, store
from tests.wado import Stored, get, stored_file

pytestmark = pytest.mark.stack
FORWARDED = {"Forwarded": "for=192.0.2.1;proto=https;host=pacs.example"}
BEFORE = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "pacs.example"}
OUTSIDE = "https://pacs.example/dicom-web/studies/"
ADDRESS = re.compile(rb'https?://[^"\s<>]+?/studies/')


@pytest.fixture(scope="module")
def behind_a_proxy(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A server that trusts proxies on this machine."""
    running = Server(
        tmp_path_factory.mktemp("proxied"),
        stack.elasticsearch_url,
        stack.fhir_url,
        settings={"COREGISTER_TRUSTED_PROXIES": "127.0.0.1, ::1"},
    )
    running.start()
    try:
        with httpx.Client(base_url=running.base, timeout=60, trust_env=False) as http:
            yield http
    finally:
        running.discard()


def addresses(client: httpx.Client, headers: dict[str, str]) -> set[str]:
    """Return what the addresses in all kinds of answers begin with."""
    study, series, instance = generate_uid(), generate_uid(), generate_uid()
    data = make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance)
    sent, body = multipart(data)
    path = f"/studies/{study}/series/{series}/instances/{instance}"
    xml = 'multipart/related; type="application/dicom+xml"'
    answers = [
        client.post("/studies", headers={**sent, **headers}, content=body),
        client.get("/studies", params={"StudyInstanceUID": study}, headers=headers),
        client.get(f"{path}/metadata", headers=headers),
        client.get(f"{path}/metadata", headers={**headers, "Accept": xml}),
        client.get(f"{path}/bulkdata", headers=headers),
        client.get(f"{path}/pixeldata", headers=headers),
        client.get(f"{path}/frames/1", headers=headers),
        client.get(f"{path}/bulkdata/7FE00010", headers=headers),
        client.request("OPTIONS", "/studies", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    found = [ADDRESS.findall(answer.content) for answer in answers[:-1]]
    assert all(found)
    return {address.decode() for each in found for address in each}


@pytest.mark.parametrize("headers", [FORWARDED, BEFORE])
def test_a_trusted_proxy_says_how_it_was_called(
    behind_a_proxy: httpx.Client, headers: dict[str, str]
) -> None:
    assert addresses(behind_a_proxy, headers) == {OUTSIDE}


@pytest.mark.parametrize("headers", [FORWARDED, BEFORE, {"X-Forwarded-Prefix": "/evil"}])
def test_nobody_else_does(client: httpx.Client, headers: dict[str, str]) -> None:
    """Not even from this machine, unless the setting says so."""
    assert addresses(client, headers) == {f"{str(client.base_url).rstrip('/')}/studies/"}


def test_a_host_without_its_port_is_not_believed(client: httpx.Client) -> None:
    """As Python's dicomweb-client sends it."""
    here = {f"{str(client.base_url).rstrip('/')}/studies/"}

    assert addresses(client, {"Host": "127.0.0.1"}) == here
    assert addresses(client, {"Host": "localhost:9999"}) == {
        "http://localhost:9999/dicom-web/studies/"
    }


@pytest.fixture(scope="module")
def file(server: Server) -> Stored:
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        return stored_file(http, "CT_small.dcm")


def test_every_answer_has_the_safe_headers(client: httpx.Client, file: Stored) -> None:
    """What is stored may be a page or a script: no browser shall run it."""
    alone = {"Accept": "application/dicom"}
    etag = get(client, f"{file.study}/metadata").headers["ETag"]
    answers = {
        200: get(client, file.instance),
        204: get(client, "/studies?StudyInstanceUID=1.2.3.4.5.6.7.8.9"),
        206: client.get(file.instance, headers={**alone, "Range": "bytes=0-9"}),
        304: client.get(f"{file.study}/metadata", headers={"If-None-Match": etag}),
        400: get(client, "/studies/x"),
        404: get(client, "/studies/1.2.3.4.5.6.7.8.9"),
        405: client.put(file.study),
        406: get(client, file.study, "image/png"),
        409: store(client, b"no DICOM at all"),
        415: client.post("/studies", content=b"x", headers={"Content-Type": "text/plain"}),
        416: client.get(file.instance, headers={**alone, "Range": "bytes=999999999-"}),
    }

    for status, answer in answers.items():
        assert answer.status_code == status
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value], (status, name)
