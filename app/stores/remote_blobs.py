"""Objects in an object store: durable when the store acknowledged them."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import obstore
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import ObjectStore

from app.dicom.instance import ByteRange
from app.errors import NotFound
from app.stores.blob_store import Upload, unavailable

CHUNK_BYTES = 4 * 1024 * 1024  # one request each
UPLOADS_AT_ONCE = 8
READS_AT_ONCE = 8
PARTS_AT_ONCE = 3  # of one upload; a part is 5 MiB of memory


class RemoteBlobs:
    """Objects in S3, Azure Blob Storage or Google Cloud Storage."""

    def __init__(self, store: ObjectStore) -> None:
        """Use an object store as obstore knows it."""
        self._store = store
        self._spool = Path(tempfile.mkdtemp(prefix="coregister-spool-"))
        self._slots = asyncio.Semaphore(UPLOADS_AT_ONCE)

    @property
    def spool_folder(self) -> Path:
        """Return a folder on the local disk."""
        return self._spool

    async def put(self, uploads: Sequence[Upload]) -> None:
        """Upload all files; each is there once the store acknowledged it.

        The first that fails ends the others: nothing may come into the store after the answer.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for upload in uploads:
                    group.create_task(self._upload(upload))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _upload(self, upload: Upload) -> None:
        async with self._slots:
            try:
                await obstore.put_async(
                    self._store, upload.key, upload.path, max_concurrency=PARTS_AT_ONCE
                )
            except (ObstoreError, OSError) as exc:
                raise unavailable(exc) from exc
        upload.path.unlink(missing_ok=True)

    async def read(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return the bytes of each range, near ones fetched together."""
        try:
            found = await obstore.get_ranges_async(
                self._store,
                key,
                starts=[part.offset for part in ranges],
                lengths=[part.length for part in ranges],
            )
        except FileNotFoundError as exc:
            raise await self._not_found() from exc
        except (ObstoreError, OSError) as exc:
            raise unavailable(exc) from exc
        return [bytes(part) for part in found]

    async def read_whole(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return whole objects, None for one that is not there: several at once."""
        slots = asyncio.Semaphore(READS_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._read_object(key, slots)) for key in keys]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [task.result() for task in tasks]

    async def _read_object(self, key: str, slots: asyncio.Semaphore) -> bytes | None:
        async with slots:
            try:
                answer = await obstore.get_async(self._store, key)
                return bytes(await answer.bytes_async())
            except FileNotFoundError:
                await self._not_found()
                return None
            except (ObstoreError, OSError) as exc:
                raise unavailable(exc) from exc

    async def stream(self, key: str, part: ByteRange | None = None) -> AsyncIterator[bytes]:
        """Yield the object, or a stretch of it, in chunks.

        Each chunk is a request of its own, so that a client may take as long as it wants.
        """
        offset, end = (part.offset, part.offset + part.length) if part else (0, None)
        while end is None or offset < end:
            stop = offset + CHUNK_BYTES
            try:
                answer = await obstore.get_async(
                    self._store,
                    key,
                    options={"range": (offset, stop if end is None else min(stop, end))},
                )
                chunk = bytes(await answer.bytes_async())
            except FileNotFoundError as exc:
                raise await self._not_found() from exc
            except (ObstoreError, OSError) as exc:
                raise unavailable(exc) from exc
            yield chunk
            offset += len(chunk)
            end = answer.meta["size"] if end is None else min(end, answer.meta["size"])

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue
            except (ObstoreError, OSError) as exc:
                raise unavailable(exc) from exc

    async def free_bytes(self) -> int | None:
        """Return the room left in the local spool."""
        return shutil.disk_usage(self._spool).free

    async def ping(self) -> None:
        """List nothing: unlike asking for an object, that also fails where the bucket is missing."""
        try:
            await obstore.list(self._store, prefix=".ping").collect_async()
        except (ObstoreError, OSError) as exc:
            raise unavailable(exc) from exc

    async def _not_found(self) -> NotFound:
        """Return what to raise; where the bucket is missing, that is no word on the object."""
        await self.ping()
        return NotFound("The object is not in the blob store.")

    async def close(self) -> None:
        """Remove the spool folder."""
        shutil.rmtree(self._spool, ignore_errors=True)
