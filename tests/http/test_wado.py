"""WADO-RS over HTTP: instances, metadata, frames and bulk data as stored (PS3.18 §10.4)."""

from array import array
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from tests.corpus import make_instance
from tests.server import Server, store, values
from tests.wado import DICOM, OCTETS, Stored, get, parts, under_own_uids

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),  # of pydicom's files
]

NATIVE = [
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "rtdose.dcm",
    "image_dfl.dcm",
    "MR_small_bigendian.dcm",
]
ENCAPSULATED = {
    "MR_small_RLE.dcm": "image/dicom-rle",
    "SC_rgb_rle_2frame.dcm": "image/dicom-rle",
    "JPEG2000.dcm": "image/jp2",
    "examples_ybr_color.dcm": "image/jpeg",
}
OTHERS = ["rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm"]


@pytest.fixture(scope="module")
def files(server: Server) -> dict[str, Stored]:
    stored = {name: under_own_uids(name) for name in [*NATIVE, *ENCAPSULATED, *OTHERS]}
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        answer = store(http, *(each.data for each in stored.values()))
    assert len(values(answer.json(), "00081199")) == len(stored), answer.text
    return stored


EVERY = [*NATIVE, *ENCAPSULATED, *OTHERS]


@pytest.mark.parametrize("name", EVERY)
def test_an_object_comes_back_byte_for_byte(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    """P3: as multipart at each level, and as a single part for an instance."""
    file = files[name]
    for path in (file.study, file.series, file.instance):
        for accept in (f"{DICOM}; transfer-syntax=*", None):
            ((kind, data),) = parts(get(client, path, accept))
            assert data == file.data
            assert kind == f"application/dicom; transfer-syntax={file.syntax}"
    single = get(client, file.instance, "application/dicom; transfer-syntax=*")
    assert single.content == file.data
    assert single.headers["Content-Type"] == f"application/dicom; transfer-syntax={file.syntax}"
    exact = get(client, file.instance, f"{DICOM}; transfer-syntax={file.syntax}")
    assert [data for _, data in parts(exact)] == [file.data]


def test_a_study_comes_with_all_its_instances(client: httpx.Client) -> None:
    """One of them larger than what is sent in one piece."""
    study, series = generate_uid(), [generate_uid(), generate_uid()]
    sent = [
        make_instance(
            StudyInstanceUID=study,
            SeriesInstanceUID=series[n % 2],
            InstanceNumber=str(n),
            PixelData=bytes(2_500_000 if n == 3 else 512),
        )
        for n in range(5)
    ]
    assert store(client, *sent).status_code in (200, 202)
    received = [data for _, data in parts(get(client, f"/studies/{study}", DICOM))]
    assert sorted(received) == sorted(sent)
    of_series = parts(get(client, f"/studies/{study}/series/{series[1]}", DICOM))
    assert sorted(data for _, data in of_series) == sorted(sent[1::2])


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/png",
        "application/dicom+xml",
        'multipart/related; type="image/jpeg"',
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.100',
    ],
)
def test_what_cannot_be_made_is_not_acceptable(
    client: httpx.Client, files: dict[str, Stored], accept: str
) -> None:
    """406, and the answer says what there is."""
    file = files["CT_small.dcm"]
    for path in (file.study, file.series, file.instance):
        answer = get(client, path, accept)
        assert answer.status_code == 406
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"]
    assert get(client, f"{file.instance}/metadata", DICOM).status_code == 406
    assert get(client, f"{file.instance}/frames/1", "image/png").status_code == 406


def test_a_study_cannot_be_one_part(client: httpx.Client, files: dict[str, Stored]) -> None:
    assert get(client, files["CT_small.dcm"].study, "application/dicom").status_code == 406


def test_accept_may_be_a_query_parameter(client: httpx.Client, files: dict[str, Stored]) -> None:
    """PS3.18 §8.3.3.1: for browsers' links."""
    file = files["CT_small.dcm"]
    answer = client.get(file.instance, params={"accept": "application/dicom"})
    assert answer.content == file.data


@pytest.mark.parametrize("name", EVERY)
def test_metadata_are_the_same_at_all_levels(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    file = files[name]
    levels = [get(client, f"{p}/metadata").json() for p in (file.study, file.series, file.instance)]
    assert levels[0] == levels[1] == levels[2]
    (metadata,) = levels[0]
    own = {f"{element.tag:08X}" for element in file.dataset if element.tag.element}
    assert metadata.keys() == own
    assert list(metadata) == sorted(metadata)
    for tag, attribute in metadata.items():
        assert attribute.get("vr"), tag


@pytest.mark.parametrize("name", NATIVE)
def test_native_frames_come_in_the_order_asked_for(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    file = files[name]
    number = len(file.frames)
    asked = sorted(range(1, number + 1), key=lambda n: (n % 3, n))
    path = f"{file.instance}/frames/{','.join(map(str, asked))}"
    frames = [in_little_endian(frame, file) for frame in file.frames]
    for accept in (OCTETS, f"{OCTETS}; transfer-syntax=*", None):
        received = parts(get(client, path, accept))
        assert [data for _, data in received] == [frames[n - 1] for n in asked]
        assert all(kind.startswith("application/octet-stream") for kind, _ in received)
    if number == 1:
        assert get(client, path, "application/octet-stream").content == frames[0]


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "image_dfl.dcm"])
def test_little_endian_frames_are_explicit_little_endian_however_the_file_is_encoded(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    """The encoding of the data set does not touch the pixels: clients ask for the default syntax."""
    file = files[name]
    accept = f"{OCTETS}; transfer-syntax={ExplicitVRLittleEndian}"
    ((_, data),) = parts(get(client, f"{file.instance}/frames/1", accept))
    assert data == file.frames[0]


@pytest.mark.parametrize(("name", "media_type"), ENCAPSULATED.items())
def test_encapsulated_frames_come_as_stored(
    client: httpx.Client, files: dict[str, Stored], name: str, media_type: str
) -> None:
    file = files[name]
    asked = list(range(len(file.frames), 0, -1))
    path = f"{file.instance}/frames/{','.join(map(str, asked))}"
    typed = f'multipart/related; type="{media_type}"'
    for accept in (
        typed,
        f"{typed}; transfer-syntax={file.syntax}",
        f"{OCTETS}; transfer-syntax=*",
    ):
        received = parts(get(client, path, accept))
        assert [data for _, data in received] == [file.frames[n - 1] for n in asked]
        assert {kind for kind, _ in received} == {f"{media_type}; transfer-syntax={file.syntax}"}


@pytest.mark.parametrize("name", ["rtdose.dcm", "SC_rgb_rle_2frame.dcm", "CT_small.dcm"])
@pytest.mark.parametrize("numbers", ["0", "1,{}", "{}", "99999999999999999999"])
def test_a_frame_that_is_not_there_is_not_found(
    client: httpx.Client, files: dict[str, Stored], name: str, numbers: str
) -> None:
    file = files[name]
    asked = numbers.format(len(file.frames) + 1)
    assert get(client, f"{file.instance}/frames/{asked}").status_code == 404


@pytest.mark.parametrize("numbers", ["x", "1,,2", "1;2", "-", "1,"])
def test_what_is_no_list_of_frames_is_a_bad_request(
    client: httpx.Client, files: dict[str, Stored], numbers: str
) -> None:
    path = f"{files['rtdose.dcm'].instance}/frames/{numbers}"
    assert get(client, path).status_code == 400


@pytest.mark.parametrize("name", OTHERS)
def test_an_object_without_pixels_has_no_frames(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    assert get(client, f"{files[name].instance}/frames/1").status_code == 404


@pytest.mark.parametrize("name", EVERY)
def test_every_bulk_data_uri_leads_to_the_value(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    file = files[name]
    (metadata,) = get(client, f"{file.instance}/metadata").json()
    found = list(bulk_values(metadata, file.dataset))
    assert found or name in OTHERS
    for uri, value in found:
        assert uri.startswith(f"{str(client.base_url).rstrip('/')}{file.instance}/bulkdata/")
        answer = get(client, uri, f"{OCTETS}; transfer-syntax=*")
        received = [data for _, data in parts(answer)]
        pixels = uri.endswith("/7FE00010")
        expected = in_little_endian(value, file)
        assert received == (file.frames if pixels and name in ENCAPSULATED else [expected])
        if not (pixels and name in ENCAPSULATED):
            assert get(client, uri, "application/octet-stream").content == expected


def in_little_endian(value: bytes, file: Stored) -> bytes:
    """Return words as Explicit VR Little Endian has them."""
    if file.syntax != ExplicitVRBigEndian:
        return value
    words = array("H", value)
    words.byteswap()
    return words.tobytes()


def bulk_values(metadata: dict[str, Any], dataset: Dataset) -> Iterator[tuple[str, bytes]]:
    """Yield each BulkDataURI, nested ones too, with the value that it stands for."""
    for tag, attribute in metadata.items():
        own = dataset[int(tag, 16)]
        if "BulkDataURI" in attribute:
            yield attribute["BulkDataURI"], own.value
        elif attribute["vr"] == "SQ":
            for inner, item in zip(attribute.get("Value", []), own.value, strict=True):
                yield from bulk_values(inner, item)


def test_a_nested_bulk_value_is_among_them(files: dict[str, Stored], client: httpx.Client) -> None:
    """Of the waveform's samples, which lie in a sequence."""
    (metadata,) = get(client, f"{files['waveform_ecg.dcm'].instance}/metadata").json()
    found = [uri for uri, _ in bulk_values(metadata, files["waveform_ecg.dcm"].dataset)]
    assert any("/bulkdata/54000100" in uri for uri in found)


@pytest.mark.parametrize("below", ["", "/metadata", "/frames/1", "/bulkdata/7FE00010"])
def test_what_is_not_there_is_not_found(
    client: httpx.Client, files: dict[str, Stored], below: str
) -> None:
    """Also where the instance exists, but not in the study or series of the URL."""
    file, other = files["CT_small.dcm"], files["rtplan.dcm"]
    unknown = f"/studies/{generate_uid()}/series/1.2/instances/1.2{below}"
    elsewhere = f"{other.series}/instances/{file.dataset.SOPInstanceUID}{below}"
    for path in (unknown, elsewhere):
        answer = get(client, path)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
    if below in ("", "/metadata"):
        assert get(client, f"{other.study}/series/{generate_uid()}{below}").status_code == 404
    no_value = f"{file.instance}/bulkdata/00100010"
    assert get(client, no_value).status_code == 404
