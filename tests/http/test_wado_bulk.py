"""All bulk values and all pixel data of a study, series or instance over HTTP (PS3.18 §10.4.1.1.5)."""

import httpx
import pytest
from pydicom.uid import EncapsulatedPDFStorage, generate_uid

from tests.corpus import make_instance
from tests.server import Server, store
from tests.wado import OCTETS, Stored, get, sections, stored_file

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),  # of pydicom's files
]
NAMES = ["CT_small.dcm", "rtdose.dcm", "SC_rgb_rle_2frame.dcm", "waveform_ecg.dcm", "image_dfl.dcm"]


@pytest.fixture(scope="module")
def files(server: Server) -> dict[str, Stored]:
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        return {name: stored_file(http, name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_every_bulk_value_of_the_metadata_is_among_the_parts(
    client: httpx.Client, files: dict[str, Stored], level: str, name: str
) -> None:
    """Under its BulkDataURI, with the bytes that are had there."""
    path = getattr(files[name], level)
    (metadata,) = get(client, f"{path}/metadata").json()

    found = sections(get(client, f"{path}/bulkdata"))

    assert {part.location for part in found} == set(uris(metadata))
    for part in found:
        assert part.location is not None
        one = sections(get(client, part.location))
        assert part in one


def uris(attributes: dict[str, dict[str, object]]) -> list[str]:
    found = []
    for element in attributes.values():
        if "BulkDataURI" in element:
            found.append(str(element["BulkDataURI"]))
        elif element["vr"] == "SQ":
            for item in element.get("Value", []):  # type: ignore[attr-defined]
                found += uris(item)
    return found


@pytest.mark.parametrize("name", ["CT_small.dcm", "SC_rgb_rle_2frame.dcm", "image_dfl.dcm"])
def test_pixel_data_are_the_frames_each_in_a_part(
    client: httpx.Client, files: dict[str, Stored], name: str
) -> None:
    file = files[name]
    base = f"{str(client.base_url).rstrip('/')}{file.instance}/frames"
    for path in (file.study, file.series, file.instance):
        found = sections(get(client, f"{path}/pixeldata"))
        assert [part.data for part in found] == file.frames
        assert [part.location for part in found] == [
            f"{base}/{number}" for number in range(1, len(file.frames) + 1)
        ]


def test_many_instances_come_in_one_answer(client: httpx.Client) -> None:
    study = generate_uid()
    pixels = [bytes([number]) * (2_000_000 if number == 3 else 512) for number in range(20)]
    sent = [
        make_instance(StudyInstanceUID=study, InstanceNumber=str(n), PixelData=each)
        for n, each in enumerate(pixels)
    ]
    assert store(client, *sent).status_code in (200, 202)

    found = sections(get(client, f"/studies/{study}/bulkdata", OCTETS))

    assert sorted(part.data for part in found) == sorted(pixels)


def test_what_has_no_such_values_is_not_found(client: httpx.Client) -> None:
    study = generate_uid()
    plain = make_instance(StudyInstanceUID=study, PixelData=None, Rows=None, Columns=None)
    assert store(client, plain).status_code in (200, 202)

    for below in ("/bulkdata", "/pixeldata"):
        assert get(client, f"/studies/{study}{below}").status_code == 404
        assert get(client, f"/studies/{generate_uid()}{below}").status_code == 404


def test_what_nobody_can_be_sent_is_not_acceptable(
    client: httpx.Client, files: dict[str, Stored]
) -> None:
    answer = get(client, f"{files['CT_small.dcm'].study}/bulkdata", "text/html")

    assert answer.status_code == 406
    assert "application/octet-stream" in answer.json()["detail"]


def test_an_encapsulated_document_is_had_under_its_own_media_type(client: httpx.Client) -> None:
    """As viewers ask for a PDF: by its BulkDataURI, naming what they expect and octets beside it."""
    document = b"%PDF-1.4 " + bytes(5_000)
    stored = make_instance(
        SOPClassUID=EncapsulatedPDFStorage,
        StudyInstanceUID=(study := generate_uid()),
        PixelData=None,
        Rows=None,
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=document + b"\0",
    )
    assert store(client, stored).status_code in (200, 202)
    (metadata,) = get(client, f"/studies/{study}/metadata").json()
    uri = metadata["00420011"]["BulkDataURI"]

    pdf = 'multipart/related; type="application/pdf"'
    for accept, media_type in (
        (f"{pdf}, {OCTETS}", "application/pdf"),
        (pdf, "application/pdf"),
        (OCTETS, "application/octet-stream"),
        ("*/*", "application/octet-stream"),
    ):
        (part,) = sections(get(client, uri, accept))
        assert part.content_type.partition(";")[0] == media_type
        assert part.data.startswith(document)
    alone = get(client, uri, "application/pdf")
    assert alone.content.startswith(document)
    assert alone.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert get(client, uri, "model/stl").status_code == 406
