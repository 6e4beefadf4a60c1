"""Makes instances and values in another transfer syntax than they are stored in (PS3.18 §8.7.3).

Strategy: the data set around the pixel data is rewritten by one task of a worker process, each frame by
another. Pixel data that stay native are never held: they stream from the store. Frames that are decoded or
encoded are collected in a spool first, so that an answer has begun only when nothing can go wrong with it any
more, and its lengths are known. Instances of an answer are made while those before are sent.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from app.dicom.corrected_bytes import corrected_around
from app.dicom.encapsulation import PixelElement, encapsulated_element, native_element
from app.dicom.instance import ByteRange
from app.dicom.object_changes import ObjectChanges
from app.dicom.pixel_value import PIXEL_DATA
from app.dicom.rewriting import Changes
from app.dicom.transfer_syntax import is_encapsulated, transfer_syntax
from app.dicom.values import unit_bytes
from app.errors import CoregisterError, Undecodable, Unencodable
from app.limits import Limits
from app.pixels.pool import WorkerPool
from app.pixels.transcode import (
    Surroundings,
    pixel_changes,
    pixel_vr,
    rewrite_surroundings,
)
from app.services.in_order import in_order
from app.services.located import DOCUMENT_FIELDS
from app.services.original import Original, open_original, vr_at
from app.services.recode import Recoder, in_little_endian, swap_width_of
from app.services.retrieve import Located, Retrieve, Target
from app.services.spool import Spool
from app.stores.blob_store import BlobStore

Piece = bytes | Spool | Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, slots=True)
class Transcoded:
    """An instance in another transfer syntax: `located` says in which, and how large it is."""

    located: Located
    pieces: Sequence[Piece]

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the Part 10 object. Raises NotFound, BlobsUnavailable."""
        async for chunk in _all(self.pieces):
            yield chunk

    def close(self) -> None:
        """Give back what it holds."""
        _close(self.pieces)


@dataclass(frozen=True, slots=True)
class MadeValues:
    """Frames or another value as they were made, one after the other in a spool."""

    lengths: tuple[int, ...]
    spool: Spool


class Transcode:
    """The verb behind the transfer-syntax parameter."""

    def __init__(
        self,
        retrieve: Retrieve,
        blobs: BlobStore,
        pool: WorkerPool,
        threads: Executor,
        limits: Limits,
    ) -> None:
        """Have the work done in `pool`, and deflated objects inflated in `threads`."""
        self._retrieve = retrieve
        self._blobs = blobs
        self._pool = pool
        self._threads = threads
        self._limits = limits

    async def instances(
        self, wanted: Sequence[tuple[Located, str]]
    ) -> AsyncGenerator[Transcoded | CoregisterError, None]:
        """Yield each instance in the transfer syntax beside it, or why it cannot be had so.

        The next are made while one is used; that is closed when the next is asked for.
        """
        deeds = (self._attempt(*each, patiently=bool(n)) for n, each in enumerate(wanted))
        making = in_order(deeds, at_once=self._pool.workers)
        try:
            async for task in making:
                result = task.result()
                try:
                    yield result
                finally:
                    if isinstance(result, Transcoded):
                        result.close()
        finally:
            await making.aclose()

    async def _attempt(
        self, located: Located, wanted: str, *, patiently: bool
    ) -> Transcoded | CoregisterError:
        try:
            return await self.instance(located, wanted, patiently=patiently)
        except CoregisterError as error:
            return error

    async def instance(
        self, located: Located, wanted: str, *, patiently: bool = False
    ) -> Transcoded:
        """Return an instance in another transfer syntax.

        Raises Undecodable, Unencodable, NotFound, BlobsUnavailable, and Busy unless `patiently`.
        """
        original = await self._original(located)
        pixels = original.pixels
        if pixels is not None and is_encapsulated(wanted) | is_encapsulated(original.syntax):
            return await self._recoded(original, wanted, patiently=patiently)
        around = await self._surroundings(original, wanted, {}, patiently=patiently)
        if pixels is None:
            return await self._put_together(original, wanted, around, None, ())
        width = swap_width_of(original, pixels, self._limits)
        stream = partial(in_little_endian, original, pixels.value, width)
        value = native_element(pixels.tag, pixels.vr, pixels.value.length)
        return await self._put_together(
            original, wanted, around, value, (stream,), pixels.value.length
        )

    async def _recoded(self, original: Original, wanted: str, *, patiently: bool) -> Transcoded:
        """Return an instance whose frames are decoded, encoded or both."""
        recoder = Recoder(original, self._pool, self._limits)
        description = recoder.describe()
        if recoder.count < description.number_of_frames:
            raise Undecodable("The pixel data are shorter than the frames that are declared.")
        numbers = range(1, recoder.count + 1)
        encapsulate = is_encapsulated(wanted)
        with self._spool() as spool:
            frames = await recoder.made(
                numbers, wanted, spool, fragments=encapsulate, patiently=patiently
            )
            if encapsulate:
                value = encapsulated_element(frames.lengths)
            else:
                vr = pixel_vr(description, wanted)
                value = native_element(int(PIXEL_DATA, 16), vr, sum(frames.lengths))
            changes = pixel_changes(
                frames.first,
                original.located.transfer_syntax_uid,
                description,
                original.attributes,
                compressed_bytes=recoder.stored_bytes,
            )
            around = await self._surroundings(
                original, wanted, {**changes, **value.changes}, patiently=True
            )
            return await self._put_together(original, wanted, around, value, (spool,), spool.size)

    async def frames(
        self, located: Located, numbers: Sequence[int] | None, wanted: str
    ) -> MadeValues:
        """Return frames, which count from 1, or all of them, in another transfer syntax.

        Raises Undecodable, Unencodable, NotFound, BlobsUnavailable, Busy.
        """
        original = await self._original(located)
        recoder = Recoder(original, self._pool, self._limits)
        chosen = range(1, recoder.count + 1) if numbers is None else numbers
        with self._spool() as spool:
            if not is_encapsulated(wanted) and not is_encapsulated(original.syntax):
                return MadeValues(await recoder.native(chosen, spool), spool)
            frames = await recoder.made(chosen, wanted, spool, fragments=False, patiently=False)
            return MadeValues(frames.lengths, spool)

    async def bulk(self, located: Located, path: str, place: ByteRange) -> MadeValues:
        """Return a bulk value in little endian. Raises NotFound, BlobsUnavailable."""
        original = await self._original(located)
        if original.pixels is not None and path == PIXEL_DATA:
            width = swap_width_of(original, original.pixels, self._limits)
        else:
            width = unit_bytes(vr_at(original.attributes, path))
        with self._spool() as spool:
            async for chunk in in_little_endian(original, place, width):
                await spool.write(chunk)
            return MadeValues((place.length,), spool)

    @contextmanager
    def _spool(self) -> Iterator[Spool]:
        """Give a spool, which is closed only where the block fails: else it is for who gets it."""
        spool = Spool(self._blobs.spool_folder, self._limits.transcoded_memory_bytes)
        try:
            yield spool
        except BaseException:
            spool.close()
            raise

    async def _original(self, located: Located) -> Original:
        target = Target(
            located.study_instance_uid, located.series_instance_uid, located.sop_instance_uid
        )
        now, source = await self._retrieve.instance(target, DOCUMENT_FIELDS)
        if located.correction is None:  # as its bytes say it
            now = now.as_stored
        return await open_original(now, source, self._blobs, self._threads, self._limits)

    async def _surroundings(
        self, original: Original, wanted: str, changes: Changes, *, patiently: bool
    ) -> Surroundings:
        """Return the data set around the pixel data, or all of it where there are none."""
        pixels, size = original.pixels, original.size
        start, end = (pixels.value.offset, pixels.end) if pixels else (size, size)
        if start + size - end > self._limits.rewritten_bytes:
            raise Unencodable("The data set is larger than the limit rewritten_bytes.")
        before = await original.read(ByteRange(0, start))
        after = await original.read(ByteRange(end, size - end)) if end < size else b""
        run = self._pool.run_patiently if patiently else self._pool.run
        frame_bytes = self._limits.frame_bytes
        around = await run(
            rewrite_surroundings, before, after, original.syntax, wanted, changes, frame_bytes
        )
        correction = original.located.correction
        if correction is None:
            return around
        corrected = partial(corrected_around, around.before, around.after)
        loop = asyncio.get_running_loop()
        before, after = await loop.run_in_executor(
            self._threads, corrected, ObjectChanges.of(correction)
        )
        return Surroundings(around.file_meta, before, after)

    async def _put_together(
        self,
        original: Original,
        wanted: str,
        around: Surroundings,
        value: PixelElement | None,
        pixels: Sequence[Piece],
        pixel_bytes: int = 0,
    ) -> Transcoded:
        before, after = around.before, around.after
        if value is not None:
            before, after = before + value.before, value.after + after
        data_set: Sequence[Piece] = [before, *pixels, after]
        size = len(before) + pixel_bytes + len(after)
        if transfer_syntax(wanted).deflated:
            with self._spool() as spool:
                await _deflate(data_set, spool)
            _close(data_set)
            data_set, size = [spool], spool.size
        located = replace(
            original.located, transfer_syntax_uid=wanted, size=len(around.file_meta) + size
        )
        return Transcoded(located, [around.file_meta, *data_set])


async def _all(pieces: Sequence[Piece]) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        async for chunk in piece.chunks() if isinstance(piece, Spool) else piece():
            yield chunk


def _close(pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        if isinstance(piece, Spool):
            piece.close()


async def _deflate(pieces: Sequence[Piece], spool: Spool) -> None:
    """Write a data set deflated, padded to an even length (PS3.5 §A.5)."""
    deflator = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    async for chunk in _all(pieces):
        await spool.write(await asyncio.to_thread(deflator.compress, chunk))
    await spool.write(deflator.flush())
    await spool.write(b"\0" * (spool.size % 2))
