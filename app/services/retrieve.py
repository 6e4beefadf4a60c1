"""Reads objects back: whole instances, metadata, frames and bulk data."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from app.dicom.instance import ByteRange
from app.dicom.part10 import inflate
from app.errors import NotFound
from app.index.documents import read_bulk, read_metadata, read_pixels
from app.limits import Limits
from app.services.snapshot import INSTANCES
from app.stores.blob_store import BlobStore
from app.stores.elasticsearch import ElasticsearchIndex

PAGE = 500
PIXEL_DATA = "7FE00010"
WHOLE_BYTES = 1024 * 1024  # a value up to this size is read in one piece, a larger one in chunks
LOCATION_FIELDS = ["transfer_syntax_uid", "blob_key", "size", "sop_class_uid"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: a study, a series of it, or an instance of that."""

    study_instance_uid: str
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """Where the bytes of one instance are."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    blob_key: str
    size: int


@dataclass(frozen=True, slots=True)
class Values:
    """Values of one instance: for each, the stretches of the object that make it up."""

    located: Located
    stretches: tuple[tuple[ByteRange, ...], ...]
    encapsulated: bool
    deflated: bool  # stretches count in the inflated data set

    @property
    def lengths(self) -> tuple[int, ...]:
        """Return the length of each value, in bytes."""
        return tuple(sum(part.length for part in stretches) for stretches in self.stretches)


class Retrieve:
    """The verb behind WADO-RS."""

    def __init__(
        self, index: ElasticsearchIndex, blobs: BlobStore, limits: Limits, threads: Executor
    ) -> None:
        """Inflate deflated objects in `threads`."""
        self._index = index
        self._blobs = blobs
        self._limits = limits
        self._threads = threads

    async def instances(self, target: Target) -> AsyncIterator[Located]:
        """Yield the instances of the target, series by series. Raises IndexUnavailable."""
        async for source in self._sources(target, LOCATION_FIELDS):
            yield _located(source)

    async def metadata(self, target: Target) -> AsyncIterator[bytes]:
        """Yield the DICOM JSON object of each instance (PS3.18 §10.4.1.1.2)."""
        async for source in self._sources(target, ["metadata"]):
            yield read_metadata(source)

    async def bytes_of(self, located: Located) -> bytes:
        """Return a whole instance as received. Raises NotFound, BlobsUnavailable."""
        (data,) = await self._blobs.read(located.blob_key, [ByteRange(0, located.size)])
        return data

    def stream(self, located: Located) -> AsyncIterator[bytes]:
        """Yield an instance as received, in chunks."""
        return self._blobs.stream(located.blob_key)

    async def instance(self, target: Target) -> tuple[Located, Mapping[str, Any]]:
        """Return one instance and its index document. Raises NotFound."""
        uid = target.sop_instance_uid or ""
        source = (await self._index.get_many(INSTANCES, [uid])).get(uid)
        if source is None or not _is_within(source, target):
            raise NotFound("There is no such instance.")
        return _located(source), source

    async def frames(self, target: Target, numbers: Sequence[int] | None = None) -> Values:
        """Return frames by their numbers, which count from 1, or all of them. Raises NotFound."""
        located, source = await self.instance(target)
        layout = read_pixels(source)
        if layout is None:
            raise NotFound("The instance has no frames that can be told apart.")
        count = len(layout.frames)
        if numbers is not None and any(not 1 <= number <= count for number in numbers):
            raise NotFound(f"The instance has the frames 1 to {count}.")
        chosen = range(1, count + 1) if numbers is None else numbers
        return Values(
            located,
            tuple(layout.frames[number - 1] for number in chosen),
            encapsulated=layout.encapsulated,
            deflated=source["deflated"],
        )

    async def bulk(self, target: Target, path: str) -> Values:
        """Return a bulk value; of encapsulated pixel data, the frames. Raises NotFound."""
        located, source = await self.instance(target)
        place = read_bulk(source).get(path)
        if place is None:
            raise NotFound("The instance has no such bulk value.")
        layout = read_pixels(source) if path == PIXEL_DATA else None
        if layout is not None and layout.encapsulated:
            return await self.frames(target)
        return Values(located, ((place,),), encapsulated=False, deflated=source["deflated"])

    async def contents(self, values: Values) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the bytes of each value, in chunks. Raises NotFound, BlobsUnavailable."""
        inflated = await self._inflated(values.located) if values.deflated else None
        for stretches in values.stretches:
            if inflated is not None:
                yield _slices(inflated, stretches)
            elif sum(part.length for part in stretches) <= WHOLE_BYTES:
                yield _chunks(await self._blobs.read(values.located.blob_key, stretches))
            else:
                yield self._streams(values.located, stretches)

    async def _streams(
        self, located: Located, stretches: Sequence[ByteRange]
    ) -> AsyncIterator[bytes]:
        for part in stretches:
            async for chunk in self._blobs.stream(located.blob_key, part):
                yield chunk

    async def _inflated(self, located: Located) -> memoryview:
        data = await self.bytes_of(located)
        loop = asyncio.get_running_loop()
        inflated = await loop.run_in_executor(self._threads, inflate, data, self._limits)
        return memoryview(inflated)

    async def _sources(
        self, target: Target, fields: Sequence[str]
    ) -> AsyncIterator[Mapping[str, Any]]:
        if target.sop_instance_uid is not None:
            yield (await self.instance(target))[1]
            return
        terms = [{"term": {"study_instance_uid": target.study_instance_uid}}]
        if target.series_instance_uid is not None:
            terms.append({"term": {"series_instance_uid": target.series_instance_uid}})
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {"bool": {"filter": terms}},
            "sort": [{"order": "asc"}],
            "_source": [*fields, "study_instance_uid", "series_instance_uid", "sop_instance_uid"],
            "track_total_hits": False,
        }
        while True:
            hits = (await self._index.search(INSTANCES, body))["hits"]["hits"]
            for hit in hits:
                yield hit["_source"]
            if len(hits) < PAGE:
                return
            body["search_after"] = hits[-1]["sort"]


async def _chunks(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _slices(data: memoryview, stretches: Sequence[ByteRange]) -> AsyncIterator[bytes]:
    for part in stretches:
        yield bytes(data[part.offset : part.offset + part.length])


def _located(source: Mapping[str, Any]) -> Located:
    return Located(
        source["study_instance_uid"],
        source["series_instance_uid"],
        source["sop_instance_uid"],
        source["transfer_syntax_uid"],
        source["blob_key"],
        source["size"],
    )


def _is_within(source: Mapping[str, Any], target: Target) -> bool:
    return source[
        "study_instance_uid"
    ] == target.study_instance_uid and target.series_instance_uid in (
        None,
        source["series_instance_uid"],
    )
