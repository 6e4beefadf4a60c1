"""WADO-URI over HTTP: an object, or an image or text of it, by query parameters (PS3.18 §9)."""

from collections.abc import Iterator
from io import BytesIO

import httpx
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.server import Server
from tests.wado import Stored, get, stored_file

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),  # of pydicom's files
]


@pytest.fixture(scope="module")
def files(server: Server) -> dict[str, Stored]:
    names = ["CT_small.dcm", "rtdose.dcm", "test-SR.dcm", "JPEG2000.dcm"]
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        return {name: stored_file(http, name) for name in names}


@pytest.fixture(params=["", "/dicom-web"], ids=["beside the base", "below the base"])
def wado(server: Server, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    base = f"{server.root}{request.param}"
    with httpx.Client(base_url=base, timeout=60, trust_env=False) as http:
        yield http


def ask(wado: httpx.Client, file: Stored, accept: str = "*/*", **parameters: str) -> httpx.Response:
    named = {
        "requestType": "WADO",
        "studyUID": str(file.dataset.StudyInstanceUID),
        "seriesUID": str(file.dataset.SeriesInstanceUID),
        "objectUID": str(file.dataset.SOPInstanceUID),
        **parameters,
    }
    given = {name: value for name, value in named.items() if value}
    return wado.get("/wado", params=given, headers={"Accept": accept})


def image(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(BytesIO(answer.content))


def test_an_object_comes_as_it_was_stored_to_whom_asks_for_that(
    wado: httpx.Client, files: dict[str, Stored]
) -> None:
    for file in files.values():
        answer = ask(wado, file, contentType="application/dicom", transferSyntax=file.syntax)
        kind = f"application/dicom; transfer-syntax={file.syntax}"
        assert answer.headers["Content-Type"] == kind
        assert answer.content == file.data


def test_without_a_transfer_syntax_it_is_explicit_little_endian(
    wado: httpx.Client, files: dict[str, Stored]
) -> None:
    """PS3.18 §9.1.2.2.2."""
    for name in ("rtdose.dcm", "JPEG2000.dcm", "CT_small.dcm"):
        answer = ask(wado, files[name], contentType="application/dicom")
        dataset = dcmread(BytesIO(answer.content))
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert dataset.PatientName == files[name].dataset.PatientName


@pytest.mark.parametrize(
    ("media_type", "format_"), [("image/jpeg", "JPEG"), ("image/png", "PNG"), ("image/gif", "GIF")]
)
def test_an_image_is_rendered(
    wado: httpx.Client, files: dict[str, Stored], media_type: str, format_: str
) -> None:
    file = files["CT_small.dcm"]

    for answer in (ask(wado, file, contentType=media_type), ask(wado, file, media_type)):
        assert answer.headers["Content-Type"] == media_type
        picture = image(answer)
        assert picture.format == format_
        assert picture.size == (file.dataset.Columns, file.dataset.Rows)


def test_the_default_is_what_suits_the_object(wado: httpx.Client, files: dict[str, Stored]) -> None:
    """PS3.18 §9.1.2.2.1: a single frame is an image, several frames are DICOM, a report is a page."""
    defaults = {
        "CT_small.dcm": "image/jpeg",
        "rtdose.dcm": "application/dicom",
        "test-SR.dcm": "text/html",
    }
    found = {name: ask(wado, files[name]).headers["Content-Type"] for name in defaults}

    assert {name: kind.partition(";")[0] for name, kind in found.items()} == defaults


def test_the_first_content_type_that_can_be_sent_is_sent(
    wado: httpx.Client, files: dict[str, Stored]
) -> None:
    file = files["CT_small.dcm"]

    first = ask(wado, file, contentType="application/pdf, image/png, application/dicom")
    none = ask(wado, file, contentType="application/pdf,text/rtf")

    assert first.headers["Content-Type"] == "image/png"
    assert none.status_code == 406


def test_it_is_the_image_that_wado_rs_renders(
    wado: httpx.Client, client: httpx.Client, files: dict[str, Stored]
) -> None:
    file = files["CT_small.dcm"]

    here = ask(wado, file, contentType="image/png", windowCenter="40", windowWidth="400", rows="64")
    there = client.get(
        f"{file.instance}/rendered",
        params={"window": "40,400,linear", "viewport": "64,64", "accept": "image/png"},
    )

    assert image(here).size == (64, 64)
    assert image(here).tobytes() == image(there).tobytes()


def test_a_frame_is_chosen_by_its_number(
    wado: httpx.Client, client: httpx.Client, files: dict[str, Stored]
) -> None:
    file = files["rtdose.dcm"]

    here = ask(wado, file, contentType="image/png", frameNumber="3")
    there = get(client, f"{file.instance}/frames/3/rendered", "image/png")
    beyond = ask(wado, file, contentType="image/png", frameNumber="99999")

    assert here.content == there.content
    assert beyond.status_code == 404


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"rows": "32"}, (32, 32)),
        ({"columns": "50"}, (50, 50)),
        ({"rows": "20", "columns": "40"}, (20, 20)),
        ({"region": "0.0,0.0,0.5,0.25"}, (64, 32)),
        ({"region": "0.5,0.5,1,1", "columns": "16"}, (16, 16)),
    ],
)
def test_size_and_region_are_those_asked_for(
    wado: httpx.Client,
    files: dict[str, Stored],
    parameters: dict[str, str],
    size: tuple[int, int],
) -> None:
    answer = ask(wado, files["CT_small.dcm"], contentType="image/png", **parameters)

    assert image(answer).size == size


def test_a_region_shows_that_part_of_the_image(
    wado: httpx.Client, files: dict[str, Stored]
) -> None:
    file = files["CT_small.dcm"]
    whole = image(ask(wado, file, contentType="image/png", windowCenter="40", windowWidth="400"))
    part = image(
        ask(
            wado, file, contentType="image/png", windowCenter="40", windowWidth="400",
            region="0.25,0.5,0.75,1.0",
        )
    )  # fmt: skip

    assert part.tobytes() == whole.crop((32, 64, 96, 128)).tobytes()


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"requestType": ""}, "requestType"),
        ({"requestType": "QIDO"}, "requestType"),
        ({"studyUID": ""}, "studyUID"),
        ({"seriesUID": "a.b"}, "seriesUID"),
        ({"objectUID": "../x"}, "objectUID"),
        ({"contentType": "jpeg"}, "contentType"),
        ({"transferSyntax": "JPEG"}, "transferSyntax"),
        ({"frameNumber": "0", "contentType": "image/png"}, "frameNumber"),
        ({"rows": "-3", "contentType": "image/png"}, "rows"),
        ({"region": "0,0,2,1", "contentType": "image/png"}, "region"),
        ({"region": "0,0,1", "contentType": "image/png"}, "region"),
        ({"windowCenter": "40", "contentType": "image/png"}, "windowWidth"),
        ({"windowCenter": "x", "windowWidth": "1", "contentType": "image/png"}, "windowCenter"),
        ({"imageQuality": "101", "contentType": "image/jpeg"}, "quality"),
    ],
)
def test_what_cannot_be_understood_is_a_bad_request_that_names_it(
    wado: httpx.Client, files: dict[str, Stored], parameters: dict[str, str], named: str
) -> None:
    answer = ask(wado, files["CT_small.dcm"], **parameters)

    assert answer.status_code == 400
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("parameters", [{"anonymize": "yes"}, {"presentationUID": "1.2.3"}])
def test_what_is_not_built_is_refused_and_not_left_out(
    wado: httpx.Client, files: dict[str, Stored], parameters: dict[str, str]
) -> None:
    """Who asks for an object without names must not get one with them."""
    answer = ask(wado, files["CT_small.dcm"], contentType="application/dicom", **parameters)

    assert answer.status_code == 406
    assert next(iter(parameters)) in answer.json()["detail"]


def test_what_is_not_there_is_not_found(wado: httpx.Client, files: dict[str, Stored]) -> None:
    for kind in ("application/dicom", "image/jpeg", ""):
        answer = ask(wado, files["CT_small.dcm"], contentType=kind, objectUID=generate_uid())
        assert answer.status_code == 404
