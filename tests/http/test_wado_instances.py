"""Whole instances over HTTP: archives, byte ranges, validators, HEAD (PS3.18 §10.4, RFC 9110)."""

from io import BytesIO
from zipfile import ZipFile

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.corpus import make_instance
from tests.server import Server, store
from tests.wado import DICOM, OCTETS, Stored, get, parts, sections, stored_file

pytestmark = pytest.mark.stack
LARGE = 3_000_000


@pytest.fixture(scope="module")
def study(server: Server) -> tuple[str, dict[str, bytes]]:
    """A study of two series, one instance larger than what is sent in one piece: its path, its files."""
    uid, series = generate_uid(), [generate_uid(), generate_uid()]
    sent = {}
    for number in range(12):
        instance = generate_uid()
        name = f"{uid}/{series[number % 2]}/{instance}.dcm"
        sent[name] = make_instance(
            StudyInstanceUID=uid,
            SeriesInstanceUID=series[number % 2],
            SOPInstanceUID=instance,
            InstanceNumber=str(number),
            PixelData=bytes(LARGE if number == 5 else 512),
        )
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        assert store(http, *sent.values()).status_code in (200, 202)
    return f"/studies/{uid}", sent


@pytest.fixture(scope="module")
def file(server: Server) -> Stored:
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        return stored_file(http, "CT_small.dcm")


def test_an_archive_holds_every_instance_byte_for_byte(
    client: httpx.Client, study: tuple[str, dict[str, bytes]]
) -> None:
    path, sent = study

    answer = get(client, path, "application/zip")

    assert answer.headers["Content-Type"] == "application/zip"
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == sent


def test_an_archive_is_had_of_a_series_and_of_an_instance_by_a_link(
    client: httpx.Client, file: Stored
) -> None:
    for path in (file.series, file.instance):
        answer = client.get(path, params={"accept": "application/zip"})
        with ZipFile(BytesIO(answer.content)) as archive:
            assert [archive.read(name) for name in archive.namelist()] == [file.data]


def test_a_validator_changes_with_whatever_is_stored(client: httpx.Client) -> None:
    study, series = generate_uid(), generate_uid()
    path = f"/studies/{study}"
    seen = set()
    for resource in ("", "/metadata", f"/series/{series}", f"/series/{series}/metadata"):
        for _ in range(3):
            added = make_instance(StudyInstanceUID=study, SeriesInstanceUID=series)
            assert store(client, added).status_code in (200, 202)
            answer = get(client, path + resource)
            etag = answer.headers["ETag"]
            assert etag.startswith('W/"')
            assert etag not in seen
            seen.add(etag)
            again = client.get(path + resource, headers={"If-None-Match": etag})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == etag


def test_a_change_elsewhere_leaves_the_validator(client: httpx.Client, file: Stored) -> None:
    before = get(client, f"{file.study}/metadata").headers["ETag"]
    assert store(client, make_instance()).status_code in (200, 202)

    assert get(client, f"{file.study}/metadata").headers["ETag"] == before


@pytest.mark.parametrize("below", ["", "/metadata", "/frames/1", "/bulkdata", "/pixeldata"])
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_who_has_it_already_is_not_sent_it_again(
    client: httpx.Client, file: Stored, level: str, below: str
) -> None:
    if below == "/frames/1" and level != "instance":
        return
    path = getattr(file, level) + below
    first = get(client, path)
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == "private, no-cache"

    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    anything = client.get(path, headers={"If-None-Match": "*"})
    other = client.get(path, headers={"If-None-Match": '"another"'})

    assert [each.status_code for each in (again, anything, other)] == [304, 304, 200]


def test_what_is_not_there_is_not_unmodified(client: httpx.Client) -> None:
    path = f"/studies/{generate_uid()}"
    for below in ("", "/metadata", "/bulkdata", "/series/1.2/instances/1.2/metadata"):
        answer = client.get(path + below, headers={"If-None-Match": "*"})
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "below", ["", "/metadata", "/frames/1", "/bulkdata", "/bulkdata/7FE00010", "/pixeldata"]
)
def test_a_head_is_the_head_of_the_answer(client: httpx.Client, file: Stored, below: str) -> None:
    path = file.instance + below
    head, whole = client.head(path), client.get(path)

    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["ETag"] == whole.headers["ETag"]
    kinds = [each.headers["Content-Type"].partition("; boundary")[0] for each in (head, whole)]
    assert kinds[0] == kinds[1]


def test_a_head_of_a_single_part_tells_its_length(client: httpx.Client, file: Stored) -> None:
    head = client.head(file.instance, headers={"Accept": "application/dicom"})

    assert head.headers["Content-Length"] == str(len(file.data))
    assert head.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("first", [0, 1_048_570, LARGE - 10])
def test_an_interrupted_download_goes_on_where_it_ended(
    client: httpx.Client, study: tuple[str, dict[str, bytes]], first: int
) -> None:
    _, sent = study
    name, data = max(sent.items(), key=lambda each: len(each[1]))
    uid, series, instance = name.removesuffix(".dcm").split("/")
    path = f"/studies/{uid}/series/{series}/instances/{instance}"
    whole = get(client, path, "application/dicom")
    assert whole.content == data

    rest = client.get(
        path,
        headers={
            "Accept": "application/dicom",
            "Range": f"bytes={first}-",
            "If-Range": whole.headers["ETag"],
        },
    )

    assert rest.status_code == 206
    assert rest.content == data[first:]
    assert rest.headers["Content-Range"] == f"bytes {first}-{len(data) - 1}/{len(data)}"


def test_ranges_of_a_bulk_value_are_sent_alone(client: httpx.Client, file: Stored) -> None:
    """A range of parts would mean nothing: who asks for one is sent the value as the whole body."""
    pixels = file.dataset.PixelData
    path = f"{file.instance}/bulkdata/7FE00010"

    one = client.get(path, headers={"Range": "bytes=10-19"})
    several = client.get(path, headers={"Range": "bytes=0-1,-2", "Accept": "*/*"})
    beyond = client.get(path, headers={"Range": f"bytes={len(pixels)}-"})

    assert (one.status_code, one.content) == (206, pixels[10:20])
    assert [part.data for part in sections(several)] == [pixels[:2], pixels[-2:]]
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(pixels)}")


def test_range_for_a_client_that_takes_parts_alone_is_a_part(
    client: httpx.Client, file: Stored
) -> None:
    """As Python's and npm's dicomweb-client ask."""
    pixels = file.dataset.PixelData
    headers = {
        "Accept": 'multipart/related; type="application/octet-stream"', "Range": "bytes=10-19"
    }  # fmt: skip

    answer = client.get(f"{file.instance}/bulkdata/7FE00010", headers=headers)

    (part,) = sections(answer)
    assert (answer.status_code, part.data) == (206, pixels[10:20])
    assert b"Content-Range: bytes 10-19/%d\r\n" % len(pixels) in answer.content


@pytest.mark.parametrize("header", ["bytes=5-1", "lines=1-2", "bytes=x", "bytes=", "5-6"])
def test_what_is_no_range_is_ignored(client: httpx.Client, file: Stored, header: str) -> None:
    answer = client.get(file.instance, headers={"Accept": "application/dicom", "Range": header})

    assert (answer.status_code, answer.content) == (200, file.data)


def test_a_lost_object_does_not_make_its_study_unreadable(
    server: Server, client: httpx.Client
) -> None:
    study = generate_uid()
    sent = [make_instance(StudyInstanceUID=study) for _ in range(3)]
    assert store(client, *sent).status_code in (200, 202)
    path = f"/studies/{study}"
    lost = min((server.blobs / study).rglob("*.dcm"))
    kept = lost.read_bytes()
    lost.unlink()
    try:
        answer = get(client, path)
        assert answer.status_code == 206
        assert sorted(part.data for part in sections(answer)) == sorted(set(sent) - {kept})
        with ZipFile(BytesIO(get(client, path, "application/zip").content)) as archive:
            assert len(archive.namelist()) == 2
    finally:
        lost.write_bytes(kept)


def test_parts_are_preferred_where_both_are_offered(client: httpx.Client, file: Stored) -> None:
    both = get(client, file.instance, f"application/dicom, {DICOM}")
    wanted_less = get(client, file.instance, f"application/dicom, {DICOM}; q=0.5")

    assert [data for _, data in parts(both)] == [file.data]
    assert wanted_less.content == file.data


@pytest.mark.parametrize(
    "accept",
    [
        "multipart/related",
        "multipart/*",
        'multipart/related; type="*/*"',
        "multipart/related;type=application/*",
        "Multipart/Related; Type=APPLICATION/DICOM; Transfer-Syntax=*",
        'image/png, multipart/related; type="application/dicom";transfer-syntax="*", text/html;q=0.3',
    ],
)
def test_accept_is_read_leniently(client: httpx.Client, file: Stored, accept: str) -> None:
    for path in (file.study, file.instance):
        assert [data for _, data in parts(get(client, path, accept))] == [file.data]


def test_bulk_values_are_sent_to_whom_asks_for_octets(client: httpx.Client, file: Stored) -> None:
    """PS3.18 §10.4.3.3: an instance as uncompressed bulk data."""
    location = f"{str(client.base_url).rstrip('/')}{file.instance}/bulkdata/7FE00010"
    for path in (file.study, file.instance):
        found = {part.location: part.data for part in sections(get(client, path, OCTETS))}
        assert found[location] == file.dataset.PixelData
