"""Every small image of pydicom's files in every transfer syntax, without the servers behind."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pydicom
import pytest
import pytest_asyncio
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from app.dicom.correction import Correction
from app.dicom.instance import ByteRange, StoredInstance
from app.errors import CoregisterError, Unencodable
from app.index.documents import instance_document
from app.limits import Limits
from app.pixels.pool import WorkerPool
from app.services.retrieve import Located, Retrieve, Target
from app.services.transcode import Transcode
from tests.corpus import make_instance
from tests.images import Image, image_of, images

if TYPE_CHECKING:
    from app.stores.blob_store import BlobStore

LIMITS = Limits()
SMALL = [image for image in images(most_bytes=200_000) if image.count <= 30]
WANTED = [
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
]
CHANGED = {  # by what happens to the pixel data
    "00280004", "00280006", "00282110", "00282112", "00282114",
    "7FE00001", "7FE00002", "7FE00003", "7FE00010", "FFFCFFFC",
}  # fmt: skip
NOT_DECODABLE = {"JPEG2000-embedded-sequence-delimiter.dcm"}


class OneObject:
    """Stands for the index and the blob store, with one object in them."""

    def __init__(self, image: Image, folder: Path) -> None:
        stored = StoredInstance(image.record, "key", len(image.data), "", "1", "2024")
        self.document = instance_document(stored, LIMITS)
        self.spool_folder = folder
        self.correction: Correction | None = None
        self._data = image.data

    @property
    def located(self) -> Located:
        names = ("study_instance_uid", "series_instance_uid", "sop_instance_uid",
                 "transfer_syntax_uid", "blob_key", "size", "version")  # fmt: skip
        found = Located(*(self.document[name] for name in names))
        return replace(found, correction=self.correction)

    async def instance(self, _: Target, __: Sequence[str]) -> tuple[Located, dict[str, Any]]:
        return self.located, self.document

    async def read(self, _: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return [self._data[each.offset : each.offset + each.length] for each in ranges]

    async def stream(self, key: str, part: ByteRange) -> AsyncIterator[bytes]:
        (data,) = await self.read(key, [part])
        for start in range(0, len(data), 4099):  # a chunk may end within a word
            yield data[start : start + 4099]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    made = WorkerPool(2, LIMITS)
    yield made
    await made.close()


class Bench:
    """Transcodes one image."""

    def __init__(self, image: Image, pool: WorkerPool, folder: Path, limits: Limits) -> None:
        self.object = OneObject(image, folder)
        self.threads = ThreadPoolExecutor(1)
        self.transcode = Transcode(
            cast("Retrieve", self.object),
            cast("BlobStore", self.object),
            pool,
            self.threads,
            limits,
        )

    async def made(self, syntax: str) -> bytes:
        try:
            transcoded = await self.transcode.instance(self.object.located, syntax)
            data = b"".join([chunk async for chunk in transcoded.chunks()])
            transcoded.close()
        finally:
            self.threads.shutdown()
        assert transcoded.located.size == len(data)
        assert transcoded.located.transfer_syntax_uid == syntax
        return data


async def transcoded(
    image: Image, syntax: str, pool: WorkerPool, folder: Path, limits: Limits = LIMITS
) -> bytes:
    return await Bench(image, pool, folder, limits).made(syntax)


def as_little_endian(image: Image, number: int) -> np.ndarray:
    """Return a frame decoded, with the words of a big-endian object taken where they begin."""
    if image.syntax == ExplicitVRBigEndian and image.description.samples % 2:
        dataset = pydicom.dcmread(BytesIO(image.data))
        words = np.frombuffer(dataset.PixelData, "u2").byteswap().tobytes()
        return np.frombuffer(words, np.uint8, image.description.samples).reshape(
            image.description.shape
        )
    return image.decoded(number).samples


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("image", SMALL, ids=lambda image: image.path.name)
async def test_an_image_is_the_same_in_every_transfer_syntax(
    image: Image, pool: WorkerPool, tmp_path: Path
) -> None:
    """Samples, attributes and identity; what cannot hold the samples refuses them."""
    if image.path.name in NOT_DECODABLE:
        return
    originals = [as_little_endian(image, number) for number in (1, image.count)]
    for syntax in WANTED:
        if syntax == image.syntax:
            continue
        try:
            data = await transcoded(image, syntax, pool, tmp_path)
        except Unencodable:
            assert image.description.bits_allocated in (1, 32, 64)
            assert syntax not in (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
            continue
        made = image_of(data)
        assert made.syntax == syntax
        assert made.count == image.count
        for number, original in zip((1, made.count), originals, strict=True):
            np.testing.assert_array_equal(made.decoded(number).samples, original)
        for tag, attribute in image.record.attributes.items():
            if tag not in CHANGED and "BulkDataURI" not in str(attribute):
                assert made.record.attributes[tag] == attribute
        added = made.record.attributes.keys() - image.record.attributes.keys()
        assert added <= CHANGED
        assert pydicom.dcmread(BytesIO(data)).file_meta.TransferSyntaxUID == syntax


def test_there_are_images() -> None:
    assert len(SMALL) > 60


def named(name: str) -> Image:
    return next(image for image in images() if image.path.name == name)


@pytest.mark.asyncio(loop_scope="module")
async def test_color_of_lossy_jpeg_becomes_rgb_and_is_said_to_be_lossy(
    pool: WorkerPool, tmp_path: Path
) -> None:
    """PS3.3 §C.7.6.1.1.5: once lossy, always lossy."""
    image = named("SC_rgb_dcmtk_+eb+cy+np.dcm")
    assert image.syntax == JPEGBaseline8Bit

    dataset = pydicom.dcmread(
        BytesIO(await transcoded(image, ExplicitVRLittleEndian, pool, tmp_path))
    )

    assert image.description.photometric_interpretation == "YBR_FULL_422"
    assert dataset.PhotometricInterpretation == "RGB"
    assert dataset.PlanarConfiguration == 0
    assert dataset.LossyImageCompression == "01"
    assert dataset["PixelData"].VR == "OB"
    assert len(dataset.PixelData) == 100 * 100 * 3


@pytest.mark.asyncio(loop_scope="module")
async def test_big_endian_words_that_no_frame_ends_with_are_put_in_order(
    pool: WorkerPool, tmp_path: Path
) -> None:
    """27 bytes a frame in words of two."""
    image, other = named("SC_rgb_small_odd_big_endian.dcm"), named("SC_rgb_small_odd.dcm")

    dataset = pydicom.dcmread(
        BytesIO(await transcoded(image, ExplicitVRLittleEndian, pool, tmp_path))
    )
    assert dataset.PixelData == pydicom.dcmread(other.path).PixelData
    bench = Bench(image, pool, tmp_path, LIMITS)
    frames = await bench.transcode.frames(bench.object.located, [1], ExplicitVRLittleEndian)
    assert frames.lengths == (27,)
    assert b"".join([c async for c in frames.spool.chunks()]) == dataset.PixelData[:27]
    frames.spool.close()
    bench.threads.shutdown()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("limits", "syntax"),
    [
        (Limits(transcoded_bytes=511), RLELossless),
        (Limits(rewritten_bytes=100), RLELossless),
        (Limits(rewritten_bytes=100), DeflatedExplicitVRLittleEndian),
        (Limits(frame_bytes=511), JPEGLSLossless),
    ],
)
async def test_limits_hold(pool: WorkerPool, tmp_path: Path, limits: Limits, syntax: str) -> None:
    image = image_of(make_instance())
    assert await transcoded(image, syntax, pool, tmp_path)

    with pytest.raises(CoregisterError, match="limit"):
        await transcoded(image, syntax, pool, tmp_path, limits)


@pytest.mark.asyncio(loop_scope="module")
async def test_frames_that_are_declared_and_missing_refuse_the_image(
    pool: WorkerPool, tmp_path: Path
) -> None:
    image = image_of(make_instance(NumberOfFrames="3", PixelData=bytes(2 * 512)))

    with pytest.raises(CoregisterError, match="shorter"):
        await transcoded(image, RLELossless, pool, tmp_path)
    made = image_of(await transcoded(image, DeflatedExplicitVRLittleEndian, pool, tmp_path))
    assert made.count == image.count == 2


@pytest.mark.asyncio(loop_scope="module")
async def test_several_come_in_order_with_errors_in_their_places(
    pool: WorkerPool, tmp_path: Path
) -> None:
    bench = Bench(image_of(make_instance()), pool, tmp_path, LIMITS)
    located = bench.object.located
    wanted = [(located, str(s)) for s in (RLELossless, "1.2.3", JPEGLSLossless)]

    found = [
        each if isinstance(each, CoregisterError) else each.located.transfer_syntax_uid
        async for each in bench.transcode.instances(wanted)
    ]

    assert found[0] == RLELossless
    assert isinstance(found[1], Unencodable)
    assert found[2] == JPEGLSLossless
    bench.threads.shutdown()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ["Smith^John", "Διονυσία^Άννα"])
@pytest.mark.parametrize("image", SMALL[::6], ids=lambda image: image.path.name)
async def test_what_is_made_is_corrected(
    image: Image, name: str, pool: WorkerPool, tmp_path: Path
) -> None:
    shown = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}
    correction = Correction.of(
        shown, image.record.attributes, patient="Patient/x", at="2026-01-02T03:04:05Z"
    )
    for syntax in (DeflatedExplicitVRLittleEndian, JPEG2000Lossless):
        plain, bench = Bench(image, pool, tmp_path, LIMITS), Bench(image, pool, tmp_path, LIMITS)
        bench.object.correction = correction
        try:
            expected = pydicom.dcmread(BytesIO(await plain.made(syntax)))
        except CoregisterError:
            continue
        made = pydicom.dcmread(BytesIO(await bench.made(syntax)))
        assert made.PatientName == name
        assert len(made.OriginalAttributesSequence) >= 1
        for tag in ("PixelData", "Rows", "SOPInstanceUID"):
            assert made.get(tag) == expected.get(tag)
