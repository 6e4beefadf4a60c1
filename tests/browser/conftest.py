"""A browser, the viewer that Coregister serves, and a folder for what it looked like."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright
from rich.console import Console

from app.local.viewer import provide_viewer
from app.settings import LocalSettings
from tests.browser.made_series import make_series
from tests.conftest import Stack
from tests.server import STOPPED, Server, store

ARTEFACTS = Path(__file__).resolve().parents[2] / ".cache" / "test-artefacts"
COMMANDS = ("chromium", "chromium-browser", "google-chrome")
SOFTWARE_GRAPHICS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# the first visit is greeted with a tour that lies over the images; the frame of a PDF has no storage
BEFORE_EACH_PAGE = """
localStorage?.setItem('shownTours', JSON.stringify(['basicViewerTour', 'segmentationTour']));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: the machine's own, else the one that Playwright has installed.

    Not for the whole run: while Playwright is there, this thread has a running event loop, and no
    asynchronous test can have its own.
    """
    own = next(filter(None, map(shutil.which, COMMANDS)), None)
    # a browser's own sandbox cannot be had by root, and what it is shown here are files of the tests
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        if own is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium on this machine; scripts/test says how to get one")
        launched = playwright.chromium.launch(
            executable_path=own, args=[*SOFTWARE_GRAPHICS, *sandbox]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Coregister that serves the viewer as `coregister up --viewer` lets it."""
    folder = provide_viewer(LocalSettings(), Console())
    running = Server(
        tmp_path_factory.mktemp("browser"), stack.elasticsearch_url, stack.fhir_url,
        settings={"COREGISTER_VIEWER": str(folder)},
    )  # fmt: skip
    running.start()
    try:
        yield running
        assert running.stop() in STOPPED
    finally:
        running.discard()


@pytest.fixture(scope="session")
def send(server: Server) -> Callable[..., None]:
    """Store instances."""

    def stored(*instances: bytes) -> None:
        with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
            assert store(http, *instances).status_code == httpx.codes.OK

    return stored


@pytest.fixture(scope="session")
def studies(send: Callable[..., None]) -> None:
    """Two studies of different patients and modalities."""
    send(*make_series(name="Zoë^Scroll", patient_id="MOVING", description="Scrolling"))
    send(
        *make_series(
            name="Other^Person", patient_id="STILL", description="One place", modality="MR"
        )
    )


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page that fails the test where the viewer meets an error or the policy forbids something."""
    context = browser.new_context(
        base_url=f"{server.root}/viewer/", viewport={"width": 1280, "height": 800}
    )
    context.add_init_script(BEFORE_EACH_PAGE)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(_said(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.on(
        "response", lambda got: wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None
    )  # fmt: skip
    yield opened
    context.close()
    assert wrong == []


@pytest.fixture
def keep(page: Page, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Keep what the page looks like as a picture."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)

    def kept(name: str) -> Path:
        path = ARTEFACTS / f"{request.node.originalname}-{name}.png"
        page.screenshot(path=path)
        return path

    return kept


def _said(error: Error) -> str:
    return error.message
