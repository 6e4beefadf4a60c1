"""Health, metrics and what every path answers: for whoever operates this."""

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.corpus import make_instance
from tests.server import Server, store

pytestmark = pytest.mark.stack


def test_a_live_and_ready_server_says_so(server: Server, client: httpx.Client) -> None:
    assert client.get(f"{server.root}/health/live").json() == {"status": "ok"}
    ready = client.get(f"{server.root}/health/ready")
    assert ready.status_code == 200
    assert ready.json()["status"] == "ok"
    states = {name: each["status"] for name, each in ready.json()["stores"].items()}
    assert states == {"blobs": "ok", "elasticsearch": "ok", "fhir": "ok"}


def test_metrics_count_by_route_and_name_no_study(server: Server, client: httpx.Client) -> None:
    study = generate_uid()
    assert store(client, make_instance(StudyInstanceUID=study)).status_code == 200
    client.get(f"/studies/{study}/metadata", params={"PatientName": "Sentinel"})
    answer = client.get(f"{server.root}/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    route = 'route="/dicom-web/studies/{study}/metadata"'
    assert f'coregister_http_requests_total{{method="GET",{route},status="200"}}' in answer.text
    assert study not in answer.text
    assert "Sentinel" not in answer.text


@pytest.mark.parametrize("path", ["/nothing", "/dicom-web/studie", "/dicom-web/studies/1.2/x"])
def test_an_unknown_path_is_a_problem(server: Server, client: httpx.Client, path: str) -> None:
    answer = client.get(f"{server.root}{path}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/studies"),
        ("PATCH", "/studies/1.2"),
        ("POST", "/series"),
        ("POST", "/studies/1.2/metadata"),
    ],
)
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(
    client: httpx.Client, method: str, path: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "GET" in answer.headers["Allow"] or "POST" in answer.headers["Allow"]


def test_the_log_has_routes_and_no_uids(server: Server, client: httpx.Client) -> None:
    study = generate_uid()
    store(client, make_instance(StudyInstanceUID=study))
    client.get("/studies", params={"StudyInstanceUID": study})
    client.get(f"/studies/{study}/metadata")
    client.get(f"/studies/{study}/nonsense")
    text = server.log.read_text()
    assert "/dicom-web/studies/{study}/metadata" in text
    assert study not in text
