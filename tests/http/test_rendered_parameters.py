"""Media types and parameters of rendered resources over HTTP (PS3.18 §8.3.5, §8.7.4)."""

from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.corpus import SENTINEL
from tests.rendered import GREY, RAMP, Study, shown, study_of_seven
from tests.server import Server

pytestmark = pytest.mark.stack

IMAGES = ["image/jpeg", "image/png", "image/gif", "image/jp2"]


@pytest.fixture(scope="module")
def study(server: Server) -> Study:
    return study_of_seven(server)


def test_an_instance_is_a_jpeg_by_default(client: httpx.Client, study: Study) -> None:
    answer = client.get(f"{study.instances[0]}/rendered")

    assert answer.headers["Content-Type"] == "image/jpeg"
    assert abs(int(shown(answer)[8, 8]) - 10) <= 3


@pytest.mark.parametrize("media_type", IMAGES)
@pytest.mark.parametrize("how", ["header", "query"])
def test_each_media_type_can_be_asked_for(
    client: httpx.Client, study: Study, media_type: str, how: str
) -> None:
    path = f"{study.instances[1]}/rendered"
    if how == "header":
        answer = client.get(path, headers={"Accept": media_type})
    else:
        answer = client.get(path, params={"accept": media_type}, headers={"Accept": "text/css"})

    assert answer.headers["Content-Type"] == media_type
    opened = Image.open(BytesIO(answer.content))
    assert opened.get_format_mimetype() == media_type
    assert abs(int(np.asarray(opened.convert("L"))[8, 8]) - 20) <= 3


def test_a_viewer_that_accepts_octets_gets_the_image_of_its_query(
    client: httpx.Client, study: Study
) -> None:
    """As OHIF asks for thumbnails."""
    headers = {"Accept": 'multipart/related; type="application/octet-stream"'}
    for resource in ("rendered", "thumbnail"):
        answer = client.get(f"{study.instances[0]}/{resource}?accept=image/jpeg", headers=headers)
        assert answer.headers["Content-Type"] == "image/jpeg"


def test_the_pixels_are_those_that_were_stored(client: httpx.Client) -> None:
    made = Study()
    path = made.add()
    made.stored(client)

    found = shown(client.get(f"{path}/rendered", headers={"Accept": "image/png"}))

    assert (found == GREY).all()


def test_a_window_is_applied(client: httpx.Client) -> None:
    made = Study()
    path = made.add(WindowCenter="1", WindowWidth="1")
    made.stored(client)
    params = {"accept": "image/png", "window": "2048,4096,linear-exact"}

    found = shown(client.get(f"{path}/rendered", params=params))

    assert (found == np.floor(RAMP / 4096 * 255 + 0.5)).all()


def test_a_viewport_cuts_out_turns_round_and_scales(client: httpx.Client) -> None:
    made = Study()
    path = made.add()
    made.stored(client)

    def seen(viewport: str) -> np.ndarray:
        params = {"accept": "image/png", "viewport": viewport}
        return shown(client.get(f"{path}/rendered", params=params))

    assert (seen("8,4,2,3,8,4") == GREY[3:7, 2:10]).all()
    assert (seen("8,4,2,3,-8,4") == GREY[3:7, 9:1:-1]).all()
    assert (seen("8,4,2,3,8,-4") == GREY[6:2:-1, 2:10]).all()
    assert seen("64,100").shape == (64, 64)
    answer = client.get(f"{path}/rendered", params={"viewport": "9,9,10,10,9,9"})
    assert (answer.status_code, "viewport" in answer.json()["detail"]) == (400, True)


def test_annotations_change_the_picture_and_profiles_its_colours(client: httpx.Client) -> None:
    made = Study()
    path = made.add()
    made.stored(client)
    large = {"accept": "image/png", "viewport": "300,300"}
    bare = shown(client.get(f"{path}/rendered", params=large))

    for kind in ("patient", "technique", "patient,technique"):
        written = shown(client.get(f"{path}/rendered", params={**large, "annotation": kind}))
        assert (written != bare).any()
    answer = client.get(f"{path}/rendered", params={**large, "iccprofile": "adobergb"})
    assert Image.open(BytesIO(answer.content)).info["icc_profile"][36:40] == b"acsp"


def test_quality_is_the_size_of_a_jpeg(client: httpx.Client, study: Study) -> None:
    path = f"{study.instances[0]}/rendered?viewport=300,300&quality="

    sizes = [len(client.get(path + quality).content) for quality in ("1", "50", "100")]

    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    "query",
    [
        "quality=0", "quality=101", "quality=good", "window=40", "window=40,400,cubic",
        "window=40,0,linear", "viewport=0,5", "viewport=5", "annotation=doctor", "iccprofile=cmyk",
        "charset=utf-7", "rows=5", "window=1,2,linear&window=1,2,linear",
    ],
)  # fmt: skip
def test_a_parameter_that_is_wrong_is_named(client: httpx.Client, study: Study, query: str) -> None:
    for level in (study.path, study.series, study.instances[0], f"{study.instances[0]}/frames/1"):
        answer = client.get(f"{level}/rendered?{query}")
        assert answer.status_code == 400
        assert query.partition("=")[0] in answer.json()["detail"]


@pytest.mark.parametrize("query", ["quality=5", "window=40,400,linear", "annotation=patient"])
def test_a_thumbnail_takes_no_other_parameter_than_a_viewport(
    client: httpx.Client, study: Study, query: str
) -> None:
    assert client.get(f"{study.instances[0]}/thumbnail?{query}").status_code == 400
    found = shown(client.get(f"{study.instances[0]}/thumbnail?viewport=50,60&accept=image/png"))
    assert found.shape == (50, 50)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/dicom+json", "image/webp", "video/mp4"]
)
def test_a_media_type_that_an_image_has_not_is_not_acceptable(
    client: httpx.Client, study: Study, accept: str
) -> None:
    for level in (study.path, study.series, study.instances[0], f"{study.instances[0]}/frames/1"):
        for resource in ("rendered", "thumbnail"):
            answer = client.get(f"{level}/{resource}", headers={"Accept": accept})
            assert answer.status_code == 406
            assert "image/jpeg" in answer.json()["detail"]


def test_no_answer_about_an_image_names_the_patient(client: httpx.Client, study: Study) -> None:
    name = SENTINEL.partition("^")[0].encode()
    for suffix in ("rendered", "thumbnail", "rendered?quality=0", "rendered?accept=text/html"):
        assert name not in client.get(f"{study.instances[0]}/{suffix}").content
