"""A DICOMweb client that others wrote, on files that others made: what went in comes out."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian, generate_uid

from tests.server import Server

pytestmark = [
    pytest.mark.stack,
    # of the client's own code and of pydicom's reading of odd values, not of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:dicomweb_client"),
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),
]

NATIVE = ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "rtdose.dcm"]
ENCAPSULATED = {
    "MR_small_RLE.dcm": "image/dicom-rle",
    "SC_rgb_rle_2frame.dcm": "image/dicom-rle",
    "JPEG2000.dcm": "image/jp2",
    "examples_ybr_color.dcm": "image/jpeg",
}
WITHOUT_PIXELS = ["rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm"]
FILES = [*NATIVE, *ENCAPSULATED, *WITHOUT_PIXELS, "image_dfl.dcm"]


@pytest.fixture(scope="module")
def client(server: Server) -> DICOMwebClient:
    return DICOMwebClient(url=server.base)


@pytest.fixture(scope="module")
def stored(client: DICOMwebClient) -> dict[str, Dataset]:
    """The files, under UIDs of this run, as they were sent."""
    sent = {}
    for name in FILES:
        path = get_testdata_file(name, download=False)
        assert path is not None
        sent[name] = with_own_uids(Path(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = client.store_instances(list(sent.values()))
    assert "FailedSOPSequence" not in answer
    assert len(answer.ReferencedSOPSequence) == len(FILES)
    return sent


def with_own_uids(path: Path) -> Dataset:
    dataset = pydicom.dcmread(path)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientID = f"e2e-{dataset.StudyInstanceUID[-10:]}"
    return dataset


def uids(dataset: Dataset) -> tuple[str, str, str]:
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


def in_little_endian(dataset: Dataset, words: bytes) -> bytes:
    """Return what a value of 16-bit words is outside its file (PS3.18 §8.7.3: big endian is never sent)."""
    if dataset.file_meta.TransferSyntaxUID != ExplicitVRBigEndian:
        return words
    swapped: bytes = np.frombuffer(words, ">u2").astype("<u2").tobytes()
    return swapped


def same(one: Dataset, other: Dataset) -> bool:
    """Tell whether two data sets have the same elements with the same values."""
    return bool(one.to_json_dict() == other.to_json_dict())


@pytest.mark.parametrize("name", FILES)
def test_a_study_is_found_at_all_levels(
    client: DICOMwebClient, stored: dict[str, Dataset], name: str
) -> None:
    dataset = stored[name]
    study, series, instance = uids(dataset)
    (of_study,) = client.search_for_studies(search_filters={"PatientID": dataset.PatientID})
    (of_series,) = client.search_for_series(study)
    (of_instance,) = client.search_for_instances(study, series)

    assert of_study["0020000D"]["Value"] == [study]
    assert of_study["00080061"]["Value"] == [dataset.Modality]
    assert of_series["0020000E"]["Value"] == [series]
    assert of_instance["00080018"]["Value"] == [instance]
    assert client.search_for_studies(search_filters={"StudyInstanceUID": generate_uid()}) == []


@pytest.mark.parametrize("name", FILES)
def test_objects_come_back_as_they_went(
    client: DICOMwebClient, stored: dict[str, Dataset], name: str
) -> None:
    dataset = stored[name]
    study, series, instance = uids(dataset)
    as_stored = (("application/dicom", "*"),)
    (of_study,) = client.retrieve_study(study, media_types=as_stored)
    (of_series,) = client.retrieve_series(study, series, media_types=as_stored)
    of_instance = client.retrieve_instance(study, series, instance, media_types=as_stored)
    for each in (of_study, of_series, of_instance):
        assert each.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
        assert same(each, dataset)


@pytest.mark.parametrize("name", FILES)
def test_metadata_are_the_attributes(
    client: DICOMwebClient, stored: dict[str, Dataset], name: str
) -> None:
    dataset = stored[name]
    study, series, instance = uids(dataset)
    metadata = client.retrieve_instance_metadata(study, series, instance)
    assert client.retrieve_study_metadata(study) == [metadata]
    assert client.retrieve_series_metadata(study, series) == [metadata]

    own = [f"{element.tag:08X}" for element in dataset if element.tag.element]
    assert sorted(metadata) == sorted(own)
    inline = {tag: element for tag, element in metadata.items() if "BulkDataURI" not in element}
    read = Dataset.from_json(inline, bulk_data_uri_handler=lambda _: b"")
    assert len(read) > 0
    for element in read:
        if element.VR not in (
            "DS",
            "SQ",
            "OW",
            "OB",
            "UN",
            "FD",
            "FL",
        ):  # numbers have many spellings
            assert element.value == dataset[element.tag].value, element.tag


@pytest.mark.parametrize("name", NATIVE)
def test_native_frames_are_the_pixels(
    client: DICOMwebClient, stored: dict[str, Dataset], name: str
) -> None:
    dataset = stored[name]
    number = int(dataset.get("NumberOfFrames", 1))
    asked = list(range(number, 0, -1))
    frames = client.retrieve_instance_frames(*uids(dataset), frame_numbers=asked)
    pixels = in_little_endian(dataset, dataset.PixelData)
    size = len(pixels) // number
    expected = [pixels[(n - 1) * size : n * size] for n in asked]
    assert frames == expected


@pytest.mark.parametrize(("name", "media_type"), ENCAPSULATED.items())
def test_encapsulated_frames_are_the_codestreams(
    client: DICOMwebClient, stored: dict[str, Dataset], name: str, media_type: str
) -> None:
    dataset = stored[name]
    number = int(dataset.get("NumberOfFrames", 1))
    asked = [number, 1] if number > 1 else [1]
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    frames = client.retrieve_instance_frames(
        *uids(dataset), frame_numbers=asked, media_types=((media_type, syntax),)
    )
    own = list(generate_frames(dataset.PixelData, number_of_frames=number))
    assert frames == [own[n - 1] for n in asked]


def test_frames_of_a_deflated_file_are_the_pixels(
    client: DICOMwebClient, stored: dict[str, Dataset]
) -> None:
    dataset = stored["image_dfl.dcm"]
    (frame,) = client.retrieve_instance_frames(*uids(dataset), frame_numbers=[1])
    assert np.array_equal(
        np.frombuffer(frame, np.uint8), np.frombuffer(dataset.PixelData, np.uint8)
    )


@pytest.mark.parametrize("name", FILES)
def test_every_bulk_data_uri_leads_to_the_value(
    client: DICOMwebClient, stored: dict[str, Dataset], name: str
) -> None:
    dataset = stored[name]
    metadata = client.retrieve_instance_metadata(*uids(dataset))
    bulk = list(bulk_values(metadata, dataset))
    assert bulk or name in WITHOUT_PIXELS
    for uri, value in bulk:
        fetched = client.retrieve_bulkdata(uri)
        if isinstance(value, bytes) and name not in ENCAPSULATED:
            assert b"".join(fetched) == in_little_endian(dataset, value)
        elif name in ENCAPSULATED:
            number = int(dataset.get("NumberOfFrames", 1))
            assert fetched == list(generate_frames(value, number_of_frames=number))


def bulk_values(
    metadata: dict[str, dict[str, object]], dataset: Dataset
) -> Iterator[tuple[str, bytes]]:
    """Yield each BulkDataURI, nested ones too, with the value that it stands for."""
    for tag, element in metadata.items():
        own = dataset[int(tag, 16)]
        if "BulkDataURI" in element:
            yield str(element["BulkDataURI"]), own.value
        elif element["vr"] == "SQ":
            items = element.get("Value", [])
            assert isinstance(items, list)
            for item, inner in zip(items, own.value, strict=True):
                yield from bulk_values(item, inner)
