"""Extended query tags as Microsoft's clients call them."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Stack
from tests.corpus import element, with_elements
from tests.server import Server, store

pytestmark = pytest.mark.stack
ALL = "/extendedquerytags"
AGE = [{"Path": "PatientAge", "Level": "Study"}]


@pytest.fixture(scope="module")
def own_server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what is registered narrows everybody's searches."""
    server = Server(tmp_path_factory.mktemp("tags"), stack.elasticsearch_url, stack.fhir_url)
    server.start()
    try:
        yield server
    finally:
        server.discard()


@pytest.fixture
def client(own_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=own_server.base, timeout=60, trust_env=False) as http:
        yield http
        for tag in http.get(ALL).json():
            assert http.delete(f"{ALL}/{tag['path']}").status_code == 204


def add(client: httpx.Client, *tags: dict[str, Any]) -> httpx.Response:
    return client.post(ALL, json=list(tags))


@pytest.mark.parametrize("version", ["", "/v1", "/v2"])
def test_an_added_tag_is_ready_at_once_and_its_operation_complete(
    client: httpx.Client, version: str
) -> None:
    answer = client.post(f"{version}{ALL}", json=AGE)
    assert answer.status_code == 202
    reference = answer.json()
    assert answer.headers["Location"] == reference["href"]

    operation = client.get(f"{version}/operations/{reference['id']}")
    assert operation.status_code == 200
    state = operation.json()
    assert state["status"] == ("Completed" if version == "/v1" else "Succeeded")
    assert (state["type"], state["percentComplete"]) == ("Reindex", 100)
    assert httpx.get(reference["href"], trust_env=False).status_code == 200

    tag = {"path": "00101010", "vr": "AS", "level": "Study"}
    shown = {**tag, "status": "Ready", "queryStatus": "Enabled"}
    assert client.get(f"{version}{ALL}").json() == [shown]
    assert client.get(f"{version}{ALL}/PatientAge").json() == shown
    (resource,) = state["resources"]
    assert httpx.get(resource, trust_env=False).json() == shown


def test_clients_that_put_the_version_at_the_root_of_the_host_are_served(
    own_server: Server,
) -> None:
    for version in ("v1", "v2"):
        root = f"{own_server.root}/{version}"
        assert httpx.get(f"{root}{ALL}", trust_env=False).json() == []
        assert httpx.get(f"{root}/studies?limit=1", trust_env=False).status_code in (200, 204)


def test_a_tag_that_is_registered_is_a_conflict_and_nothing_of_the_request_is_added(
    client: httpx.Client,
) -> None:
    assert add(client, *AGE).status_code == 202
    answer = add(client, {"Path": "PatientSize", "Level": "Study"}, *AGE)
    assert answer.status_code == 409
    assert "00101010" in answer.json()["detail"]
    assert [tag["path"] for tag in client.get(ALL).json()] == ["00101010"]


def test_a_disabled_tag_is_not_searched_until_it_is_enabled(client: httpx.Client) -> None:
    add(client, *AGE)
    changed = client.patch(f"{ALL}/00101010", json={"QueryStatus": "Disabled"})
    assert changed.status_code == 200
    assert changed.json()["queryStatus"] == "Disabled"
    for resource in ("/studies", "/series", "/instances", "/patients", "/studies/count"):
        answer = client.get(resource, params={"PatientAge": "034Y"})
        assert answer.status_code == 400, resource
        assert "00101010 is disabled" in answer.json()["detail"]
    client.patch(f"{ALL}/PatientAge", json={"queryStatus": "Enabled"})
    assert client.get("/studies", params={"PatientAge": "034Y"}).status_code in (200, 204)


def test_a_tag_is_searched_at_its_level_and_below(client: httpx.Client) -> None:
    add(client, {"Path": "ManufacturerModelName", "Level": "Series"})
    query = {"00081090": "Model"}
    assert client.get("/studies", params=query).status_code == 400
    for resource in ("/series", "/instances"):
        assert client.get(resource, params=query).status_code in (200, 204)
    client.delete(f"{ALL}/00081090")
    assert client.get("/studies", params=query).status_code in (200, 204)


def test_a_private_tag_finds_its_instances_wherever_their_block_lies(client: httpx.Client) -> None:
    private = element(0x00290011, b"LO", b"TAG MAKER ") + element(0x00291101, b"LO", b"needle")
    assert store(client, with_elements(private)).status_code in (200, 202)
    tag = {"Path": "00291001", "VR": "LO", "PrivateCreator": "TAG MAKER", "Level": "Instance"}
    assert add(client, tag).status_code == 202
    assert client.get(f"{ALL}/00291001").json()["privateCreator"] == "TAG MAKER"
    query = {"00290010": "TAG MAKER", "00291001": "needle"}
    assert len(client.get("/instances", params=query).json()) == 1


def test_instances_whose_value_is_not_indexed_are_the_errors_of_a_tag(client: httpx.Client) -> None:
    data = with_elements(element(0x00101020, b"DS", b"not a number"))
    assert store(client, data).status_code == 202
    add(client, {"Path": "PatientSize", "Level": "Study"})

    shown = client.get(f"{ALL}/PatientSize").json()
    assert shown["errors"]["count"] == 1
    (error,) = httpx.get(shown["errors"]["href"], trust_env=False).json()
    row = client.get("/instances", params={"SOPInstanceUID": error["sopInstanceUid"]}).json()[0]
    assert error["studyInstanceUid"] == row["0020000D"]["Value"][0]
    assert error["seriesInstanceUid"] == row["0020000E"]["Value"][0]
    assert error["createdTime"].endswith("Z")
    assert error["errorMessage"]

    found = client.get("/studies", params={"PatientSize": "1.8", "PatientAge": "034Y"})
    assert found.headers["erroneous-dicom-attributes"] == "00101020"
    assert "erroneous-dicom-attributes" not in client.get("/studies").headers


def test_what_is_no_tag_is_a_bad_request_and_what_is_not_registered_is_not_found(
    client: httpx.Client,
) -> None:
    assert client.get(f"{ALL}/NoSuchKeyword").status_code == 400
    assert client.get(f"{ALL}/PatientSize").status_code == 404
    assert client.delete(f"{ALL}/PatientSize").status_code == 404
    assert client.get(f"{ALL}/PatientSize/errors").status_code == 404
    assert client.get("/operations/none").status_code == 404
    assert client.patch(f"{ALL}/PatientSize", json={"QueryStatus": "Enabled"}).status_code == 404
    assert (
        client.post(ALL, content=b"[", headers={"Content-Type": "application/json"}).status_code
        == 400
    )
    assert (
        client.post(ALL, content=b"[]", headers={"Content-Type": "text/plain"}).status_code == 415
    )
    assert client.get(ALL, params={"limit": "0"}).status_code == 400
    assert client.get(ALL, params={"offset": "x"}).status_code == 400


def test_a_page_of_tags_is_returned(client: httpx.Client) -> None:
    add(
        client,
        *AGE,
        {"Path": "PatientSize", "Level": "Study"},
        {"Path": "PatientWeight", "Level": "Study"},
    )
    page = client.get(ALL, params={"limit": 1, "offset": 1}).json()
    assert [tag["path"] for tag in page] == ["00101020"]
