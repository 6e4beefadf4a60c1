"""Every public method of npm's dicomweb-client (dcmjs-org), which OHIF is built on, run by Node."""

import base64
import io
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright._impl._driver import compute_driver_executable
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from tests.corpus import SIDE, make_instance
from tests.e2e.npm_client import BUNDLE, CLIENT, npm_package
from tests.server import Server

pytestmark = [pytest.mark.stack]

HERE = Path(__file__).parent
SECONDS = 60
PIXELS = np.linspace(0, 4_000, SIDE * SIDE, dtype="<u2").tobytes()
FRAMES = 3
OF_THE_CLIENT = {"setDebug", "getDebug", "setVerbose", "getVerbose"}  # they ask no server


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method came to."""

    value: Any
    progress: tuple[int, ...]


Call = Callable[..., Answer]


@pytest.fixture(scope="session")
def run_node(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Any]:
    """Run one call of the client; Node comes with Playwright, the client with its lock file."""
    bundle = npm_package(CLIENT, tmp_path_factory.mktemp("npm")) / BUNDLE
    node = compute_driver_executable()[0]

    def run(call: dict[str, Any]) -> Any:
        done = subprocess.run(
            [node, HERE / "call_dicomweb_client.mjs", bundle],
            input=json.dumps(call, default=_bytes_as_json).encode(),
            capture_output=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout, object_hook=_bytes_from_json)

    return run


@pytest.fixture(scope="session")
def call(run_node: Callable[[dict[str, Any]], Any], server: Server) -> Call:
    """Call a method of the client; `status` is that of the error that it has to end in."""

    def called(
        method: str, *, watched: bool = False, status: int | None = None, **options: Any
    ) -> Answer:
        got = run_node(
            {"url": server.base, "method": method, "options": options, "watched": watched}
        )
        assert (got.get("message", ""), got.get("status")) == (
            ("request failed", status) if status else ("", None)
        )
        return Answer(got.get("value"), tuple(got.get("progress", ())))

    return called


@pytest.fixture(scope="session")
def image(call: Call) -> Dataset:
    """A stored image."""
    return _stored(call, SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", PixelData=PIXELS)


@pytest.fixture(scope="session")
def film(call: Call) -> Dataset:
    """A stored image of several frames."""
    return _stored(
        call, NumberOfFrames=str(FRAMES),
        PixelData=b"".join(bytes([n]) * (2 * SIDE * SIDE) for n in range(1, FRAMES + 1)),
    )  # fmt: skip


def test_no_public_method_is_left_out(run_node: Callable[[dict[str, Any]], Any]) -> None:
    public = set(run_node({})["value"])
    called = set(re.findall(r'call\(\s*"(\w+)"', Path(__file__).read_text("utf-8")))

    assert public - OF_THE_CLIENT - called == set()
    assert public >= OF_THE_CLIENT


def test_stored_within_its_study(call: Call) -> None:
    data = make_instance()
    study = dcmread(io.BytesIO(data)).StudyInstanceUID

    stored = call("storeInstances", datasets=[data], studyInstanceUID=study)
    again = call("storeInstances", datasets=[data])
    call("storeInstances", datasets=[data], studyInstanceUID=generate_uid(), status=409)

    assert "00081199" in json.loads(stored.value)
    assert again.value is not None  # sent again it is no error: this client gives up at a 409


def test_searched_at_every_level(call: Call, image: Dataset) -> None:
    study, series, instance = _uids(image).values()
    by_patient = {"PatientID": image.PatientID, "fuzzymatching": "false", "limit": "101"}
    (of_study,) = call("searchForStudies", queryParams=by_patient).value
    (of_series,) = call("searchForSeries", studyInstanceUID=study).value
    (anywhere,) = call("searchForSeries", queryParams={"SeriesInstanceUID": series}).value
    (of_instance,) = call(
        "searchForInstances", studyInstanceUID=study, seriesInstanceUID=series
    ).value

    assert of_study["0020000D"]["Value"] == [study]
    assert of_series["0020000E"]["Value"] == anywhere["0020000E"]["Value"] == [series]
    assert of_instance["00080018"]["Value"] == [instance]


def test_nothing_found_is_an_empty_list(call: Call) -> None:
    found = call("searchForStudies", queryParams={"StudyInstanceUID": generate_uid()})

    assert found.value == []


def test_list_of_uids_is_searched_with_backslashes(
    call: Call, image: Dataset, film: Dataset
) -> None:
    """OHIF joins the studies that it opens in this way."""
    both = f"{image.StudyInstanceUID}\\{film.StudyInstanceUID}"

    assert len(call("searchForStudies", queryParams={"StudyInstanceUID": both}).value) == 2


def test_metadata_at_every_level(call: Call, image: Dataset) -> None:
    uids = _uids(image)
    (of_instance,) = call("retrieveInstanceMetadata", **uids).value

    assert call("retrieveStudyMetadata", **uids).value == [of_instance]
    assert call("retrieveSeriesMetadata", **uids).value == [of_instance]
    assert of_instance["00080018"]["Value"] == [image.SOPInstanceUID]


def test_objects_at_every_level(call: Call, image: Dataset) -> None:
    uids = _uids(image)
    one = call("retrieveInstance", **uids).value

    assert _same(one, image)
    assert [_same(each, image) for each in call("retrieveSeries", **uids).value] == [True]
    assert [_same(each, image) for each in call("retrieveStudy", **uids).value] == [True]


def test_frames_in_the_order_asked_for(call: Call, film: Dataset) -> None:
    frames = call("retrieveInstanceFrames", **_uids(film), frameNumbers=[3, 1]).value

    assert frames == [bytes([n]) * (2 * SIDE * SIDE) for n in (3, 1)]


def test_frames_in_a_transfer_syntax(call: Call, film: Dataset) -> None:
    syntax = str(ExplicitVRLittleEndian)
    kinds = [{"mediaType": "application/octet-stream", "transferSyntaxUID": syntax}]
    frames = call("retrieveInstanceFrames", **_uids(film), frameNumbers=[1], mediaTypes=kinds).value

    assert frames == [b"\1" * (2 * SIDE * SIDE)]


def test_frames_of_whatever_kind_they_are(call: Call, film: Dataset) -> None:
    """All the kinds that the client knows in one header, as viewers ask."""
    kinds = [
        {"mediaType": "application/octet-stream", "transferSyntaxUID": "1.2.840.10008.1.2.1"},
        {"mediaType": "image/x-dicom-rle", "transferSyntaxUID": "1.2.840.10008.1.2.5"},
        {"mediaType": "image/x-jls", "transferSyntaxUID": "1.2.840.10008.1.2.4.80"},
        {"mediaType": "image/jhc", "transferSyntaxUID": "1.2.840.10008.1.2.4.201"},
    ]
    (frame,) = call(
        "retrieveInstanceFrames", **_uids(film), frameNumbers=[2], mediaTypes=kinds
    ).value

    assert frame == b"\2" * (2 * SIDE * SIDE)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif"])
def test_rendered_in_every_image_format(call: Call, image: Dataset, media_type: str) -> None:
    kinds = [{"mediaType": media_type}]
    (whole,) = call("retrieveInstanceRendered", **_uids(image), mediaTypes=kinds).value
    (frame,) = call(
        "retrieveInstanceFramesRendered", **_uids(image), frameNumbers=[1], mediaTypes=kinds
    ).value

    for shown in map(_picture, (whole, frame)):
        assert _kind(shown) == media_type
        assert shown.size == (SIDE, SIDE)


def test_rendered_as_the_server_likes(call: Call, image: Dataset) -> None:
    query = {"viewport": "8,8"}
    (whole,) = call("retrieveInstanceRendered", **_uids(image), queryParams=query).value
    (frame,) = call(
        "retrieveInstanceFramesRendered", **_uids(image), frameNumbers=[1], queryParams=query
    ).value

    assert _picture(whole).size == _picture(frame).size == (8, 8)
    assert _kind(_picture(whole)) == "image/jpeg"


def test_thumbnails(call: Call, image: Dataset) -> None:
    query = {"viewport": "8,8"}
    kinds = [{"mediaType": "image/jpeg"}]
    (of_instance,) = call("retrieveInstanceThumbnail", **_uids(image), queryParams=query).value
    (of_frame,) = call(
        "retrieveInstanceFramesThumbnail", **_uids(image), frameNumbers=[1], queryParams=query
    ).value
    (named,) = call("retrieveInstanceThumbnail", **_uids(image), mediaTypes=kinds).value

    assert _picture(of_instance).size == _picture(of_frame).size == (8, 8)
    assert _kind(_picture(named)) == "image/jpeg"


def test_bulk_data_by_their_address(call: Call, image: Dataset) -> None:
    (metadata,) = call("retrieveInstanceMetadata", **_uids(image)).value
    address = metadata["7FE00010"]["BulkDataURI"]

    assert call("retrieveBulkData", BulkDataURI=address).value == [PIXELS]


def test_address_for_wado_uri_leads_to_the_object(call: Call, image: Dataset) -> None:
    address = call("buildInstanceWadoURIUrl", **_uids(image)).value
    got = httpx.get(address, trust_env=False)

    assert got.headers["Content-Type"].startswith("application/dicom")
    assert _same(got.content, image)


def test_progress_is_told(call: Call, image: Dataset) -> None:
    assert call("retrieveSeries", **_uids(image), watched=True).progress[-1] > len(PIXELS)


def test_missing_is_an_error_with_its_status(call: Call, image: Dataset) -> None:
    missing = _uids(image) | {"sopInstanceUID": generate_uid()}

    assert call("retrieveInstance", **missing, status=404).value is None


def _bytes_as_json(value: object) -> object:
    assert isinstance(value, bytes)
    return {"$bytes": base64.b64encode(value).decode()}


def _bytes_from_json(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$bytes"]) if "$bytes" in value else value


def _stored(call: Call, **attributes: Any) -> Dataset:
    data = make_instance(PatientID=f"js-{generate_uid()[-12:]}", **attributes)
    call("storeInstances", datasets=[data])
    return dcmread(io.BytesIO(data))


def _uids(dataset: Dataset) -> dict[str, str]:
    return {
        "studyInstanceUID": str(dataset.StudyInstanceUID),
        "seriesInstanceUID": str(dataset.SeriesInstanceUID),
        "sopInstanceUID": str(dataset.SOPInstanceUID),
    }


def _same(data: bytes, dataset: Dataset) -> bool:
    return bool(dcmread(io.BytesIO(data)).to_json_dict() == dataset.to_json_dict())


def _kind(picture: Image.Image) -> str:
    return Image.MIME[picture.format or ""]


def _picture(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))
