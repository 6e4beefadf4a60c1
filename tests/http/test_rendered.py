"""Rendered resources and thumbnails of images over HTTP (PS3.18 §10.4.1.1.3, §10.4.1.1.4)."""

from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image, ImageSequence
from pydicom.uid import JPEG2000, SegmentationStorage, generate_uid

from tests.corpus import SIDE, fragments
from tests.rendered import IN_PARTS, Study, shown, study_of_seven
from tests.server import Server
from tests.wado import parts

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def study(server: Server) -> Study:
    return study_of_seven(server)


def test_a_series_is_all_its_images_in_parts_and_in_order(
    client: httpx.Client, study: Study
) -> None:
    answer = client.get(f"{study.series}/rendered", headers={"Accept": IN_PARTS})

    found = parts(answer)
    assert [kind for kind, _ in found] == ["image/png"] * 5
    levels = [np.asarray(Image.open(BytesIO(data)))[8, 8] for _, data in found]
    assert levels == [10, 20, 30, 40, 50]
    for path in study.instances[:5]:
        assert (
            f"Content-Location: {client.base_url}{path[1:]}/frames/1/rendered".encode()
            in answer.content
        )


def test_a_study_is_all_frames_of_all_images_that_can_be_decoded(
    client: httpx.Client, study: Study
) -> None:
    """One of its instances cannot: it is left out."""
    found = parts(client.get(f"{study.path}/rendered?accept={IN_PARTS}"))

    levels = [np.asarray(Image.open(BytesIO(data)))[8, 8] for _, data in found]
    assert levels == [10, 20, 30, 40, 50, 60, 70, 80]


def test_whoever_accepts_anything_gets_the_parts_of_a_study(
    client: httpx.Client, study: Study
) -> None:
    answer = client.get(f"{study.path}/rendered", headers={"Accept": "*/*"})

    assert answer.headers["Content-Type"].startswith('multipart/related; type="image/jpeg"')


def test_one_image_of_a_series_or_study_is_the_middle_one(
    client: httpx.Client, study: Study
) -> None:
    """Of a study of six images it is the third; one that no codec can decode does not count."""
    one = {"Accept": "image/png"}
    assert shown(client.get(f"{study.series}/rendered", headers=one))[8, 8] == 30
    assert shown(client.get(f"{study.path}/rendered", headers=one))[8, 8] == 30
    assert shown(client.get(f"{study.series}/thumbnail", headers=one))[8, 8] == 30
    assert shown(client.get(f"{study.path}/thumbnail", headers=one))[8, 8] == 30


def test_frames_come_in_parts_in_the_order_asked_for(client: httpx.Client, study: Study) -> None:
    path = study.instances[5]

    found = parts(client.get(f"{path}/frames/3,1,3/rendered", headers={"Accept": IN_PARTS}))
    every = parts(client.get(f"{path}/rendered", headers={"Accept": IN_PARTS}))

    assert [np.asarray(Image.open(BytesIO(d)))[8, 8] for _, d in found] == [80, 60, 80]
    assert [np.asarray(Image.open(BytesIO(d)))[8, 8] for _, d in every] == [60, 70, 80]


def test_a_multi_frame_image_alone_is_its_first_frame_and_its_thumbnail_the_middle_one(
    client: httpx.Client, study: Study
) -> None:
    path, one = study.instances[5], {"Accept": "image/png"}

    assert shown(client.get(f"{path}/rendered", headers=one))[8, 8] == 60
    assert shown(client.get(f"{path}/frames/2/rendered", headers=one))[8, 8] == 70
    assert shown(client.get(f"{path}/thumbnail", headers=one))[8, 8] == 70
    assert shown(client.get(f"{path}/frames/3/thumbnail", headers=one))[8, 8] == 80


def test_a_multi_frame_image_as_gif_moves(client: httpx.Client, study: Study) -> None:
    path = study.instances[5]
    for suffix in ("rendered", "frames/1,2,3/rendered"):
        opened = Image.open(
            BytesIO(client.get(f"{path}/{suffix}", headers={"Accept": "image/gif"}).content)
        )
        times = [frame.info["duration"] for frame in ImageSequence.Iterator(opened)]
        assert times == [100, 100, 100]
    still = client.get(f"{path}/thumbnail", headers={"Accept": "image/gif"})
    assert len(list(ImageSequence.Iterator(Image.open(BytesIO(still.content))))) == 1


def test_several_frames_are_never_answered_with_one(client: httpx.Client, study: Study) -> None:
    path = f"{study.instances[5]}/frames/1,2/rendered"

    assert client.get(path, headers={"Accept": "image/jpeg"}).status_code == 406
    assert len(parts(client.get(path))) == 2


@pytest.mark.parametrize(
    ("frames", "status"),
    [("4", 404), ("0", 404), ("1,4", 404), ("x", 400), ("1,,2", 400), ("-1", 400)],
)
def test_frames_that_are_none_are_refused(
    client: httpx.Client, study: Study, frames: str, status: int
) -> None:
    for resource in ("rendered", "thumbnail"):
        answer = client.get(f"{study.instances[5]}/frames/{frames}/{resource}")
        assert answer.status_code == status


def test_one_image_is_sent_as_the_only_part_to_whom_takes_parts_alone(
    client: httpx.Client, study: Study
) -> None:
    for suffix in ("rendered", "thumbnail", "frames/1/rendered", "frames/1/thumbnail"):
        answer = client.get(f"{study.instances[0]}/{suffix}", headers={"Accept": IN_PARTS})
        ((kind, data),) = parts(answer)
        assert kind == "image/png"
        assert Image.open(BytesIO(data)).size == (SIDE, SIDE)


def test_pixel_data_that_no_codec_can_decode_are_not_acceptable(
    client: httpx.Client, study: Study
) -> None:
    path = study.instances[6]
    for suffix in ("rendered", "thumbnail", "frames/1/rendered"):
        answer = client.get(f"{path}/{suffix}")
        assert answer.status_code == 406
        assert answer.json()["type"] == "urn:coregister:error:Undecodable"
        assert "JPEG 2000 Part 2" in answer.json()["detail"]
    series = path.partition("/instances")[0]
    for suffix in ("rendered", "rendered?accept=image/png", "thumbnail"):
        assert client.get(f"{series}/{suffix}").status_code == 406


def test_a_broken_codestream_is_not_acceptable(client: httpx.Client) -> None:
    made = Study()
    path = made.add(transfer_syntax=JPEG2000, PixelData=fragments(b"\xff\x4f\xff\x51" + bytes(60)))
    made.stored(client)

    answer = client.get(f"{path}/rendered")

    assert (answer.status_code, answer.json()["type"]) == (406, "urn:coregister:error:Undecodable")


def test_an_etag_saves_rendering_again(client: httpx.Client, study: Study) -> None:
    for suffix in ("thumbnail", "rendered", "frames/1/rendered?quality=50"):
        path = f"{study.instances[0]}/{suffix}"
        first = client.get(path)
        assert first.headers["Cache-Control"] == "private, no-cache"
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"{study.instances[0]}/rendered?quality=51")
    assert other.headers["ETag"] != client.get(f"{study.instances[0]}/rendered").headers["ETag"]


def test_a_head_says_what_a_get_would_send(client: httpx.Client, study: Study) -> None:
    for path in (f"{study.path}/rendered", f"{study.instances[0]}/thumbnail"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert "image/jpeg" in answer.headers["Content-Type"]


@pytest.mark.parametrize("resource", ["rendered", "thumbnail"])
def test_what_is_not_here_is_not_found(client: httpx.Client, study: Study, resource: str) -> None:
    absent = generate_uid()
    for path in (
        f"/studies/{absent}",
        f"/studies/{study.uid}/series/{absent}",
        f"{study.series}/instances/{absent}",
        f"{study.series}/instances/{absent}/frames/1",
    ):
        assert client.get(f"{path}/{resource}").status_code == 404
    assert client.get(f"/studies/1.x/{resource}").status_code == 400


def test_frames_of_single_bits_that_share_bytes_are_told_apart(client: httpx.Client) -> None:
    """A segmentation of 5 x 5 pixels: the second frame begins with the second bit of the fourth byte."""
    bits = np.zeros((3, 5, 5), np.uint8)
    bits[0, 0], bits[1, :, 2], bits[2, 4, 4] = 1, 1, 1
    made = Study()
    path = made.add(
        SOPClassUID=SegmentationStorage, Modality="SEG", SegmentationType="BINARY",
        NumberOfFrames="3", Rows=5, Columns=5, BitsAllocated=1, BitsStored=1, HighBit=0,
        PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes(),
    )  # fmt: skip
    made.stored(client)

    for number in (1, 2, 3):
        found = shown(client.get(f"{path}/frames/{number}/rendered?accept=image/png"))
        assert (found == bits[number - 1] * 255).all()
    assert client.get(f"{path}/frames/4/rendered").status_code == 404


def test_more_frames_than_an_animation_may_have_are_not_acceptable(client: httpx.Client) -> None:
    made = Study()
    path = made.add(Rows=1, Columns=1, NumberOfFrames="301", PixelData=bytes(602))
    made.stored(client)

    answer = client.get(f"{path}/rendered?accept=image/gif")

    assert (answer.status_code, "animated_frames" in answer.json()["detail"]) == (406, True)
