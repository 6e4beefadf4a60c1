"""The viewer is served where it was asked for: every file as what it is, and its page for the rest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from app.errors import ConfigurationError, CoregisterError
from app.main import build_app
from app.settings import Settings
from app.web import problem
from app.web.routes import PATTERNS, VIEWER
from app.web.safe_headers import SafeHeaders
from app.web.viewer import HEADERS, INVOKED

FILES = {
    "index.html": "<!doctype html><p>the page",
    "app.0123456789abcdef0123.js": "go()",
    "codec.wasm": "\0asm",
    "letters.woff2": "wOF2",
    "assets/icon.svg": "<svg/>",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "viewer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (tmp_path / "secret.js").write_text("secret", encoding="utf-8")
    return tmp_path / "viewer"


@pytest.fixture
async def http(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(viewer=folder)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"settings": settings}

    app = Starlette(
        routes=list(VIEWER),
        lifespan=lifespan,
        middleware=[Middleware(SafeHeaders)],
        exception_handlers={
            CoregisterError: problem.coregister_error,
            HTTPException: problem.http_error,
        },
    )
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://archive") as client:
            yield client


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html"),
        ("index.html", "text/html"),
        ("app.0123456789abcdef0123.js", "text/javascript"),
        ("codec.wasm", "application/wasm"),
        ("letters.woff2", "font/woff2"),
        ("assets/icon.svg", "image/svg+xml"),
        ("viewer?StudyInstanceUIDs=1.2.3", "text/html"),
        ("tmtv/deeper", "text/html"),
    ],
)
async def test_file_has_its_type_and_the_rest_is_the_page(
    http: httpx.AsyncClient, path: str, kind: str
) -> None:
    answer = await http.get(f"/viewer/{path}")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.text == FILES.get(path, FILES["index.html"])


async def test_a_study_that_fhir_refers_to_is_shown(http: httpx.AsyncClient) -> None:
    """What a FHIR client makes of the viewer's Endpoint: IHE RAD-106."""
    answer = await http.get(f"{INVOKED}?requestType=STUDY&studyUID=1.2.3,1.2.4")

    assert answer.status_code == 302
    assert answer.headers["Location"] == "/viewer/viewer?StudyInstanceUIDs=1.2.3,1.2.4"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "requestType=STUDY",
        "requestType=STUDY&studyUID=",
        "requestType=STUDY&studyUID=1.2,//evil.example",
        "requestType=PATIENT&patientID=1",
    ],
)
async def test_what_is_no_question_for_studies_is_refused(
    http: httpx.AsyncClient, query: str
) -> None:
    answer = await http.get(f"{INVOKED}?{query}")

    assert answer.status_code == 400
    assert "evil" not in answer.text


async def test_missing_file_is_missing(http: httpx.AsyncClient) -> None:
    assert (await http.get("/viewer/other.js")).status_code == 404


@pytest.mark.parametrize("path", ["../secret.js", "..%2fsecret.js", "assets/..%2f..%2fsecret.js"])
async def test_nothing_outside_the_folder_is_served(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(httpx.URL(f"http://archive/viewer/{path}"))

    assert answer.status_code == 404
    assert "secret" not in answer.text


async def test_page_may_share_memory_between_threads(http: httpx.AsyncClient) -> None:
    answer = await http.get("/viewer/")

    assert {name: answer.headers.get_list(name) for name in HEADERS} == {
        name: [value] for name, value in HEADERS.items()
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" not in answer.headers["Content-Security-Policy"]


async def test_known_file_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/viewer/codec.wasm")
    again = await http.get("/viewer/codec.wasm", headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert "Content-Type" not in again.headers


async def test_address_without_slash_leads_to_the_page(http: httpx.AsyncClient) -> None:
    answer = await http.get("/viewer")

    assert (answer.status_code, answer.headers["Location"]) == (307, "/viewer/")


def test_viewer_is_served_only_where_it_was_asked_for(folder: Path) -> None:
    served = {getattr(route, "path", None) for route in build_app(Settings(viewer=folder)).routes}
    plain = {getattr(route, "path", None) for route in build_app(Settings()).routes}

    assert served - plain == {route.path for route in VIEWER}


def test_folder_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="COREGISTER_VIEWER"):
        Settings(viewer=tmp_path)


def test_address_in_the_viewer_is_logged_as_its_pattern() -> None:
    """It names studies."""
    assert "/viewer/{path:path}" in PATTERNS.values()
