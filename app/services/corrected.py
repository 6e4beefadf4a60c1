"""Gives the bytes of corrected instances: the stored object, and what stands in it instead (PS3.3 §C.12.1.1.9).

Strategy: the object is read from its beginning only as far as something changes, which is a few kilobytes; the
rest is stretches of the object that are streamed like those of any other. A small piece of work is done at
once, a longer one by a thread. A deflated object has to be inflated and deflated again.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar

from app.dicom.corrected_bytes import corrected_bytes
from app.dicom.corrected_object import FIRST_WINDOW, Splice
from app.dicom.element_header import EXPLICIT_LITTLE
from app.dicom.file_meta import read_file_meta
from app.dicom.instance import ByteRange, Inserted, Stretch
from app.dicom.object_changes import ObjectChanges
from app.dicom.part10 import inflate
from app.dicom.transfer_syntax import transfer_syntax
from app.errors import BadInstance, Unencodable
from app.limits import Limits
from app.services.located import Located
from app.stores.blob_store import BlobStore

# where the value of pixel data begins, and where the next element does
PixelPlace = tuple[int, int]

T = TypeVar("T")


class CorrectedObjects:
    """Makes corrected objects of stored ones."""

    def __init__(self, blobs: BlobStore, threads: Executor, limits: Limits) -> None:
        """Read from `blobs`; do what takes longer in `threads`."""
        self._blobs = blobs
        self._threads = threads
        self._limits = limits

    async def of_bytes(self, located: Located, data: bytes, changes: ObjectChanges) -> bytes:
        """Return an object whose bytes are in memory, changed. Raises Unencodable."""
        if transfer_syntax(located.transfer_syntax_uid).deflated:
            return await self._in_thread(_deflated, data, changes, self._limits)
        if len(data) <= self._limits.read_at_once_bytes:
            return _checked(corrected_bytes, data, changes)
        return await self._in_thread(corrected_bytes, data, changes)

    async def stretches(
        self,
        located: Located,
        changes: ObjectChanges,
        pixels: Callable[[], Awaitable[PixelPlace | None]],
    ) -> tuple[Stretch, ...]:
        """Return what a changed object is made of; `pixels` is asked only where all text changes.

        Raises Unencodable, NotFound, BlobsUnavailable.
        """
        if transfer_syntax(located.transfer_syntax_uid).deflated:
            data = await self._read(located, ByteRange(0, located.size))
            return (Inserted(await self.of_bytes(located, data, changes)),)
        splice = Splice(located.size, changes)
        needed = min(FIRST_WINDOW, located.size)
        while needed:
            if needed > self._limits.rewritten_bytes:
                raise Unencodable("The data set is larger than the limit rewritten_bytes.")
            if splice.recodes and splice.pixels is None:
                splice.pixels = await pixels()
            window = await self._read(located, ByteRange(splice.position, needed))
            if needed <= self._limits.read_at_once_bytes:
                needed = _checked(splice.feed, window)
            else:
                needed = await self._in_thread(splice.feed, window)
        return tuple(splice.pieces)

    async def _read(self, located: Located, part: ByteRange) -> bytes:
        (data,) = await self._blobs.read(located.blob_key, [part])
        return data

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _checked, work, *args)


def _checked(work: Callable[..., T], *args: object) -> T:
    try:
        return work(*args)
    except BadInstance as exc:  # which the gate let through
        raise Unencodable("The object cannot be corrected.") from exc


def _deflated(data: bytes, changes: ObjectChanges, limits: Limits) -> bytes:
    """Return a deflated object with its data set changed, padded to an even length (PS3.5 §A.5)."""
    at = read_file_meta(data).data_set_at
    changed = corrected_bytes(bytes(inflate(data, limits)), changes, encoding=EXPLICIT_LITTLE)
    deflator = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflator.compress(changed) + deflator.flush()
    return data[:at] + deflated + b"\0" * (len(deflated) % 2)
