"""Reads objects back: whole instances, metadata, frames and bulk data.

Strategy: what a study or series holds comes from one search in pages, and the first page brings with it
everything that an answer's head needs to say: how many instances there are, in which transfer syntaxes, and
a clock that has moved whenever anything of it changed. The clock is made of the sequence numbers that
Elasticsearch gives to each write of a document, so it costs no request of its own and belongs to exactly the
instances that are sent.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from app.dicom.instance import ByteRange
from app.dicom.part10 import inflate
from app.errors import NotFound
from app.index.documents import read_bulk, read_metadata
from app.limits import Limits
from app.services.located import (
    DOCUMENT_FIELDS,
    LOCATION_FIELDS,
    VALUE_FIELDS,
    Found,
    Located,
    Values,
    all_frames_in,
    bulk_value_in,
    bulk_values_in,
    frames_in,
    located_in,
    with_document,
)
from app.services.read_ahead import read_ahead
from app.services.snapshot import INSTANCES
from app.services.tombstones import Target, Tombstones
from app.stores.blob_store import BlobStore
from app.stores.elasticsearch import ElasticsearchIndex

__all__ = ["Found", "Located", "Retrieve", "Target", "Values"]

T = TypeVar("T")

METADATA_PAGE = 250  # documents of one search; each holds the metadata of an instance
LOCATION_PAGE = 2_000  # these are small
WHOLE_BYTES = 1024 * 1024  # a value up to this size is read in one piece, a larger one in chunks
MOST_SYNTAXES = 100  # of one study; more are no more than counted
SUMMARY = {
    "moved": {"sum": {"field": "_seq_no"}},
    "newest": {"max": {"field": "_seq_no"}},
    "syntaxes": {"terms": {"field": "transfer_syntax_uid", "size": MOST_SYNTAXES}},
}


class Retrieve:
    """The verb behind WADO-RS."""

    def __init__(
        self,
        index: ElasticsearchIndex,
        blobs: BlobStore,
        limits: Limits,
        threads: Executor,
        tombstones: Tombstones,
    ) -> None:
        """Inflate deflated objects in `threads`; ask `tombstones` where nothing is found."""
        self._index = index
        self._blobs = blobs
        self._limits = limits
        self._threads = threads
        self._tombstones = tombstones

    async def instances(self, target: Target) -> Found[Located]:
        """Return where the instances of the target are. Raises NotFound, IndexUnavailable."""
        return await self._found(target, LOCATION_FIELDS, LOCATION_PAGE, located_in)

    async def metadata(self, target: Target) -> Found[bytes]:
        """Return the DICOM JSON object of each instance (PS3.18 §10.4.1.1.2). Raises NotFound."""
        return await self._found(target, ("metadata",), METADATA_PAGE, read_metadata)

    async def bulk_values(self, target: Target) -> Found[Sequence[tuple[str, Values]]]:
        """Return the bulk values of each instance by their paths (PS3.18 §10.4.1.1.5). Raises NotFound."""
        return await self._found(target, VALUE_FIELDS, METADATA_PAGE, bulk_values_in)

    async def pixel_data(self, target: Target) -> Found[Values | None]:
        """Return all frames of each instance, of one without frames None. Raises NotFound."""
        return await self._found(target, VALUE_FIELDS, METADATA_PAGE, all_frames_in)

    async def documents(self, target: Target) -> Found[tuple[Located, Mapping[str, Any]]]:
        """Return each instance with what its index document says of it. Raises NotFound."""
        return await self._found(target, DOCUMENT_FIELDS, METADATA_PAGE, with_document)

    async def clock(self, target: Target) -> str:
        """Return what `Found.clock` is now, without fetching anything. Raises NotFound."""
        if target.sop_instance_uid is not None:
            return (await self.instance(target, ("version",)))[0].version
        body = {**_query(target), "size": 0, "aggs": SUMMARY, "track_total_hits": True}
        return _clock(await self._some(target, body))

    async def read_whole(self, instances: Sequence[Located]) -> list[bytes | None]:
        """Return instances as received, None for one whose object is missing. Raises BlobsUnavailable."""
        return await self._blobs.read_whole([located.blob_key for located in instances])

    async def bytes_of(self, located: Located) -> bytes:
        """Return a whole instance as received. Raises NotFound, BlobsUnavailable."""
        (data,) = await self._blobs.read(located.blob_key, [ByteRange(0, located.size)])
        return data

    def stream(self, located: Located) -> AsyncIterator[bytes]:
        """Yield an instance as received, in chunks."""
        return self._blobs.stream(located.blob_key)

    async def instance(
        self, target: Target, fields: Sequence[str] = ()
    ) -> tuple[Located, Mapping[str, Any]]:
        """Return one instance and its index document: of that `fields`, or everything. Raises NotFound."""
        uid = target.sop_instance_uid or ""
        wanted = [*LOCATION_FIELDS, *fields] if fields else None
        source = (await self._index.get_many(INSTANCES, [uid], fields=wanted)).get(uid)
        if source is None or not _is_within(source, target):
            raise await self._tombstones.absence(target)
        return located_in(source), source

    async def frames(self, target: Target, numbers: Sequence[int] | None = None) -> Values:
        """Return frames by their numbers, which count from 1, or all of them. Raises NotFound."""
        located, source = await self.instance(target, VALUE_FIELDS)
        return frames_in(located, source, numbers)

    async def bulk(self, target: Target, path: str) -> Values:
        """Return a bulk value; of encapsulated pixel data, the frames. Raises NotFound."""
        located, source = await self.instance(target, VALUE_FIELDS)
        place = read_bulk(source).get(path)
        if place is None:
            raise NotFound("The instance has no such bulk value.")
        return bulk_value_in(located, source, path, place)

    async def contents(self, values: Values) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the bytes of each value, in chunks. Raises NotFound, BlobsUnavailable."""
        inflated = await self._inflated(values.located) if values.deflated else None
        for stretches in values.stretches:
            if inflated is not None:
                yield _chunks(_cut(inflated, stretches))
            elif sum(part.length for part in stretches) <= WHOLE_BYTES:
                yield _chunks(await self._blobs.read(values.located.blob_key, stretches))
            else:
                yield self._streams(values.located, stretches)

    async def read_values(self, values: Values) -> list[bytes]:
        """Return the bytes of small values, all read at once. Raises NotFound, BlobsUnavailable."""
        if values.deflated:
            inflated = await self._inflated(values.located)
            return [b"".join(_cut(inflated, stretches)) for stretches in values.stretches]
        ranges = [part for stretches in values.stretches for part in stretches]
        found = iter(await self._blobs.read(values.located.blob_key, ranges))
        return [b"".join(next(found) for _ in stretches) for stretches in values.stretches]

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

    async def _found(
        self,
        target: Target,
        fields: Sequence[str],
        page: int,
        make: Callable[[Mapping[str, Any]], T],
    ) -> Found[T]:
        if target.sop_instance_uid is not None:
            located, source = await self.instance(target, fields)
            alone = _pages_of_one(make(source))
            return Found(located.version, frozenset([located.transfer_syntax_uid]), alone)
        body = {**_query(target), "size": page, "sort": [{"order": "asc"}], "_source": list(fields)}
        summary = {"aggs": SUMMARY, "track_total_hits": True}
        answer = await self._some(target, {**body, **summary})
        syntaxes = answer["aggregations"]["syntaxes"]["buckets"]
        return Found(
            _clock(answer),
            frozenset(bucket["key"] for bucket in syntaxes),
            read_ahead(self._pages({**body, "track_total_hits": False}, answer, make)),
        )

    async def _some(self, target: Target, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a search that has to find something. Raises NotFound."""
        answer = await self._index.search(INSTANCES, body)
        if not answer["hits"]["total"]["value"]:
            raise await self._tombstones.absence(target)
        return answer

    async def _pages(
        self,
        body: dict[str, Any],
        answer: Mapping[str, Any],
        make: Callable[[Mapping[str, Any]], T],
    ) -> AsyncGenerator[Sequence[T], None]:
        while hits := answer["hits"]["hits"]:
            yield [make(hit["_source"]) for hit in hits]
            if len(hits) < body["size"]:
                return
            body["search_after"] = hits[-1]["sort"]
            answer = await self._index.search(INSTANCES, body)


async def _pages_of_one(item: T) -> AsyncGenerator[Sequence[T], None]:
    yield [item]


def _query(target: Target) -> dict[str, Any]:
    terms = [{"term": {"study_instance_uid": target.study_instance_uid}}]
    if target.series_instance_uid is not None:
        terms.append({"term": {"series_instance_uid": target.series_instance_uid}})
    return {"query": {"bool": {"filter": terms}}}


def _clock(answer: Mapping[str, Any]) -> str:
    """Return the clock of what was found."""
    count = answer["hits"]["total"]["value"]
    moved, newest = (int(answer["aggregations"][name]["value"]) for name in ("moved", "newest"))
    return f"{count:x}-{moved:x}-{newest:x}"


async def _chunks(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _cut(data: memoryview, stretches: Sequence[ByteRange]) -> list[bytes]:
    return [bytes(data[part.offset : part.offset + part.length]) for part in stretches]


def _is_within(source: Mapping[str, Any], target: Target) -> bool:
    return source[
        "study_instance_uid"
    ] == target.study_instance_uid and target.series_instance_uid in (
        None,
        source["series_instance_uid"],
    )
