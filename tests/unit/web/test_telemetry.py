"""Requests are logged and counted by route: a path names patients' studies."""

from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from structlog.testing import capture_logs

from app.web.routes import DICOMWEB, PATTERNS, ROUTES
from app.web.telemetry import Telemetry

STUDY = "1.2.826.0.1.3680043.8.498.1"
PATHS = [
    f"/dicom-web/studies/{STUDY}",
    f"/dicom-web/studies/{STUDY}/",
    f"/dicom-web/studies/{STUDY}/unknown",
    f"/dicom-web/studies/{STUDY}/series/{STUDY}.2/instances/{STUDY}.2.3/frames/1",
    f"/dicom-web/studies/{STUDY}/series/{STUDY}/metadata",
    f"/elsewhere/{STUDY}",
    f"/dicom-web/{STUDY}",
    f"/dicom-web/studies?PatientID={STUDY}",
]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def client(registry: CollectorRegistry) -> AsyncIterator[httpx.AsyncClient]:
    """Ask the real routes without the stores behind: most handlers fail, which counts too."""
    structlog.reset_defaults()
    app = Starlette(routes=list(ROUTES), middleware=[Middleware(Telemetry, registry=registry)])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://archive") as http:
        yield http


@pytest.mark.parametrize("path", PATHS)
async def test_no_uid_of_a_path_is_logged_or_counted(
    path: str, client: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    with capture_logs() as lines:
        await client.get(path)

    assert len(lines) == 1
    assert STUDY not in str(lines)
    assert STUDY not in generate_latest(registry).decode()


# what nothing is stored under, and no handler takes
EXAMPLES = {
    **dict.fromkeys(("series", "instance", "tag", "operation", "version"), "d"),
    "study": "studies",
    "frames": "1",
    "path": "7FE00010",
}


def named(route: Route) -> str:
    """Return a name for a route that every process gives it."""
    return f"{' '.join(sorted(route.methods or ()))} {route.path}"


@pytest.mark.parametrize("route", DICOMWEB, ids=named)
async def test_every_route_is_named_by_its_pattern(
    route: object, client: httpx.AsyncClient
) -> None:
    path = route.path  # type: ignore[attr-defined]
    method = "POST" if "POST" in route.methods else "GET"  # type: ignore[attr-defined]

    with capture_logs() as lines:
        await client.request(
            method,
            "/dicom-web" + path.format_map(EXAMPLES),
        )

    assert [(line["method"], line["route"]) for line in lines] == [(method, f"/dicom-web{path}")]


def test_no_two_routes_share_a_name() -> None:
    assert len(set(PATTERNS)) == len(PATTERNS)
    assert {f"/dicom-web{route.path}" for route in DICOMWEB} <= set(PATTERNS.values())


@pytest.mark.parametrize("path", ["/nothing/here", "/dicom-web/nothing", "/dicom-web"])
async def test_what_is_served_by_nothing_has_one_name(
    path: str, client: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    answer = await client.get(path)

    labels = {"method": "GET", "route": "none", "status": str(answer.status_code)}
    assert answer.status_code in (404, 307)
    assert registry.get_sample_value("coregister_http_requests_total", labels) == 1


async def test_a_method_that_nobody_knows_makes_no_new_label(
    client: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    await client.request("BREW", "/dicom-web/studies")

    text = generate_latest(registry).decode()
    assert "BREW" not in text
    assert 'method="other"' in text


async def test_probes_are_counted_and_not_logged(
    client: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    with capture_logs() as lines:
        await client.get("/health/live")

    labels = {"method": "GET", "route": "/health/live", "status": "200"}
    assert lines == []
    assert registry.get_sample_value("coregister_http_requests_total", labels) == 1


async def test_a_handler_that_fails_is_counted_as_500(
    client: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    await client.get("/dicom-web/studies")  # finds no services in this state

    labels = {"method": "GET", "route": "/dicom-web/studies", "status": "500"}
    assert registry.get_sample_value("coregister_http_requests_total", labels) == 1
