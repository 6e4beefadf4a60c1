"""An object as stored, and where its pixel data are."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import orjson

from app.dicom.file_meta import read_file_meta
from app.dicom.instance import ByteRange, PixelLayout
from app.dicom.part10 import inflate
from app.dicom.pixel_value import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA
from app.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    is_encapsulated,
    transfer_syntax,
)
from app.index.documents import read_bulk, read_metadata, read_pixels
from app.limits import Limits
from app.services.retrieve import Located
from app.stores.blob_store import BlobStore

_DELIMITER_BYTES = 8  # after the last fragment
_PIXEL_TAGS = (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA)


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """Where pixel data are in an object."""

    tag: int
    vr: str
    value: ByteRange
    end: int  # of the element
    layout: PixelLayout | None


class Original:
    """Reads stretches of one object; of a deflated one, of what it is when inflated."""

    def __init__(
        self, located: Located, source: Mapping[str, Any], blobs: BlobStore, inflated: bytes | None
    ) -> None:
        """Read from `blobs`, or from `inflated`, which is the whole object with its File Meta Information."""
        self.located = located
        self.attributes: Mapping[str, Any] = orjson.loads(read_metadata(source))
        self.syntax = located.transfer_syntax_uid
        if inflated is not None and transfer_syntax(self.syntax).deflated:
            self.syntax = EXPLICIT_VR_LITTLE_ENDIAN  # as it is read
        self.size = located.size if inflated is None else len(inflated)
        self._blobs = blobs
        self._inflated = inflated
        # places in the document count from where the inflated data set begins
        shift = 0 if inflated is None else read_file_meta(inflated).data_set_at
        self.pixels = _pixel_place(self.attributes, source, shift, self.syntax)

    async def read(self, part: ByteRange) -> bytes:
        """Return a stretch. Raises NotFound, BlobsUnavailable."""
        if self._inflated is not None:
            return self._inflated[part.offset : part.offset + part.length]
        (data,) = await self._blobs.read(self.located.blob_key, [part])
        return data

    async def joined(self, parts: Sequence[ByteRange]) -> bytes:
        """Return stretches in one piece. Raises NotFound, BlobsUnavailable."""
        if self._inflated is not None:
            return b"".join([await self.read(part) for part in parts])
        return b"".join(await self._blobs.read(self.located.blob_key, parts))

    async def stream(self, part: ByteRange) -> AsyncGenerator[bytes, None]:
        """Yield a stretch in chunks. Raises NotFound, BlobsUnavailable."""
        if self._inflated is not None:
            yield await self.read(part)
            return
        async for chunk in self._blobs.stream(self.located.blob_key, part):
            yield chunk


async def open_original(
    located: Located,
    source: Mapping[str, Any],
    blobs: BlobStore,
    threads: Executor,
    limits: Limits,
) -> Original:
    """Return an object to be read, given its index document. Raises NotFound, BlobsUnavailable."""
    inflated = None
    if source["deflated"]:
        (data,) = await blobs.read(located.blob_key, [ByteRange(0, located.size)])
        loop = asyncio.get_running_loop()
        inflated = await loop.run_in_executor(threads, _inflated, data, limits)
    return Original(located, source, blobs, inflated)


def _inflated(data: bytes, limits: Limits) -> bytes:
    return data[: read_file_meta(data).data_set_at] + inflate(data, limits)


def _pixel_place(
    attributes: Mapping[str, Any], source: Mapping[str, Any], shift: int, syntax: str
) -> PixelPlace | None:
    bulk = read_bulk(source)
    tag = next((tag for tag in _PIXEL_TAGS if tag in bulk), None)
    if tag is None:
        return None
    value = _shifted(bulk[tag], shift)
    layout = read_pixels(source)
    if layout is not None and shift:
        frames = tuple(tuple(_shifted(p, shift) for p in frame) for frame in layout.frames)
        layout = PixelLayout(layout.encapsulated, frames)
    encapsulated = layout.encapsulated if layout else is_encapsulated(syntax)
    end = value.offset + value.length + (_DELIMITER_BYTES if encapsulated else 0)
    return PixelPlace(int(tag, 16), attributes[tag]["vr"], value, end, layout)


def _shifted(part: ByteRange, shift: int) -> ByteRange:
    return ByteRange(part.offset + shift, part.length)


def vr_at(attributes: Mapping[str, Any], path: str) -> str:
    """Return the VR of an attribute by its path, such as `00400275.1.00080100`."""
    *way, last = path.split(".")
    for sequence, number in zip(way[::2], way[1::2], strict=True):
        attributes = attributes[sequence]["Value"][int(number) - 1]
    vr: str = attributes[last]["vr"]
    return vr
