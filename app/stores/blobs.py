"""Where objects are kept, byte for byte as received, never changed.

Strategy: an incoming part is spooled to a file beside its final place (or, for a remote store, on the
local disk) while its bytes are counted and hashed. `put` makes spooled files durable under their keys:
on a local disk by fsync and rename, and an fsync of each folder that got a new name; on an object store
by an upload that the store acknowledged. A key is `{study}/{series}/{instance}/{version}.dcm` and is
written once.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import ObjectStore, from_url

from app.dicom.instance import ByteRange
from app.errors import BlobsUnavailable, ConfigurationError, NotFound

CHUNK_BYTES = 256 * 1024
REMOTE_CHUNK_BYTES = 4 * 1024 * 1024  # one request each
RETRY_AFTER_SECONDS = 10
CONNECT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 1.0  # between two tries
UPLOADS_AT_ONCE = 8
PARTS_AT_ONCE = 3  # of one upload; a part is 5 MiB of memory
LEFTOVER_SECONDS = 24 * 3600.0  # no request takes a day
FREE_SECONDS = 1.0  # asking a busy disk for its free space can take milliseconds
FULL = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upload:
    """A spooled file and the key under which it is to be kept."""

    path: Path
    key: str


class BlobStore(Protocol):
    """What the services need of a blob store."""

    @property
    def spool_folder(self) -> Path:
        """Return the local folder for incoming parts."""

    async def put(self, uploads: Sequence[Upload]) -> None:
        """Make all files durable under their keys and take them out of the spool.

        Raises BlobsUnavailable; then some may be there, and none may be relied on.
        """

    async def read(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return the bytes of each range. Raises NotFound, BlobsUnavailable."""

    def stream(self, key: str, part: ByteRange | None = None) -> AsyncIterator[bytes]:
        """Yield the object, or a stretch of it, in chunks. Raises NotFound, BlobsUnavailable."""

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error. Raises BlobsUnavailable."""

    async def free_bytes(self) -> int | None:
        """Return the room left for spooling and storing, in bytes."""

    async def ping(self) -> None:
        """Return if the store can be used now. Raises BlobsUnavailable."""

    async def close(self) -> None:
        """Release threads and connections."""


def open_blob_store(url: str, *, timeout_seconds: float = 30.0) -> BlobStore:
    """Return the store that the setting `COREGISTER_BLOBS` names. Raises ConfigurationError.

    Endpoint and credentials of an object store come from the variables that its own tools read (AWS_…,
    AZURE_…, GOOGLE_…). One call to it takes about `timeout_seconds` at most, tries included.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ConfigurationError("COREGISTER_BLOBS: a file URL has three slashes: file:///path")
        return LocalBlobs(Path(unquote(parts.path)))
    if parts.scheme in ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"):
        return RemoteBlobs(_object_store(url, timeout_seconds))
    raise ConfigurationError(
        f"COREGISTER_BLOBS: unknown kind of store '{parts.scheme}:'; "
        "known are file:///…, s3://…, az://… and gs://…"
    )


def _object_store(url: str, timeout_seconds: float) -> ObjectStore:
    if "@" in urlsplit(url).netloc and not url.startswith("abfs"):  # abfs://container@account
        raise ConfigurationError(
            "COREGISTER_BLOBS: credentials do not belong in the URL; "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or their like."
        )
    whole = timedelta(seconds=timeout_seconds)
    try:
        return from_url(
            url,
            client_options={
                "timeout": whole,
                "connect_timeout": min(whole, timedelta(seconds=CONNECT_SECONDS)),
                # an endpoint is encrypted unless its own URL says http://
                "allow_http": True,
            },
            retry_config={
                "retry_timeout": whole,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=LONGEST_PAUSE_SECONDS),
                    "base": 2,
                },
            },
        )
    except (ObstoreError, ValueError) as exc:
        reason = str(exc).partition("\n")[0]  # what follows are insides of the library
        raise ConfigurationError(f"COREGISTER_BLOBS: {reason}") from exc


class LocalBlobs:
    """Objects as files under one folder of this machine."""

    def __init__(self, root: Path, *, threads: int = 8) -> None:
        """Use (and make) the folder `root`. Raises ConfigurationError if it cannot be written."""
        self._root = root
        self._spool = root / ".spool"
        try:
            self._spool.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigurationError(f"COREGISTER_BLOBS: {root}: {exc.strerror}") from exc
        _remove_older(self._spool, LEFTOVER_SECONDS)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="blobs")
        self._free = 0
        self._free_until = 0.0  # time.monotonic(): until then `_free` is good enough

    @property
    def spool_folder(self) -> Path:
        """Return the local folder for incoming parts: on the same disk, so that a rename suffices."""
        return self._spool

    async def put(self, uploads: Sequence[Upload]) -> None:
        """Make all files durable under their keys and take them out of the spool."""
        await self._run(self._put, list(uploads))

    async def read(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return the bytes of each range."""
        return await self._run(self._read, key, list(ranges))

    async def stream(self, key: str, part: ByteRange | None = None) -> AsyncIterator[bytes]:
        """Yield the object, or a stretch of it, in chunks."""
        offset, end = (part.offset, part.offset + part.length) if part else (0, None)
        while True:
            length = CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - offset)
            if length <= 0:
                return
            (chunk,) = await self._run(self._read, key, [ByteRange(offset, length)])
            if chunk:
                yield chunk
            if len(chunk) < length:
                return
            offset += length

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, and folders that became empty."""
        await self._run(self._delete, list(keys))

    async def free_bytes(self) -> int | None:
        """Return the free space of the disk, in bytes, as of at most a second ago."""
        now = time.monotonic()
        if now >= self._free_until:
            self._free = await self._run(_free_bytes, self._root)
            self._free_until = now + FREE_SECONDS
        return self._free

    async def ping(self) -> None:
        """Write, sync and remove a small file."""
        await self._run(self._touch)

    async def close(self) -> None:
        """Wait for work under way."""
        self._threads.shutdown(wait=True)

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work, *args)
        except OSError as exc:
            raise _unavailable(exc) from exc

    def _put(self, uploads: list[Upload]) -> None:
        folders: set[Path] = set()
        for upload in uploads:
            _sync(upload.path)
            target = self._root / upload.key
            folders |= self._make_folders(target.parent)
            upload.path.rename(target)
        for folder in folders:
            _sync(folder)

    def _make_folders(self, folder: Path) -> set[Path]:
        """Make `folder`; return it and each folder that got a new entry, which need a sync."""
        changed = {folder}
        missing = folder
        while not missing.exists():
            missing = missing.parent
            changed.add(missing)
        folder.mkdir(parents=True, exist_ok=True)
        return changed

    def _read(self, key: str, ranges: list[ByteRange]) -> list[bytes]:
        try:
            file = (self._root / key).open("rb")
        except FileNotFoundError as exc:
            if not self._spool.exists():  # the whole folder went away: no word on this object
                raise
            raise NotFound("The object is not in the blob store.") from exc
        with file:
            return [os.pread(file.fileno(), part.length, part.offset) for part in ranges]

    def _delete(self, keys: list[str]) -> None:
        for key in keys:
            path = self._root / key
            path.unlink(missing_ok=True)
            for folder in path.relative_to(self._root).parents[:-1]:
                try:
                    (self._root / folder).rmdir()
                except OSError:
                    break  # not empty: another instance, series or version is there

    def _touch(self) -> None:
        with tempfile.NamedTemporaryFile(dir=self._spool, prefix="ping-") as file:
            file.write(b"ping")
            file.flush()
            os.fsync(file.fileno())


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
                raise _unavailable(exc) from exc
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
            raise _unavailable(exc) from exc
        return [bytes(part) for part in found]

    async def stream(self, key: str, part: ByteRange | None = None) -> AsyncIterator[bytes]:
        """Yield the object, or a stretch of it, in chunks.

        Each chunk is a request of its own, so that a client may take as long as it wants.
        """
        offset, end = (part.offset, part.offset + part.length) if part else (0, None)
        while end is None or offset < end:
            stop = offset + REMOTE_CHUNK_BYTES
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
                raise _unavailable(exc) from exc
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
                raise _unavailable(exc) from exc

    async def free_bytes(self) -> int | None:
        """Return the room left in the local spool."""
        return shutil.disk_usage(self._spool).free

    async def ping(self) -> None:
        """List nothing: unlike asking for an object, that also fails where the bucket is missing."""
        try:
            await obstore.list(self._store, prefix=".ping").collect_async()
        except (ObstoreError, OSError) as exc:
            raise _unavailable(exc) from exc

    async def _not_found(self) -> NotFound:
        """Return what to raise; where the bucket is missing, that is no word on the object."""
        await self.ping()
        return NotFound("The object is not in the blob store.")

    async def close(self) -> None:
        """Remove the spool folder."""
        shutil.rmtree(self._spool, ignore_errors=True)


def _remove_older(folder: Path, seconds: float) -> None:
    """Remove what crashed processes left in the spool; the files of living ones are younger."""
    oldest = time.time() - seconds
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(exc: Exception) -> BlobsUnavailable:
    if isinstance(exc, OSError) and exc.errno in FULL:
        return BlobsUnavailable("The disk of the blob store is full.", retry_after=60)
    return BlobsUnavailable("The blob store failed.", retry_after=RETRY_AFTER_SECONDS)
