"""OPTIONS on every resource, and what web pages of other origins may do."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import httpx
import pytest
from pydicom.uid import generate_uid

from app.web.routes import DICOMWEB
from tests.conftest import Stack
from tests.server import Server

pytestmark = pytest.mark.stack
PAGE = "https://viewer.example.org"


def concrete(path: str) -> str:
    """Return a path with a UID in place of each name."""
    for name in ("study", "series", "instance"):
        path = path.replace(f"{{{name}}}", generate_uid())
    return path.replace("{frames}", "1").replace("{", "").replace("}", "")


def description(answer: httpx.Response) -> ET.Element:
    """Return the resources that an answer describes."""
    return ET.fromstring(answer.content)[0]  # noqa: S314  our own


@pytest.mark.parametrize("path", sorted({route.path for route in DICOMWEB}))
def test_a_resource_tells_its_methods(client: httpx.Client, path: str) -> None:
    answer = client.options(concrete(path))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/vnd.sun.wadl+xml")
    allowed = set(answer.headers["Allow"].split(", "))
    methods = {m for route in DICOMWEB if route.path == path for m in route.methods or ()}
    assert allowed == methods | {"HEAD", "OPTIONS"}
    assert description(answer)[0].get("path") == path.lstrip("/")


def test_the_base_tells_of_every_resource(client: httpx.Client) -> None:
    answer = client.options("/", headers={"Accept": "application/vnd.sun.wadl+xml"})
    assert len(description(answer)) == len({route.path for route in DICOMWEB})
    assert client.options("/", headers={"Accept": "image/png"}).status_code == 406


def test_a_page_of_another_origin_is_let_in_nowhere_by_default(client: httpx.Client) -> None:
    answer = client.get("/studies?limit=1", headers={"Origin": PAGE})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.fixture(scope="module")
def open_server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("cors"),
        stack.elasticsearch_url,
        stack.fhir_url,
        {"COREGISTER_CORS_ORIGINS": PAGE},
    )
    server.start()
    try:
        yield server
    finally:
        server.discard()


def test_a_page_of_a_named_origin_is_let_in_and_sees_the_headers_it_needs(
    open_server: Server,
) -> None:
    url = f"{open_server.base}/studies"
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,if-none-match,range",
    }
    preflight = httpx.options(url, headers=asked, trust_env=False)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    answer = httpx.get(url, headers={"Origin": PAGE}, trust_env=False)
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    shown = {each.strip() for each in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert {"Warning", "ETag", "Content-Location", "X-Total-Count", "Content-Range"} <= shown
    bad = httpx.get(f"{url}?limit=x", headers={"Origin": PAGE}, trust_env=False)
    assert bad.status_code == 400
    assert bad.headers["Access-Control-Allow-Origin"] == PAGE


def test_a_page_of_another_origin_is_refused(open_server: Server) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    url = f"{open_server.base}/studies"
    assert httpx.options(url, headers=asked, trust_env=False).status_code == 400
    answer = httpx.get(url, headers={"Origin": "https://evil.example"}, trust_env=False)
    assert "Access-Control-Allow-Origin" not in answer.headers
