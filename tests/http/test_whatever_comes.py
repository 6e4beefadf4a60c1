"""Objects with far more in them than an index should hold are stored, found, and said to be found in part.

Strategy: each is made by pydicom, stored, and then looked for: by its other tags, by the values that are too
many, and by what the answer says of those.
"""

import io
from collections.abc import Iterator

import httpx
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    RawDataStorage,
    RTStructureSetStorage,
    generate_uid,
)

from tests.server import Server, store

pytestmark = pytest.mark.stack

FRAMES = 5_000
CONTOURS, POINTS = 120, 3_000  # more than a million coordinates
OBJECTS, BLOCKS, ELEMENTS = 20, 20, 250  # 100,000 distinct private attributes in all


def data_set(sop_class: str, modality: str) -> Dataset:
    """Return what each of these objects has."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = sop_class, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientID, made.PatientName = "LARGE", "Large^Object"
    made.StudyDate, made.StudyTime, made.Modality = "20240301", "1200", modality
    return made


def part10(made: Dataset) -> bytes:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def contour_data(number: int) -> RawDataElement:
    """Return points as bytes; as objects, pydicom would take long over so many."""
    text = "\\".join(f"{number % 10}.{place:04}" for place in range(3 * POINTS)).encode()
    raw = text + b" " * (len(text) % 2)
    return RawDataElement(Tag(0x30060050), "DS", len(raw), raw, 0, False, True)


def found(client: httpx.Client, made: Dataset, **keys: str) -> httpx.Response:
    """Search for an object among its study's instances."""
    answer = client.get(f"/studies/{made.StudyInstanceUID}/instances", params=keys)
    assert answer.status_code in (200, 204), answer.text
    return answer


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, timeout=120, trust_env=False) as each:
        yield each


@pytest.fixture(scope="module")
def enhanced(http: httpx.Client) -> Dataset:
    """An enhanced multi-frame image whose frames each have functional groups."""
    made = data_set(EnhancedMRImageStorage, "MR")
    made.NumberOfFrames, made.Rows, made.Columns = FRAMES, 1, 2
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.PixelData = bytes(2 * FRAMES)
    made.ImageComments = "five thousand frames"
    groups = []
    for number in range(FRAMES):
        content, position, group = Dataset(), Dataset(), Dataset()
        content.FrameAcquisitionNumber = number + 1
        content.DimensionIndexValues = [1, number + 1]
        content.TemporalPositionIndex = number % 7 + 1
        position.ImagePositionPatient = [0, 0, number]
        group.FrameContentSequence = Sequence([content])
        group.PlanePositionSequence = Sequence([position])
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = Sequence(groups)
    answer = store(http, part10(made))
    assert answer.status_code == 200, answer.text
    assert "52009230" in answer.headers["Warning"]
    return made


CONTENT = "PerFrameFunctionalGroupsSequence.FrameContentSequence"


def test_enhanced_object_is_found_by_its_other_tags(http: httpx.Client, enhanced: Dataset) -> None:
    answer = found(http, enhanced, ImageComments="five*frames", NumberOfFrames=str(FRAMES))

    assert [row["00080018"]["Value"] for row in answer.json()] == [[enhanced.SOPInstanceUID]]
    assert "Warning" not in answer.headers


def test_enhanced_object_is_found_by_one_key_of_its_frames(
    http: httpx.Client, enhanced: Dataset
) -> None:
    key = f"{CONTENT}.TemporalPositionIndex"

    assert found(http, enhanced, **{key: "7"}).status_code == 200
    assert found(http, enhanced, **{key: "8"}).status_code == 204
    assert "Warning" not in found(http, enhanced, **{key: "7"}).headers


def test_items_that_are_not_told_apart_are_warned_of(http: httpx.Client, enhanced: Dataset) -> None:
    one, other = f"{CONTENT}.TemporalPositionIndex", f"{CONTENT}.FrameAcquisitionNumber"
    answer = found(http, enhanced, **{one: "7", other: "-+1"})

    assert answer.status_code == 200  # different frames, though
    assert "52009230.00209111 are not told apart" in answer.headers["Warning"]


def test_structure_set_with_a_million_coordinates_is_found_by_the_rest(http: httpx.Client) -> None:
    made = data_set(RTStructureSetStorage, "RTSTRUCT")
    made.StructureSetLabel, made.ApprovalStatus = "MILLIONS", "UNAPPROVED"
    contours = []
    for number in range(CONTOURS):
        contour = Dataset()
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.NumberOfContourPoints = POINTS
        contour[0x30060050] = contour_data(number)
        contours.append(contour)
    roi = Dataset()
    roi.ReferencedROINumber, roi.ContourSequence = 1, Sequence(contours)
    made.ROIContourSequence = Sequence([roi])

    stored = store(http, part10(made))
    by_label = found(http, made, StructureSetLabel="MILL*", ApprovalStatus="UNAPPROVED")
    by_point = found(http, made, **{"ROIContourSequence.ContourSequence.ContourData": "7.5"})

    assert stored.status_code == 200, stored.text
    assert "30060039.30060040.30060050" in stored.headers["Warning"]
    assert by_label.status_code == 200
    assert "Warning" not in by_label.headers
    assert "30060039.30060040.30060050 is not wholly searched" in by_point.headers["Warning"]


def test_value_of_more_than_32_kilobytes_is_found_by_its_beginning(http: httpx.Client) -> None:
    made = data_set(RawDataStorage, "OT")
    made.add_new(0x00190010, "LO", "LONG VALUES")
    made.add_new(0x00191001, "UT", "begins here " + "ä" * 40_000)
    made.SpecificCharacterSet = "ISO_IR 192"

    stored = store(http, part10(made))
    creator = {"00190010": "LONG VALUES"}
    start = found(http, made, **creator, **{"00191001": "begins*"})
    end = found(http, made, **creator, **{"00191001": "*end"})
    metadata = http.get(
        f"/studies/{made.StudyInstanceUID}/metadata", headers={"Accept": "application/dicom+json"}
    ).json()

    assert stored.status_code == 200, stored.text
    assert "0019'LONG VALUES'01" in stored.headers["Warning"]
    assert start.status_code == 200
    assert end.status_code == 204
    assert "0019'LONG VALUES'01" in end.headers["Warning"]
    assert metadata[0]["00191001"]["Value"][0].endswith("ä" * 30_000)


def test_100_000_distinct_private_tags_do_not_grow_the_mapping(
    http: httpx.Client, server: Server
) -> None:
    before = mapping(server)
    made = [with_private_tags(number) for number in range(OBJECTS)]

    for each in made:
        assert store(http, part10(each)).status_code == 200
    for number in (0, 7, OBJECTS - 1):
        creator = {"00190023": f"MAKER {number} 19"}
        assert found(http, made[number], **creator, **{"001923F9": "E249"}).status_code == 200
        assert found(http, made[number], **creator, **{"001923F9": "E248"}).status_code == 204

    assert mapping(server) == before


def with_private_tags(number: int) -> Dataset:
    made = data_set(RawDataStorage, "OT")
    for block in range(0x10, 0x10 + BLOCKS):
        made.add_new(0x00190000 | block, "LO", f"MAKER {number} {block - 0x10}")
        for element in range(ELEMENTS):
            made.add_new(0x00190000 | block << 8 | element, "LO", f"E{element}")
    return made


def mapping(server: Server) -> bytes:
    url = f"{server.elasticsearch_url}/{server.index_prefix}-instances/_mapping"
    return httpx.get(url, trust_env=False).raise_for_status().content
