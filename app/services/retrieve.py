"""Reads objects back: whole instances, metadata, frames and bulk data.

Strategy: what a study or series holds comes from one search in pages, and the first page brings with it
everything that an answer's head needs to say: how many instances there are, in which transfer syntaxes, and
a clock that has moved whenever anything of it changed. The clock is made of the sequence numbers that
Elasticsearch gives to each write of a document, so it costs no request of its own and belongs to exactly the
instances that are sent.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

import orjson

from app.dicom.correction import restored
from app.dicom.instance import ByteRange, Stretch
from app.dicom.object_changes import ObjectChanges
from app.dicom.pixel_value import PIXEL_DATA
from app.errors import NotFound
from app.index.documents import read_bulk, read_correction, read_metadata, read_pixels
from app.limits import Limits
from app.services.contents import WHOLE_BYTES, Contents
from app.services.corrected import CorrectedObjects, PixelPlace
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

__all__ = ["WHOLE_BYTES", "Found", "Located", "Retrieve", "Target", "Values"]

T = TypeVar("T")

METADATA_PAGE = 250  # documents of one search; each holds the metadata of an instance
LOCATION_PAGE = 2_000  # these are small
DELIMITER_BYTES = 8  # after the last fragment
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
        self._tombstones = tombstones
        self._contents = Contents(blobs, threads, limits)
        self._corrected = CorrectedObjects(blobs, threads, limits)

    async def instances(self, target: Target) -> Found[Located]:
        """Return where the instances of the target are. Raises NotFound, IndexUnavailable."""
        return await self._found(target, LOCATION_FIELDS, LOCATION_PAGE, located_in)

    async def metadata(self, target: Target) -> Found[bytes]:
        """Return the DICOM JSON object of each instance (PS3.18 §10.4.1.1.2). Raises NotFound."""
        return await self._found(target, ("metadata",), METADATA_PAGE, read_metadata)

    async def metadata_as_stored(self, target: Target) -> Found[bytes]:
        """Return the same of the objects as they were received. Raises NotFound."""
        fields = ("metadata", "correction")
        return await self._found(target, fields, METADATA_PAGE, _restored)

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
            return (await self.instance(target, ("version",)))[0].clock
        body = {**_query(target), "size": 0, "aggs": SUMMARY, "track_total_hits": True}
        return _counted_head(await self._some(target, body))[0]

    async def read_whole(self, instances: Sequence[Located]) -> list[bytes | None]:
        """Return instances as received, None for one whose object is missing. Raises BlobsUnavailable."""
        return await self._blobs.read_whole([located.blob_key for located in instances])

    async def corrected(self, located: Located, data: bytes) -> bytes:
        """Return an instance as it is to be shown, given its bytes as received. Raises Unencodable."""
        if located.correction is None:
            return data
        changes = ObjectChanges.of(located.correction)
        return await self._corrected.of_bytes(located, data, changes)

    async def whole(self, located: Located, changes: ObjectChanges | None = None) -> Values:
        """Return an instance as it is to be shown, or with other `changes`, as the only value.

        Raises Unencodable, NotFound, BlobsUnavailable.
        """
        stretches: tuple[Stretch, ...] = (ByteRange(0, located.size),)
        if located.correction is not None:
            changes = changes or ObjectChanges.of(located.correction)
        if changes is not None:

            async def pixels() -> PixelPlace | None:
                return await self._pixel_place(located)

            stretches = await self._corrected.stretches(located, changes, pixels)
        return Values(located, (stretches,), encapsulated=False, deflated=False)

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

    def contents(self, values: Values) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the bytes of each value, in chunks. Raises NotFound, BlobsUnavailable."""
        return self._contents.each(values)

    def stream_values(self, values: Values) -> AsyncIterator[bytes]:
        """Yield the bytes of values one after the other. Raises NotFound, BlobsUnavailable."""
        return self._contents.stream(values)

    async def read_values(self, values: Values) -> list[bytes]:
        """Return the bytes of small values, all read at once. Raises NotFound, BlobsUnavailable."""
        return await self._contents.read(values)

    async def _pixel_place(self, located: Located) -> PixelPlace | None:
        """Return where encapsulated pixel data are."""
        target = Target(located.study_instance_uid, None, located.sop_instance_uid)
        now, source = await self.instance(target, VALUE_FIELDS)
        place, layout = read_bulk(source).get(PIXEL_DATA), read_pixels(source)
        if place is None or layout is None or not layout.encapsulated:
            return None
        if now.blob_key != located.blob_key:  # replaced meanwhile: they have to be walked through
            return None
        return place.offset, place.offset + place.length + DELIMITER_BYTES

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
            return Found(located.clock, frozenset([located.transfer_syntax_uid]), alone)
        body = {
            **_query(target),
            "size": page,
            "sort": [{"order": "asc"}],
            "_source": [*fields, "transfer_syntax_uid"],
        }
        exact = {"track_total_hits": True}
        answer = await self._some(target, {**body, **exact, "seq_no_primary_term": True})
        head = _head_of_all(answer)
        if head is None:  # more than a page, and both have to be of one moment
            answer = await self._some(target, {**body, **exact, "aggs": SUMMARY})
            head = _counted_head(answer)
        pages = read_ahead(self._pages({**body, "track_total_hits": False}, answer, make))
        return Found(*head, pages)

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


Head = tuple[str, frozenset[str]]  # the clock, and the transfer syntaxes


def _counted_head(answer: Mapping[str, Any]) -> Head:
    """Return the head of an answer that was counted with `SUMMARY`."""
    found = answer["aggregations"]
    moved, newest = (int(found[name]["value"]) for name in ("moved", "newest"))
    syntaxes = frozenset(bucket["key"] for bucket in found["syntaxes"]["buckets"])
    return _clock(answer["hits"]["total"]["value"], moved, newest), syntaxes


def _head_of_all(answer: Mapping[str, Any]) -> Head | None:
    """Return the same from the hits, which costs half of a small answer less; None where more match."""
    hits = answer["hits"]["hits"]
    if len(hits) < answer["hits"]["total"]["value"]:
        return None
    writes = [hit["_seq_no"] for hit in hits]
    syntaxes = frozenset(hit["_source"]["transfer_syntax_uid"] for hit in hits)
    return _clock(len(hits), sum(writes), max(writes)), syntaxes


def _clock(count: int, moved: int, newest: int) -> str:
    """Return the clock of so many instances, by the sum and the last of the numbers of their writes."""
    return f"{count:x}-{moved:x}-{newest:x}"


def _restored(source: Mapping[str, Any]) -> bytes:
    metadata, correction = read_metadata(source), read_correction(source)
    if correction is None:
        return metadata
    return orjson.dumps(restored(orjson.loads(metadata), correction))


def _is_within(source: Mapping[str, Any], target: Target) -> bool:
    return source[
        "study_instance_uid"
    ] == target.study_instance_uid and target.series_instance_uid in (
        None,
        source["series_instance_uid"],
    )
