"""Corrected objects of any size, in any transfer syntax, read from a blob store no further than needed."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from app.dicom.correction import Correction
from app.dicom.instance import ByteRange
from app.dicom.object_changes import ObjectChanges
from app.dicom.part10 import read_instance
from app.errors import Unencodable
from app.limits import Limits
from app.services.contents import Contents
from app.services.corrected import CorrectedObjects, PixelPlace
from app.services.located import Located, Values
from app.web.byte_range import cut
from tests.corpus import fragments, make_instance

if TYPE_CHECKING:
    from app.stores.blob_store import BlobStore

LIMITS = Limits()
SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
]
MEBIBYTE = 2**20
PLAIN, GREEK = "Smith^John", "Διονυσία^Άννα"


class Blobs:
    """One object in memory; it counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.bytes_read = 0

    async def read(self, _: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        self.bytes_read += sum(part.length for part in ranges)
        return [self.data[part.offset : part.offset + part.length] for part in ranges]

    async def stream(self, key: str, part: ByteRange) -> AsyncIterator[bytes]:
        (data,) = await self.read(key, [part])
        for start in range(0, len(data), 65_536):
            yield data[start : start + 65_536]


class Bench:
    """Corrects one object."""

    def __init__(self, data: bytes, name: str, limits: Limits = LIMITS) -> None:
        self.record = read_instance(data, LIMITS)
        self.blobs = Blobs(data)
        shown = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}
        correction = Correction.of(
            shown, self.record.attributes, patient="Patient/x", at="2026-01-02T03:04:05Z"
        )
        assert correction is not None
        self.changes = ObjectChanges.of(correction)
        self.located = Located(
            "1", "2", "3", self.record.transfer_syntax_uid, "key", len(data), "v", correction
        )
        threads = ThreadPoolExecutor(1)
        blobs = cast("BlobStore", self.blobs)
        self.corrected = CorrectedObjects(blobs, threads, limits)
        self.contents = Contents(blobs, threads, limits)
        self.asked = 0

    async def pixels(self) -> PixelPlace | None:
        self.asked += 1
        place = self.record.bulk.get("7FE00010")
        layout = self.record.pixels
        if place is None or layout is None or not layout.encapsulated:
            return None
        return place.offset, place.offset + place.length + 8

    async def values(self) -> Values:
        stretches = await self.corrected.stretches(self.located, self.changes, self.pixels)
        return Values(self.located, (stretches,), encapsulated=False, deflated=False)

    async def streamed(self) -> bytes:
        values = await self.values()
        data = b"".join([chunk async for chunk in self.contents.stream(values)])
        assert values.lengths == (len(data),)
        return data


def image(syntax: str, size: int = 0, **attributes: Any) -> bytes:
    if syntax == JPEGBaseline8Bit:
        pieces = [b"\xff\xd8" + bytes(1998)] * (size // 2000 or 1)
        return make_instance(
            transfer_syntax=syntax, PixelData=fragments(*pieces), **attributes
        )  # fmt: skip
    pixels: dict[str, Any] = {"PixelData": bytes(range(256)) * (size // 256)} if size else {}
    return make_instance(transfer_syntax=syntax, **pixels, **attributes)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", [PLAIN, GREEK])
@pytest.mark.parametrize("size", [0, 3 * MEBIBYTE])
@pytest.mark.parametrize("syntax", SYNTAXES)
async def test_an_object_is_the_same_streamed_and_in_memory(
    syntax: str, size: int, name: str
) -> None:
    data = image(syntax, size)
    bench = Bench(data, name)

    streamed = await bench.streamed()

    assert streamed == await bench.corrected.of_bytes(bench.located, data, bench.changes)
    dataset = pydicom.dcmread(BytesIO(streamed))
    assert dataset.PatientName == name
    assert dataset.PixelData == pydicom.dcmread(BytesIO(data)).PixelData


@pytest.mark.asyncio
@pytest.mark.parametrize("name", [PLAIN, GREEK])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit]
)
async def test_pixel_data_are_not_read_to_correct_what_stands_before_them(
    syntax: str, name: str
) -> None:
    bench = Bench(image(syntax, 8 * MEBIBYTE), name)

    await bench.values()

    assert bench.blobs.bytes_read < 300_000
    assert bench.asked == (name == GREEK and syntax == JPEGBaseline8Bit)


@pytest.mark.asyncio
async def test_a_large_document_before_the_new_elements_is_passed_over() -> None:
    data = make_instance(
        PixelData=None, Rows=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1",
        EncapsulatedDocument=bytes(6 * MEBIBYTE),
    )  # fmt: skip
    bench = Bench(data, PLAIN)

    streamed = await bench.streamed()

    assert pydicom.dcmread(BytesIO(streamed)).EncapsulatedDocument == bytes(6 * MEBIBYTE)
    await Bench(data, GREEK).streamed()
    again = Bench(data, GREEK)
    await again.values()
    assert again.blobs.bytes_read < 300_000


@pytest.mark.asyncio
async def test_a_sequence_longer_than_a_window_is_gone_through_where_all_text_changes() -> None:
    items = [{"ScheduledProcedureStepDescription": "Knie " * 12} for _ in range(3000)]
    data = image(
        ExplicitVRLittleEndian, SpecificCharacterSet="ISO_IR 100", RequestAttributesSequence=items,
        StudyDescription="Schädel".encode("latin-1"),
    )  # fmt: skip
    bench = Bench(data, GREEK)

    dataset = pydicom.dcmread(BytesIO(await bench.streamed()))

    assert len(dataset.RequestAttributesSequence) == 3000
    assert dataset.StudyDescription == "Schädel"


@pytest.mark.asyncio
async def test_what_is_larger_than_the_limit_is_refused_and_not_sent_uncorrected() -> None:
    items = [{"ScheduledProcedureStepDescription": "Knie " * 12} for _ in range(3000)]
    data = image(ExplicitVRLittleEndian, RequestAttributesSequence=items)

    with pytest.raises(Unencodable, match="rewritten_bytes"):
        await Bench(data, GREEK, Limits(rewritten_bytes=70_000)).values()


@pytest.mark.asyncio
@pytest.mark.parametrize("syntax", SYNTAXES)
async def test_every_range_is_of_the_corrected_bytes(syntax: str) -> None:
    bench = Bench(image(syntax, 2 * MEBIBYTE), PLAIN)
    whole, values = await bench.streamed(), await bench.values()
    (stretches,) = values.stretches
    last = len(whole) - 1

    for first, stop in ((0, 1), (100, 700), (0, last), (last, last + 1), (400, 410), (350, last)):
        part = cut(stretches, ByteRange(first, stop - first))
        cut_out = Values(bench.located, (part,), encapsulated=False, deflated=False)
        (data,) = await bench.contents.read(cut_out)
        assert data == whole[first:stop]
