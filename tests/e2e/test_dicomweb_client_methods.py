"""Every public method of Python's dicomweb-client, each used as its documentation says."""

import inspect
import io
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from requests import HTTPError

from tests.corpus import SIDE, make_instance
from tests.e2e.test_dicomweb_client import ENCAPSULATED, FILES, client, same, stored, uids
from tests.server import Server

__all__ = ["client", "stored"]  # fixtures of the other module

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:dicomweb_client"),
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),
]

RLE = "SC_rgb_rle_2frame.dcm"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
SAID = "The heart is where it should be."
GRADIENT = np.linspace(0, 4_000, SIDE * SIDE, dtype="<u2")


@pytest.fixture(scope="module")
def images(client: DICOMwebClient) -> list[Dataset]:
    """A study with two series of two images, each a ramp of grey."""
    study, ids = generate_uid(), f"m-{generate_uid()[-12:]}"
    made = [
        read(
            make_instance(
                SOPClassUID=SecondaryCaptureImageStorage, Modality="OT",
                StudyInstanceUID=study, SeriesInstanceUID=series, PatientID=ids,
                PatientName="Méthode^Zoë", SpecificCharacterSet="ISO_IR 192",
                StudyDescription="Every method", SeriesNumber=str(number), InstanceNumber=str(image),
                PixelData=GRADIENT.tobytes(), WindowCenter="2000", WindowWidth="4000",
            )
        )
        for number, series in enumerate((generate_uid(), generate_uid()), start=1)
        for image in (1, 2)
    ]  # fmt: skip
    client.store_instances(made)
    return made


def read(data: bytes) -> Dataset:
    return dcmread(io.BytesIO(data))


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


def status_of(raised: pytest.ExceptionInfo[HTTPError]) -> int:
    assert raised.value.response is not None
    return raised.value.response.status_code


def test_no_public_method_is_left_out() -> None:
    public = {
        name for name, _ in inspect.getmembers(DICOMwebClient, callable) if not name.startswith("_")
    }
    tests = [p.read_text("utf-8") for p in Path(__file__).parent.glob("test_dicomweb_client*.py")]
    called = set(re.findall(r"\b[cC]lient\.(\w+)\(", "\n".join(tests)))

    assert public - called == set()


def test_studies_are_searched_with_every_parameter(
    client: DICOMwebClient, images: list[Dataset]
) -> None:
    one = images[0]
    (found,) = client.search_for_studies(
        fuzzymatching=True, limit=5, offset=0, fields=["StudyDescription", "00101010"],
        search_filters={"PatientName": "zoe", "PatientID": one.PatientID},
    )  # fmt: skip

    assert found["0020000D"]["Value"] == [one.StudyInstanceUID]
    assert found["00100010"]["Value"] == [{"Alphabetic": "Méthode^Zoë"}]
    assert found["00081030"]["Value"] == ["Every method"]
    assert found["00201206"]["Value"] == [2]
    assert found["00201208"]["Value"] == [4]


def test_pages_are_fetched_until_nothing_is_left(
    client: DICOMwebClient, images: list[Dataset]
) -> None:
    found = client.search_for_instances(images[0].StudyInstanceUID, limit=1, get_remaining=True)

    assert {row["00080018"]["Value"][0] for row in found} == {i.SOPInstanceUID for i in images}
    assert len(found) == len(images)


def test_offset_past_the_end_finds_nothing(client: DICOMwebClient, images: list[Dataset]) -> None:
    assert client.search_for_instances(images[0].StudyInstanceUID, offset=4) == []


def test_series_are_searched_in_a_study_and_everywhere(
    client: DICOMwebClient, images: list[Dataset]
) -> None:
    study = images[0].StudyInstanceUID
    within = client.search_for_series(study, fields=["SeriesNumber"])
    everywhere = client.search_for_series(
        search_filters={"StudyInstanceUID": study, "SeriesNumber": "2"}
    )

    assert [row["00200011"]["Value"] for row in within] == [[1], [2]]
    assert [row["0020000E"]["Value"] for row in everywhere] == [[images[2].SeriesInstanceUID]]


def test_instances_are_searched_in_a_series_a_study_and_everywhere(
    client: DICOMwebClient, images: list[Dataset]
) -> None:
    study, series, instance = uids(images[3])
    of_series = client.search_for_instances(study, series)
    everywhere = client.search_for_instances(search_filters={"SOPInstanceUID": instance})

    assert [row["00200013"]["Value"] for row in of_series] == [[1], [2]]
    assert len(client.search_for_instances(study)) == 4
    assert [row["00080018"]["Value"] for row in everywhere] == [[instance]]


def test_objects_come_whole_and_one_by_one(client: DICOMwebClient, images: list[Dataset]) -> None:
    study, series, instance = uids(images[0])
    by_uid = {each.SOPInstanceUID: each for each in images}
    of_study = client.retrieve_study(study)
    of_series = client.retrieve_series(study, series)

    assert sorted(each.SOPInstanceUID for each in of_study) == sorted(by_uid)
    assert len(of_series) == 2
    assert all(same(each, by_uid[each.SOPInstanceUID]) for each in of_study)
    assert [same(*pair) for pair in zip(client.iter_study(study), of_study, strict=True)] == [
        True
    ] * 4
    streamed = client.iter_series(study, series)
    assert [same(*pair) for pair in zip(streamed, of_series, strict=True)] == [True] * 2
    assert same(client.retrieve_instance(study, series, instance), by_uid[instance])


def test_compressed_object_comes_uncompressed_where_nothing_else_is_asked_for(
    client: DICOMwebClient, stored: dict[str, Dataset]
) -> None:
    sent = stored[RLE]
    (of_study,) = client.retrieve_study(sent.StudyInstanceUID)
    (of_series,) = client.retrieve_series(sent.StudyInstanceUID, sent.SeriesInstanceUID)
    one = client.retrieve_instance(*uids(sent))  # for which the client asks as stored
    kept = client.retrieve_instance(*uids(sent), media_types=(("application/dicom", RLELossless),))

    assert sent.file_meta.TransferSyntaxUID == RLELossless
    for each in (of_study, of_series):
        assert each.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert np.array_equal(each.pixel_array, sent.pixel_array)
    assert same(one, sent)
    assert same(kept, sent)


def test_frames_come_whole_and_one_by_one(
    client: DICOMwebClient, stored: dict[str, Dataset]
) -> None:
    sent = stored[RLE]
    frames = client.retrieve_instance_frames(*uids(sent), frame_numbers=[2, 1])
    streamed = list(client.iter_instance_frames(*uids(sent), frame_numbers=[2, 1]))

    assert len(frames) == 2
    assert streamed == frames


def test_metadata_come_at_every_level(client: DICOMwebClient, images: list[Dataset]) -> None:
    study, series, instance = uids(images[0])

    assert len(client.retrieve_study_metadata(study)) == 4
    assert len(client.retrieve_series_metadata(study, series)) == 2
    metadata = client.retrieve_instance_metadata(study, series, instance)
    assert (
        Dataset.from_json(metadata, bulk_data_uri_handler=lambda _: b"").SOPInstanceUID == instance
    )


def test_bulk_data_come_whole_in_parts_and_by_range(
    client: DICOMwebClient, images: list[Dataset]
) -> None:
    metadata = client.retrieve_instance_metadata(*uids(images[0]))
    uri = metadata["7FE00010"]["BulkDataURI"]
    whole = images[0].PixelData

    assert client.retrieve_bulkdata(uri) == [whole]
    assert list(client.iter_bulkdata(uri)) == [whole]
    assert b"".join(client.retrieve_bulkdata(uri, byte_range=(10, 29))) == whole[10:30]


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif"])
def test_instance_is_rendered_in_every_image_format(
    client: DICOMwebClient, images: list[Dataset], media_type: str
) -> None:
    data = client.retrieve_instance_rendered(*uids(images[0]), media_types=(media_type,))
    shown = pixels(data).astype(int)

    assert Image.MIME[Image.open(io.BytesIO(data)).format or ""] == media_type
    assert shown.shape[:2] == (SIDE, SIDE)
    grey = shown if shown.ndim == 2 else shown[..., 0]
    assert np.abs(grey.ravel() - GRADIENT / 4_000 * 255).max() < 12


def test_rendering_takes_parameters(client: DICOMwebClient, images: list[Dataset]) -> None:
    small = client.retrieve_instance_rendered(
        *uids(images[0]), media_types=("image/png",),
        params={"viewport": "8,8", "window": "100,10,linear"},
    )  # fmt: skip
    poor = client.retrieve_instance_rendered(*uids(images[0]), params={"quality": "1"})
    good = client.retrieve_instance_rendered(*uids(images[0]), params={"quality": "100"})

    assert pixels(small).shape[:2] == (8, 8)
    assert pixels(small).reshape(64, -1)[-1, 0] == 255  # far above the window
    assert len(poor) < len(good)


def test_series_and_frames_are_rendered(
    client: DICOMwebClient, images: list[Dataset], stored: dict[str, Dataset]
) -> None:
    study, series, _ = uids(images[0])
    of_series = client.retrieve_series_rendered(study, series, media_types=("image/jpeg",))
    sent = stored[RLE]
    of_frame = client.retrieve_instance_frames_rendered(
        *uids(sent), frame_numbers=[2], media_types=("image/png",)
    )

    assert of_series
    assert np.array_equal(pixels(of_frame), sent.pixel_array[1])


@pytest.mark.parametrize("name", [name for name in FILES if name in ENCAPSULATED])
def test_every_compressed_file_is_rendered(
    client: DICOMwebClient, stored: dict[str, Dataset], name: str
) -> None:
    sent = stored[name]
    shown = pixels(client.retrieve_instance_rendered(*uids(sent)))

    assert shown.shape[:2] == (sent.Rows, sent.Columns)
    assert shown.std() > 1


def test_documents_are_rendered(client: DICOMwebClient) -> None:
    report = read(
        make_instance(
            SOPClassUID=BasicTextSRStorage, Modality="SR", PixelData=None, Rows=None, Columns=None,
            ValueType="CONTAINER", ContinuityOfContent="SEPARATE",
            ConceptNameCodeSequence=[
                {"CodeValue": "18748-4", "CodingSchemeDesignator": "LN", "CodeMeaning": "Report"}
            ],
            ContentSequence=[
                {
                    "RelationshipType": "CONTAINS", "ValueType": "TEXT", "TextValue": SAID,
                    "ConceptNameCodeSequence": [
                        {
                            "CodeValue": "121071", "CodingSchemeDesignator": "DCM",
                            "CodeMeaning": "Finding",
                        }
                    ],
                }
            ],
        )
    )  # fmt: skip
    paper = read(
        make_instance(
            SOPClassUID=EncapsulatedPDFStorage, Modality="DOC", PixelData=None, Rows=None,
            Columns=None, EncapsulatedDocument=PDF, MIMETypeOfEncapsulatedDocument="application/pdf",
        )
    )  # fmt: skip
    client.store_instances([report, paper])

    assert SAID in str(client.retrieve_instance_rendered(*uids(report), media_types=("text/html",)))
    of_paper = client.retrieve_instance_rendered(*uids(paper), media_types=("application/pdf",))
    assert of_paper.startswith(PDF.rstrip(b"\n"))


def test_store_within_a_study_refuses_others(client: DICOMwebClient) -> None:
    """Both in one request: the one is stored, the other told apart."""
    right, wrong = read(make_instance()), read(make_instance())
    answer = client.store_instances([right, wrong], study_instance_uid=right.StudyInstanceUID)

    assert [i.ReferencedSOPInstanceUID for i in answer.ReferencedSOPSequence] == [
        right.SOPInstanceUID
    ]
    assert [i.ReferencedSOPInstanceUID for i in answer.FailedSOPSequence] == [wrong.SOPInstanceUID]
    assert (
        client.search_for_studies(search_filters={"StudyInstanceUID": wrong.StudyInstanceUID}) == []
    )


def test_large_store_goes_out_in_chunks(server: Server) -> None:
    client = DICOMwebClient(url=server.base)
    client.set_chunk_size(4_096)
    large = read(make_instance(Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2)))
    client.store_instances([large])

    assert same(client.retrieve_instance(*uids(large)), large)


def test_error_is_raised_at_once_where_retrying_is_off(server: Server) -> None:
    client = DICOMwebClient(url=server.base)
    client.set_http_retry_params(retry=False)

    with pytest.raises(HTTPError) as raised:
        client.retrieve_instance(generate_uid(), generate_uid(), generate_uid())

    assert status_of(raised) == HTTPStatus.NOT_FOUND


def test_keywords_and_tags_are_those_of_the_server(
    client: DICOMwebClient, images: list[Dataset]
) -> None:
    tag = client.lookup_tag("StudyInstanceUID")
    (found,) = client.search_for_studies(search_filters={tag: images[0].StudyInstanceUID})

    assert client.lookup_keyword(tag) == "StudyInstanceUID"
    assert found[tag]["Value"] == [images[0].StudyInstanceUID]


@pytest.fixture
def doomed(client: DICOMwebClient) -> Iterator[list[Dataset]]:
    """A study of three series with one image each."""
    study = generate_uid()
    made = [read(make_instance(StudyInstanceUID=study)) for _ in range(3)]
    client.store_instances(made)
    yield made
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []


def test_deleted_is_gone_at_every_level(client: DICOMwebClient, doomed: list[Dataset]) -> None:
    study, series, _ = uids(doomed[1])

    client.delete_instance(*uids(doomed[0]))
    assert len(client.search_for_instances(study)) == 2
    _expect_gone(client, doomed[0])
    client.delete_series(study, series)
    assert len(client.search_for_series(study)) == 1
    _expect_gone(client, doomed[1])
    client.delete_study(study)
    _expect_gone(client, doomed[2])


def _expect_gone(client: DICOMwebClient, instance: Dataset) -> None:
    with pytest.raises(HTTPError) as raised:
        client.retrieve_instance(*uids(instance))
    assert status_of(raised) == HTTPStatus.GONE
