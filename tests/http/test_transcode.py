"""The transfer-syntax parameter over HTTP (PS3.18 §8.7.3): instances, frames and bulk data."""

import time
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import psutil
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from app.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from tests.corpus import fragments, make_instance
from tests.server import Server, store, values
from tests.wado import DICOM, OCTETS, Stored, get, parts, under_own_uids

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),  # of pydicom's files
]

MPEG_4 = "1.2.840.10008.1.2.4.102"
FILES = [
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "SC_rgb_rle_2frame.dcm",
    "rtplan.dcm",
]
IMAGES = [name for name in FILES if name != "rtplan.dcm"]


@pytest.fixture(scope="module")
def files(server: Server) -> dict[str, Stored]:
    stored = {name: under_own_uids(name) for name in FILES}
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        answer = store(http, *(each.data for each in stored.values()))
    assert len(values(answer.json(), "00081199")) == len(stored), answer.text
    return stored


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data))


def pixels(data: bytes) -> NDArray[np.generic]:
    """Return the samples as pydicom decodes them."""
    return pixel_array(read(data), raw=True)


def in_syntax(syntax: str) -> str:
    return f'{DICOM}; transfer-syntax="{syntax}"'


def syntax_of(data: bytes) -> str:
    return str(read(data).file_meta.TransferSyntaxUID)


@pytest.mark.parametrize("name", FILES)
def test_who_names_no_transfer_syntax_gets_explicit_little_endian(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    """PS3.18 §8.7.3.2, at each level, with the same attributes."""
    file = files[name]
    for path in (file.study, file.series, file.instance):
        ((kind, data),) = parts(get(client, path, DICOM))
        assert kind == f"application/dicom; transfer-syntax={EXPLICIT_VR_LITTLE_ENDIAN}"
        assert syntax_of(data) == EXPLICIT_VR_LITTLE_ENDIAN
    alone = get(client, file.instance, "application/dicom")
    assert alone.content == data
    assert int(alone.headers["Content-Length"]) == len(data)
    received, own = read(data), file.dataset
    for element in own:
        if element.tag.element and element.keyword != "PixelData":
            assert received[element.tag] == element
    if name in IMAGES:
        assert np.array_equal(pixels(data), pixels(file.data))


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN]
)
@pytest.mark.parametrize("name", IMAGES)
def test_pixels_are_the_same_in_every_lossless_transfer_syntax(
    client: httpx.Client, files: dict[str, Stored], name: str, syntax: str
) -> None:
    file = files[name]

    ((kind, data),) = parts(get(client, file.instance, in_syntax(syntax)))

    assert kind == f"application/dicom; transfer-syntax={syntax}"
    assert syntax_of(data) == syntax
    assert np.array_equal(pixels(data), pixels(file.data))
    assert read(data).SOPInstanceUID == file.dataset.SOPInstanceUID


def test_the_stored_transfer_syntax_goes_before_one_that_has_to_be_made(
    client: httpx.Client, files: dict[str, Stored]
) -> None:
    file = files["MR_small_RLE.dcm"]
    either = f"{in_syntax(JPEG2000Lossless)}, {in_syntax(RLELossless)}"
    preferred = f"{in_syntax(JPEG2000Lossless)}, {in_syntax(RLELossless)};q=0.5"

    ((_, data),) = parts(get(client, file.instance, either))
    assert data == file.data
    ((_, data),) = parts(get(client, file.instance, preferred))
    assert syntax_of(data) == JPEG2000Lossless


@pytest.mark.parametrize(
    "asked", [MPEG_4, EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, "1.2"]
)
def test_what_no_codec_makes_is_not_acceptable(
    client: httpx.Client, files: dict[str, Stored], asked: str
) -> None:
    """PS3.18 §8.7.3.1: two of these are none that may be asked for."""
    for path in (files["CT_small.dcm"].study, files["CT_small.dcm"].instance):
        answer = get(client, path, in_syntax(asked))

        assert answer.status_code == 406
        assert "transfer-syntax=*" in answer.json()["detail"]


def mixed_study(client: httpx.Client) -> tuple[str, dict[str, bytes]]:
    """Store a study whose instances can not all be had in every transfer syntax."""
    study, series = generate_uid(), generate_uid()
    common: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    good = make_instance(PixelData=bytes(range(16)) * 32, InstanceNumber="1", **common)
    video = make_instance(
        transfer_syntax=MPEG_4, PixelData=fragments(bytes(64)), InstanceNumber="2", **common
    )
    broken = make_instance(
        transfer_syntax=JPEG2000Lossless,
        PixelData=fragments(b"\xff\x4f\xff\x51" + bytes(60)),
        InstanceNumber="3",
        **common,
    )
    one_bit = make_instance(
        BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=bytes(32), InstanceNumber="4", **common
    )
    sent = {"good": good, "video": video, "broken": broken, "one_bit": one_bit}
    assert store(client, *sent.values()).status_code in (200, 202)
    return f"/studies/{study}", sent


def test_what_cannot_be_made_is_left_out_and_the_answer_says_partial(client: httpx.Client) -> None:
    study, sent = mixed_study(client)

    partial = get(client, study, in_syntax(JPEGLSLossless))

    assert partial.status_code == 206
    partial.status_code = 200
    ((_, data),) = parts(partial)
    assert np.array_equal(pixels(data), pixels(sent["good"]))


def test_what_cannot_be_decoded_goes_out_as_stored_to_who_names_no_transfer_syntax(
    client: httpx.Client,
) -> None:
    study, sent = mixed_study(client)

    answer = get(client, study, DICOM)

    assert sorted(data for _, data in parts(answer)) == sorted(sent.values())


def test_where_nothing_is_left_the_answer_is_not_acceptable(client: httpx.Client) -> None:
    study, sent = mixed_study(client)
    broken = read(sent["broken"])
    path = f"{study}/series/{broken.SeriesInstanceUID}/instances/{broken.SOPInstanceUID}"

    alone = f"application/dicom; transfer-syntax={JPEGLSLossless}"
    for accept in (in_syntax(JPEGLSLossless), alone):
        answer = get(client, path, accept)
        assert answer.status_code == 406
        assert answer.headers["Content-Type"] == "application/problem+json"
    for accept in (in_syntax("*"), DICOM):
        ((_, data),) = parts(get(client, path, accept))
        assert data == sent["broken"]
    assert get(client, path, "application/dicom").content == sent["broken"]


def test_a_large_study_comes_whole_in_another_transfer_syntax(client: httpx.Client) -> None:
    """More instances than are made ahead, in the order in which they are stored otherwise."""
    study, series = generate_uid(), generate_uid()
    sent = [
        make_instance(
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            InstanceNumber=str(n),
            PixelData=bytes([n, 0]) * 256,
        )
        for n in range(20)
    ]
    assert store(client, *sent).status_code == 200

    received = parts(get(client, f"/studies/{study}", in_syntax(RLELossless)))
    as_stored = parts(get(client, f"/studies/{study}", in_syntax("*")))

    assert len(received) == 20
    for (_, made), (_, stored) in zip(received, as_stored, strict=True):
        assert read(made).SOPInstanceUID == read(stored).SOPInstanceUID
        assert np.array_equal(pixels(made), pixels(stored))


@pytest.mark.parametrize("name", IMAGES)
def test_frames_as_octets_are_decoded(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    """PS3.18 §8.7.3.5: native, in little endian."""
    file = files[name]
    number = int(file.dataset.get("NumberOfFrames", 1) or 1)
    path = f"{file.instance}/frames/{','.join(map(str, range(1, number + 1)))}"

    for accept in (OCTETS, f"{OCTETS}; transfer-syntax={EXPLICIT_VR_LITTLE_ENDIAN}"):
        received = parts(get(client, path, accept))
        kinds = {kind for kind, _ in received}
        expected = f"application/octet-stream; transfer-syntax={EXPLICIT_VR_LITTLE_ENDIAN}"
        assert kinds == {expected}
        assert b"".join(data for _, data in received) == native(file)


def native(file: Stored) -> bytes:
    """Return the pixel data as native samples, in the planar configuration that the attributes say."""
    samples = pixels(file.data)
    if file.dataset.get("PlanarConfiguration", 0):
        samples = np.moveaxis(samples, -1, -3)
    return samples.astype(samples.dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize(
    ("media_type", "syntax"),
    [
        ("image/jls", JPEGLSLossless),
        ("image/x-jls", JPEGLSLossless),
        ("image/jp2", JPEG2000Lossless),
        ("image/dicom-rle", RLELossless),
        ("image/x-dicom-rle", RLELossless),
        ("image/jphc", HTJ2KLossless),
        ("image/jhc", HTJ2KLossless),
        ("image/jpeg", "1.2.840.10008.1.2.4.70"),
        ("image/jxl", "1.2.840.10008.1.2.4.110"),
    ],
)
def test_frames_are_encoded_as_the_media_type_says(
    client: httpx.Client, files: dict[str, Stored], media_type: str, syntax: str
) -> None:
    """PS3.18 table 8.7.3-5, and the names that dcmjs has for them."""
    file = files["CT_small.dcm" if media_type != "image/jxl" else "SC_rgb_rle_2frame.dcm"]

    ((kind, data),) = parts(
        get(client, f"{file.instance}/frames/1", f'multipart/related; type="{media_type}"')
    )
    alone = get(client, f"{file.instance}/frames/1", media_type)

    assert kind.endswith(f"; transfer-syntax={syntax}")
    assert (alone.headers["Content-Type"], alone.content) == (kind, data)
    assert data


def test_frames_in_a_transfer_syntax_that_is_named(
    client: httpx.Client, files: dict[str, Stored]
) -> None:
    file = files["CT_small.dcm"]

    for media_type in ("image/jp2", "application/octet-stream"):
        accept = f'multipart/related; type="{media_type}"; transfer-syntax={JPEG2000Lossless}'
        ((kind, data),) = parts(get(client, f"{file.instance}/frames/1", accept))
        assert kind == f"image/jp2; transfer-syntax={JPEG2000Lossless}"
        assert data.startswith(b"\xff\x4f\xff\x51")


def test_compressed_pixel_data_as_octets_are_one_native_value(
    client: httpx.Client, files: dict[str, Stored]
) -> None:
    file = files["SC_rgb_rle_2frame.dcm"]

    ((kind, data),) = parts(get(client, f"{file.instance}/bulkdata/7FE00010", OCTETS))

    assert kind == f"application/octet-stream; transfer-syntax={EXPLICIT_VR_LITTLE_ENDIAN}"
    assert data == native(file)


def test_pixel_data_of_a_study_can_be_had_decoded(
    client: httpx.Client, files: dict[str, Stored]
) -> None:
    for name in ("SC_rgb_rle_2frame.dcm", "MR_small_bigendian.dcm"):
        file = files[name]
        received = parts(get(client, f"{file.study}/pixeldata", OCTETS))
        assert b"".join(data for _, data in received) == native(file)


def test_frames_that_cannot_be_decoded_are_not_acceptable(client: httpx.Client) -> None:
    study, sent = mixed_study(client)
    broken = read(sent["broken"])
    path = f"{study}/series/{broken.SeriesInstanceUID}/instances/{broken.SOPInstanceUID}"

    answer = get(client, f"{path}/frames/1", OCTETS)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (406, "Undecodable")
    answer = get(client, f"{path}/frames/1", f"{OCTETS}; transfer-syntax=*")
    assert len(parts(answer)) == 1


def test_an_answer_in_another_transfer_syntax_has_its_own_validator(
    client: httpx.Client, files: dict[str, Stored]
) -> None:
    path = files["CT_small.dcm"].instance
    accept = f"application/dicom; transfer-syntax={JPEG2000Lossless}"
    stored, made = get(client, path, "application/dicom"), get(client, path, accept)

    assert stored.headers["ETag"] != made.headers["ETag"]
    again = client.get(path, headers={"Accept": accept, "If-None-Match": made.headers["ETag"]})
    assert again.status_code == 304


def test_head_tells_the_length_of_what_would_be_made(
    client: httpx.Client, files: dict[str, Stored]
) -> None:
    path = files["CT_small.dcm"].instance
    accept = {"Accept": f"application/dicom; transfer-syntax={JPEG2000Lossless}"}

    head, answer = client.head(path, headers=accept), client.get(path, headers=accept)

    assert head.headers["Content-Length"] == answer.headers["Content-Length"]
    assert head.content == b""


def test_workers_that_are_killed_are_replaced(
    client: httpx.Client, files: dict[str, Stored], server: Server
) -> None:
    """As the system does when memory is short."""
    path = files["MR_small_RLE.dcm"].instance
    before = get(client, path, in_syntax(JPEGLSLossless))
    assert server.process is not None
    workers = psutil.Process(server.process.pid).children()
    assert workers
    for worker in workers:
        worker.kill()
        while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)

    ((_, made),) = parts(get(client, path, in_syntax(JPEGLSLossless)))

    assert made == parts(before)[0][1]
