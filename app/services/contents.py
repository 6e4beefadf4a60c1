"""Reads the bytes of values: stretches of an object, and what stands between them in a corrected one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor

from app.dicom.instance import ByteRange, Inserted, Stretch
from app.dicom.part10 import inflate
from app.limits import Limits
from app.services.located import Located, Values
from app.stores.blob_store import BlobStore

WHOLE_BYTES = 1024 * 1024  # a value up to this size is read in one piece, a larger one in chunks


class Contents:
    """Reads from the blob store."""

    def __init__(self, blobs: BlobStore, threads: Executor, limits: Limits) -> None:
        """Inflate deflated objects in `threads`."""
        self._blobs = blobs
        self._threads = threads
        self._limits = limits

    async def stream(self, values: Values) -> AsyncIterator[bytes]:
        """Yield the bytes of values one after the other. Raises NotFound, BlobsUnavailable."""
        async for chunks in self.each(values):
            async for chunk in chunks:
                yield chunk

    async def each(self, values: Values) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the bytes of each value, in chunks. Raises NotFound, BlobsUnavailable."""
        inflated = await self._inflated(values.located) if values.deflated else None
        for stretches in values.stretches:
            if inflated is not None:
                yield _chunks(_cut(inflated, stretches))
            elif sum(part.length for part in stretches) <= WHOLE_BYTES:
                yield _chunks(await self._read(values.located, stretches))
            else:
                yield self._streams(values.located, stretches)

    async def read(self, values: Values) -> list[bytes]:
        """Return the bytes of small values, all read at once. Raises NotFound, BlobsUnavailable."""
        if values.deflated:
            inflated = await self._inflated(values.located)
            return [b"".join(_cut(inflated, stretches)) for stretches in values.stretches]
        ranges = [part for stretches in values.stretches for part in stretches]
        found = iter(await self._read(values.located, ranges))
        return [b"".join(next(found) for _ in stretches) for stretches in values.stretches]

    async def _streams(
        self, located: Located, stretches: Sequence[Stretch]
    ) -> AsyncIterator[bytes]:
        for part in stretches:
            if isinstance(part, Inserted):
                yield part.data
                continue
            async for chunk in self._blobs.stream(located.blob_key, part):
                yield chunk

    async def _read(self, located: Located, stretches: Sequence[Stretch]) -> list[bytes]:
        stored = [part for part in stretches if isinstance(part, ByteRange)]
        found = await self._blobs.read(located.blob_key, stored) if stored else []
        if len(found) == len(stretches):
            return found
        following = iter(found)
        return [each.data if isinstance(each, Inserted) else next(following) for each in stretches]

    async def _inflated(self, located: Located) -> memoryview:
        (data,) = await self._blobs.read(located.blob_key, [ByteRange(0, located.size)])
        loop = asyncio.get_running_loop()
        inflated = await loop.run_in_executor(self._threads, inflate, data, self._limits)
        return memoryview(inflated)


async def _chunks(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _cut(data: memoryview, stretches: Sequence[Stretch]) -> list[bytes]:
    return [
        part.data
        if isinstance(part, Inserted)
        else bytes(data[part.offset : part.offset + part.length])
        for part in stretches
    ]
