"""OHIF, as published, in a browser: it lists, filters, shows and scrolls what Coregister has."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from pydicom.data import get_testdata_file
from pydicom.uid import EncapsulatedPDFStorage, generate_uid

from tests.browser.made_series import IMAGES, SIDE, SQUARE, left_edge
from tests.corpus import make_instance
from tests.server import Server

pytestmark = [pytest.mark.stack]

Picture = npt.NDArray[np.uint8]
Keep = Callable[[str], Path]
ROWS = "[data-cy^=studyRow]"
CANVAS = ".viewport-element canvas.cornerstone-canvas"
FILTERS = (
    ("patientName", "zoe"), ("patientName", "ZOË"), ("mrn", "MOVIN"), ("description", "croll"),
    ("accession", "A-MOVING"),
)  # fmt: skip
PAPER = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj "
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n%" + 4_000 * b"-" + b"\n"
)  # longer than what metadata have inline
WITHOUT_IMAGE: dict[str, Any] = dict.fromkeys(
    (
        "PixelData", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
        "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    )
)  # fmt: skip
ALIKE = 0.9  # texts lie over the image, and its window is the viewer's
PATIENCE = 60_000  # milliseconds; the first decoding compiles what it needs
COMPRESSED = [
    "JPEG2000.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPGExtended.dcm",
    "MR_small_RLE.dcm",
    "examples_ybr_color.dcm",
    "examples_rgb_color.dcm",
    "examples_palette.dcm",
    "MR_small_bigendian.dcm",
]


@pytest.mark.usefixtures("studies")
def test_study_list_shows_every_study(page: Page, keep: Keep) -> None:
    page.goto("")

    row = page.locator(ROWS, has_text="MOVING")
    expect(row).to_be_visible(timeout=PATIENCE)
    for text in ("Zoë", "Scrolling", "CT", str(IMAGES)):
        expect(row).to_contain_text(text)
    expect(page.locator(ROWS, has_text="STILL")).to_contain_text("MR")
    keep("list")


@pytest.mark.usefixtures("studies")
def test_every_filter_narrows_the_list(page: Page, keep: Keep) -> None:
    page.goto("")
    for field, typed in FILTERS:
        expect(page.locator(ROWS, has_text="STILL")).to_be_visible(timeout=PATIENCE)
        page.fill(f"[data-cy=input-{field}]", typed)

        expect(page.locator(ROWS, has_text="STILL")).to_have_count(0, timeout=PATIENCE)
        expect(page.locator(ROWS)).to_have_count(1)
        expect(page.locator(ROWS)).to_contain_text("MOVING")
        keep(field)
        page.get_by_text("Clear Filters").click()


@pytest.mark.usefixtures("studies")
def test_list_of_modalities_narrows_the_list(page: Page) -> None:
    page.goto("?modalities=MR")

    expect(page.locator(ROWS, has_text="STILL")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(ROWS, has_text="MOVING")).to_have_count(0)


@pytest.mark.usefixtures("studies")
def test_range_of_dates_narrows_the_list(page: Page) -> None:
    page.goto("?startDate=20240301&endDate=20240401")

    expect(page.get_by_text("No studies available")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(ROWS)).to_have_count(0)


@pytest.mark.usefixtures("studies")
def test_images_are_shown_and_scrolled(page: Page, keep: Keep) -> None:
    page.goto("")
    page.locator(ROWS, has_text="MOVING").click(timeout=PATIENCE)
    page.locator("[data-cy^=mode-viewer]").click()

    assert page.evaluate("crossOriginIsolated")  # else no memory is shared between threads
    for position in range(1, IMAGES + 1):
        # images lie along the axis of the body: the viewer begins at the head, where the numbers end
        _expect_square(page, IMAGES + 1 - position)
        keep(f"image-{position}")
        page.mouse.wheel(0, 100)


@pytest.mark.parametrize("name", COMPRESSED)
def test_images_of_any_codec_are_shown(
    page: Page, server: Server, send: Callable[..., None], keep: Keep, name: str
) -> None:
    """OHIF decodes what is stored, Coregister renders it: both show the same."""
    place = _sent(name, send)
    page.goto(f"viewer?StudyInstanceUIDs={place.split('/')[2]}")
    rendered = httpx.get(
        f"{server.base}{place}/frames/1/rendered?accept=image/png", timeout=60, trust_env=False
    )
    expected = _pixels(rendered.raise_for_status().content)

    _until(page, lambda shown: _likeness(shown, expected) > ALIKE)
    keep(name.removesuffix(".dcm"))


def test_report_is_shown(page: Page, send: Callable[..., None], keep: Keep) -> None:
    place = _sent("reportsi.dcm", send)
    page.goto(f"viewer?StudyInstanceUIDs={place.split('/')[2]}")

    expect(page.get_by_text("Recording Observer's Organization Name")).to_be_visible(
        timeout=PATIENCE
    )
    keep("report")


def test_pdf_reaches_the_page_as_it_was(page: Page, send: Callable[..., None], keep: Keep) -> None:
    study = generate_uid()
    send(
        make_instance(
            StudyInstanceUID=study, PatientID="paper", SOPClassUID=EncapsulatedPDFStorage,
            Modality="DOC", MIMETypeOfEncapsulatedDocument="application/pdf",
            EncapsulatedDocument=PAPER, **WITHOUT_IMAGE,
        )
    )  # fmt: skip
    page.goto(f"viewer?StudyInstanceUIDs={study}")
    shown = page.locator("object[type='application/pdf']")
    shown.wait_for(timeout=PATIENCE)

    content = page.evaluate("async url => (await fetch(url)).text()", shown.get_attribute("data"))
    assert content.rstrip("\0").encode() == PAPER
    keep("pdf")


def test_files_are_uploaded(page: Page, server: Server, tmp_path: Path, keep: Keep) -> None:
    study = generate_uid()
    for number in range(3):
        data = make_instance(StudyInstanceUID=study, PatientID="uploaded")
        (tmp_path / f"{number}.dcm").write_bytes(data)
    page.goto("")
    page.get_by_text("Upload", exact=True).click(timeout=PATIENCE)
    page.locator("input[type=file]").first.set_input_files(sorted(tmp_path.iterdir()))

    expect(page.get_by_text("3 files completed.")).to_be_visible(timeout=PATIENCE)
    keep("upload")
    found = httpx.get(f"{server.base}/instances?StudyInstanceUID={study}", trust_env=False)
    assert len(found.json()) == 3


def _likeness(shown: Picture, expected: Picture) -> float:
    """Return the correlation of the image in the viewport, where it stands whole, with another."""
    height, width = expected.shape
    scale = min(shown.shape[0] / height, shown.shape[1] / width)
    top, left = (shown.shape[0] - height * scale) / 2, (shown.shape[1] - width * scale) / 2
    image = shown[int(top) : int(top + height * scale), int(left) : int(left + width * scale)]
    if not image.std():
        return 0.0
    small = [
        np.asarray(Image.fromarray(each).resize((32, 32))).ravel() for each in (image, expected)
    ]
    return float(np.corrcoef(small[0], small[1])[0, 1])


def _expect_square(page: Page, number: int) -> None:
    """Wait until the bright square is where it is in the image of this number, and measure it."""

    def is_there(shown: Picture) -> bool:
        found = _square(shown)
        return found is not None and abs(found[0] - left_edge(number)) < 1.5

    found = _square(_until(page, is_there))
    assert found is not None
    assert found[1] == pytest.approx(SQUARE, abs=1.5)


def _square(shown: Picture) -> tuple[float, float] | None:
    """Return left edge and width of what is bright, in pixels of the image."""
    bright = np.flatnonzero(shown[shown.shape[0] // 2] > 200)
    if not bright.size:
        return None
    # the image fills the height of the viewport and stands in the middle of its width
    scale = shown.shape[0] / SIDE
    left = (bright[0] - (shown.shape[1] - shown.shape[0]) / 2) / scale
    return left, (bright[-1] - bright[0] + 1) / scale


def _until(page: Page, holds: Callable[[Picture], bool]) -> Picture:
    """Return what the viewport shows once something holds of it, else what it showed last."""
    canvas = page.locator(CANVAS).first
    canvas.wait_for(timeout=PATIENCE)
    canvas.hover()
    for _ in range(PATIENCE // 250):
        shown = _pixels(canvas.screenshot())
        if holds(shown):
            return shown
        page.wait_for_timeout(250)
    raise AssertionError("the viewport never showed it")


def _pixels(png: bytes) -> Picture:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


def _sent(name: str, send: Callable[..., None]) -> str:
    """Store a file of pydicom under UIDs of its own; return its place."""
    path = get_testdata_file(name, download=False)
    assert path is not None
    dataset = pydicom.dcmread(path)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientID = re.sub(r"\W", "-", name)
    held = io.BytesIO()
    dataset.save_as(held)
    send(held.getvalue())
    return (
        f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )
