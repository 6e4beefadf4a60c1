"""Instances stored from metadata and bulk data, in JSON and XML (PS3.18 §10.5.2), and found again."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import httpx
import orjson
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.uid import generate_uid

from app.dicom.compose import named_bulk_data
from tests.agreement import Archive
from tests.corpus import make_instance
from tests.server import Server, values
from tests.stow_requests import (
    JSON,
    XML,
    Part,
    bulk,
    image,
    in_json,
    in_xml,
    instance_path,
    send,
    uids,
)

pytestmark = pytest.mark.stack

PIXELS = bytes(range(16))
FAILED, OTHER_FAILURES, STORED = "00081198", "0008119A", "00081199"
REASON, WARNING, COMMENT, DETAILS = "00081197", "00081196", "00000902", "00741048"
Write = Callable[[Mapping[str, Any]], Part]
FORMS: dict[str, tuple[str, Write]] = {
    "JSON": (JSON, lambda each: in_json([each])),
    "XML": (XML, in_xml),
}


def fetched(client: httpx.Client, attributes: Mapping[str, Any]) -> bytes:
    answer = client.get(
        instance_path(attributes), headers={"Accept": "application/dicom; transfer-syntax=*"}
    )
    assert answer.status_code == 200
    return answer.content


def comments(item: Mapping[str, Any]) -> list[str]:
    return [values(detail, COMMENT)[0] for detail in values(item, DETAILS)]


@pytest.mark.parametrize("form", FORMS)
def test_an_image_is_stored_found_and_linked(
    client: httpx.Client, archive: Archive, form: str
) -> None:
    kind, write = FORMS[form]
    attributes = image()
    study, _, instance = uids(attributes)

    answer = send(client, kind, write(attributes), bulk("pixels", PIXELS))

    assert answer.status_code == 200
    (item,) = values(answer.json(), STORED)
    assert values(item, "00081155") == [instance]
    again = dcmread(
        BytesIO(
            client.get(values(item, "00081190")[0], headers={"Accept": "application/dicom"}).content
        )
    )
    assert again.PixelData == PIXELS
    assert str(again.PatientName) == "Müller^Jörg"
    assert again.file_meta.MediaStorageSOPInstanceUID == instance
    (row,) = client.get(
        "/instances", params={"SOPInstanceUID": instance, "PatientName": "müller*"}
    ).json()
    assert values(row, "0020000D") == [study]
    resource = archive.imaging_study(study)
    assert resource is not None
    assert resource["numberOfInstances"] == 1


def test_the_same_metadata_again_are_a_success_in_either_form(client: httpx.Client) -> None:
    """The composed bytes are the same, so it is the same object; other pixel data make another."""
    attributes = image()
    assert send(client, JSON, in_json([attributes]), bulk("pixels", PIXELS)).status_code == 200

    again = send(client, XML, in_xml(attributes), bulk("pixels", PIXELS))
    different = send(client, JSON, in_json([attributes]), bulk("pixels", bytes(16)))

    assert again.status_code == 200
    assert different.status_code == 409
    (item,) = values(different.json(), FAILED)
    assert values(item, REASON) == [0x0111]


def test_several_instances_share_one_array(client: httpx.Client, archive: Archive) -> None:
    study = generate_uid()
    objects = [
        image(
            x0020000D={"vr": "UI", "Value": [study]}, x7FE00010={"vr": "OB", "BulkDataURI": f"p{n}"}
        )
        for n in range(3)
    ]

    answer = send(client, JSON, in_json(objects), *(bulk(f"p{n}", PIXELS) for n in range(3)))

    assert answer.status_code == 200
    assert len(values(answer.json(), STORED)) == 3
    resource = archive.imaging_study(study)
    assert resource is not None
    assert resource["numberOfInstances"] == 3


def test_metadata_of_another_server_are_stored_under_new_identifiers(client: httpx.Client) -> None:
    """What WADO-RS sends can be sent back: metadata as they came, and the bulk data that they name."""
    source = renewed("examples_overlay.dcm")
    store_raw(client, source)
    base = f"/studies/{source.StudyInstanceUID}/series/{source.SeriesInstanceUID}"
    (attributes,) = client.get(f"{base}/instances/{source.SOPInstanceUID}/metadata").json()
    attributes["00080018"]["Value"] = [instance := generate_uid()]
    parts = [bulk(each, one_value(client, each)) for each in named_bulk_data(attributes)]
    assert parts

    answer = send(client, JSON, in_json([attributes]), *parts)

    assert answer.status_code in (200, 202), answer.text
    again = dcmread(BytesIO(fetched(client, attributes)))
    assert again.SOPInstanceUID == instance
    assert again.PixelData == source.PixelData
    assert again[0x60003000].value == source[0x60003000].value


def renewed(name: str) -> FileDataset:
    """Return a real object under new identifiers: other runs against the same FHIR server have theirs."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    dataset = dcmread(path)
    assert isinstance(dataset, FileDataset)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def store_raw(client: httpx.Client, dataset: FileDataset) -> None:
    data = BytesIO()
    dataset.save_as(data)
    headers = {"Content-Type": "application/dicom"}
    answer = client.post("/studies", content=data.getvalue(), headers=headers)
    assert answer.status_code in (200, 202)


def one_value(client: httpx.Client, url: str) -> bytes:
    answer = client.get(url, headers={"Accept": "application/octet-stream"})
    assert answer.status_code == 200
    return answer.content


# ---- pixel data in their own media types


def codestreams(name: str) -> tuple[FileDataset, list[bytes]]:
    dataset = renewed(name)
    number = int(dataset.get("NumberOfFrames", 1))
    return dataset, list(generate_frames(dataset.PixelData, number_of_frames=number))


COMPRESSED = {
    "SC_rgb_dcmtk_+eb+cy+s2.dcm": "image/jpeg",
    "JPEG2000.dcm": "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91",
    "MR_small_jpeg_ls_lossless.dcm": 'image/jls; transfer-syntax="1.2.840.10008.1.2.4.80"',
    "MR_small_RLE.dcm": "image/dicom-rle",
    "SC_rgb_rle_2frame.dcm": "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5",
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_frames_come_out_as_they_came_in(client: httpx.Client, name: str) -> None:
    source, frames = codestreams(name)
    attributes = source.to_json_dict(bulk_data_threshold=1 << 30)
    attributes = {tag: each for tag, each in attributes.items() if tag < "7FE0"}
    attributes["7FE00010"] = {"vr": "OB", "BulkDataURI": "frames"}

    answer = send(
        client,
        JSON,
        in_json([attributes]),
        *(bulk("frames", each, COMPRESSED[name]) for each in frames),
    )

    assert answer.status_code in (200, 202), answer.text
    again = dcmread(BytesIO(fetched(client, attributes)))
    assert again.file_meta.TransferSyntaxUID == source.file_meta.TransferSyntaxUID
    kind = COMPRESSED[name].partition(";")[0]
    for number, frame in enumerate(frames, 1):
        got = client.get(
            f"{instance_path(attributes)}/frames/{number}",
            headers={"Accept": f"{kind}; transfer-syntax=*"},
        )
        assert got.content.rstrip(b"\0") == frame.rstrip(b"\0")


def test_a_photograph_needs_only_its_identifiers(client: httpx.Client) -> None:
    """PS3.18 §10.5.2: of a single compressed image, the server sets the Image Pixel attributes."""
    source, (frame,) = codestreams("SC_rgb_dcmtk_+eb+cy+s2.dcm")
    attributes = {tag: each for tag, each in image().items() if not tag.startswith("0028")}

    answer = send(client, JSON, in_json([attributes]), bulk("pixels", frame, "image/jpeg"))

    assert answer.status_code == 200
    again = dcmread(BytesIO(fetched(client, attributes)))
    assert (again.Rows, again.Columns, again.SamplesPerPixel) == (source.Rows, source.Columns, 3)
    assert again.PhotometricInterpretation == source.PhotometricInterpretation


def test_a_document_is_stored_from_its_pdf(client: httpx.Client) -> None:
    attributes = image(
        x00080016={"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.104.1"]},
        x7FE00010=None,
        x00420011={"vr": "OB", "BulkDataURI": "cid:report"},
        x00420012={"vr": "LO", "Value": ["application/pdf"]},
    )
    attributes = {tag: each for tag, each in attributes.items() if not tag.startswith("0028")}
    document = {"Content-Type": "application/pdf", "Content-ID": "<report>"}, b"%PDF-1.7\n"

    assert send(client, JSON, in_json([attributes]), document).status_code == 200
    assert dcmread(BytesIO(fetched(client, attributes))).EncapsulatedDocument == b"%PDF-1.7\n\0"


def test_bulk_data_larger_than_memory_are_spooled(client: httpx.Client, server: Server) -> None:
    """Many times `spool_memory_bytes`, and the spool is empty afterwards."""
    rows = columns = 4096
    attributes = image(rows, columns)
    pixels = bytes(range(256)) * (rows * columns // 256)

    answer = send(client, JSON, in_json([attributes]), bulk("pixels", pixels))

    assert answer.status_code == 200
    assert dcmread(BytesIO(fetched(client, attributes))).PixelData == pixels
    assert server.spooled() == []


# ---- what is wrong is told of the instance that it is wrong with


def test_one_instance_without_its_bulk_data_does_not_harm_the_other(client: httpx.Client) -> None:
    good, bad = image(), image(x7FE00010={"vr": "OB", "BulkDataURI": "elsewhere"})

    answer = send(client, JSON, in_json([bad, good]), bulk("pixels", PIXELS))

    assert answer.status_code == 202
    (item,) = values(answer.json(), FAILED)
    assert values(item, "00081155") == [uids(bad)[2]]
    assert values(item, REASON) == [0xC000]
    (detail,) = values(item, DETAILS)
    assert values(detail, "00000901") == ["7FE00010"]
    assert "No part has the Content-Location" in values(detail, COMMENT)[0]
    assert client.get(f"{instance_path(bad)}/metadata").status_code == 404
    assert client.get(f"{instance_path(good)}/metadata").status_code == 200


WRONG: dict[str, tuple[list[Part], str]] = {
    "a location twice": ([bulk("pixels", PIXELS), bulk("pixels", PIXELS)], "Several parts"),
    "no location": (
        [({"Content-Type": "application/octet-stream"}, PIXELS)],
        "no Content-Location",
    ),
    "a length that lies": (
        [({**bulk("pixels", b"")[0], "Content-Length": "3"}, PIXELS)],
        "not its length",
    ),
    "a media type that pixel data cannot have": (
        [bulk("pixels", PIXELS, "image/png")],
        "cannot come in this media type",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_bulk_data_are_told(client: httpx.Client, name: str) -> None:
    parts, told = WRONG[name]
    attributes = image()

    answer = send(client, JSON, in_json([attributes]), *parts)

    assert answer.status_code == 409
    body = answer.json()
    items = [*values(body, FAILED), *values(body, OTHER_FAILURES)]
    assert any(told in comment for item in items for comment in comments(item))
    assert client.get(f"{instance_path(attributes)}/metadata").status_code == 404


def test_bulk_data_that_nobody_names_are_told_and_the_instance_is_stored(
    client: httpx.Client,
) -> None:
    answer = send(client, JSON, in_json([image()]), bulk("pixels", PIXELS), bulk("spare", b"12"))

    assert answer.status_code == 202
    assert len(values(answer.json(), STORED)) == 1
    (item,) = values(answer.json(), OTHER_FAILURES)
    assert comments(item) == ["A part has a Content-Location that no metadata name."]


def test_metadata_without_identifiers_are_refused_as_an_object_would_be(
    client: httpx.Client,
) -> None:
    attributes = image(x0020000E=None)

    answer = send(client, JSON, in_json([attributes]), bulk("pixels", PIXELS))

    assert answer.status_code == 409
    (item,) = values(answer.json(), FAILED)
    assert values(item, REASON) == [0x0120]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff"])
def test_metadata_that_are_no_json_are_a_bad_request(client: httpx.Client, body: bytes) -> None:
    answer = send(client, JSON, ({"Content-Type": JSON}, body), bulk("pixels", PIXELS))

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_no_metadata_at_all_are_a_bad_request(client: httpx.Client) -> None:
    assert send(client, JSON, in_json([])).status_code == 400


def test_one_bad_document_does_not_harm_the_other(client: httpx.Client) -> None:
    """Each XML part is an instance of its own."""
    bomb = b'<!DOCTYPE b [<!ENTITY a "aaaa">]><NativeDicomModel/>'

    answer = send(
        client, XML, ({"Content-Type": XML}, bomb), in_xml(image()), bulk("pixels", PIXELS)
    )

    assert answer.status_code == 202
    (item,) = values(answer.json(), OTHER_FAILURES)
    assert "DOCTYPE" in comments(item)[0]


def test_values_that_cannot_be_are_told_with_their_attribute(client: httpx.Client) -> None:
    attributes = image(x00280030={"vr": "DS", "Value": [{}]})

    answer = send(client, JSON, in_json([attributes]), bulk("pixels", PIXELS))

    (item,) = values(answer.json(), FAILED)
    (detail,) = values(item, DETAILS)
    assert values(detail, "00000901") == ["00280030"]


def test_a_character_set_that_json_cannot_have_is_coerced_with_a_warning(
    client: httpx.Client,
) -> None:
    attributes = image(x00080005={"vr": "CS", "Value": ["ISO_IR 100"]})

    answer = send(client, JSON, in_json([attributes]), bulk("pixels", PIXELS))

    assert answer.status_code == 202
    (item,) = values(answer.json(), STORED)
    assert values(item, WARNING) == [0xB000]


# ---- what senders write


def test_metadata_may_come_alone(client: httpx.Client) -> None:
    """A report has no bulk data; some send it without a multipart around."""
    attributes = {
        tag: each for tag, each in image(x7FE00010=None).items() if not tag.startswith("0028")
    }
    attributes["00080016"]["Value"] = ["1.2.840.10008.5.1.4.1.1.88.11"]

    answer = client.post(
        "/studies", content=orjson.dumps(attributes), headers={"Content-Type": JSON}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        f"multipart/related; boundary=b-17; type={JSON}",
        f'Multipart/Related; TYPE="{JSON.upper()}"; boundary="b-17"',
        "multipart/related; boundary=b-17",
        f'multipart/related; type="{JSON}; charset=utf-8"; start=x; boundary=b-17',
    ],
)
def test_the_type_may_be_said_in_any_way(client: httpx.Client, content_type: str) -> None:
    answer = send(
        client,
        JSON,
        in_json([image()]),
        bulk("pixels", PIXELS),
        headers={"Content-Type": content_type},
    )

    assert answer.status_code == 200


def test_metadata_may_be_called_plain_json_or_nothing(client: httpx.Client) -> None:
    metadata = in_json([image()])[1]
    for headers in ({"Content-Type": "application/json; charset=utf-8"}, {}):
        assert (
            send(
                client, JSON, (headers, b"\xef\xbb\xbf" + metadata), bulk("pixels", PIXELS)
            ).status_code
            == 200
        )


def test_objects_and_metadata_may_come_in_one_request(client: httpx.Client) -> None:
    whole = {"Content-Type": "application/dicom"}, make_instance()
    answer = send(client, JSON, in_json([image()]), whole, bulk("pixels", PIXELS))

    assert answer.status_code == 200
    assert len(values(answer.json(), STORED)) == 2


def test_the_python_client_reads_what_was_composed(client: httpx.Client, server: Server) -> None:
    attributes = image()
    assert send(client, JSON, in_json([attributes]), bulk("pixels", PIXELS)).status_code == 200

    study, series, instance = uids(attributes)
    found = DICOMwebClient(server.base).retrieve_instance(study, series, instance)

    assert found.PixelData == PIXELS
    assert found.pixel_array.shape == (4, 4)
