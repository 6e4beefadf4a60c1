"""Objects as files: durable by fsync and rename."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from app.dicom.instance import ByteRange
from app.errors import ConfigurationError, NotFound
from app.stores.blob_store import Upload, unavailable

CHUNK_BYTES = 256 * 1024
LEFTOVER_SECONDS = 24 * 3600.0  # no request takes a day
FREE_SECONDS = 1.0  # asking a busy disk for its free space can take milliseconds

T = TypeVar("T")


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

    async def read_whole(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return whole objects, None for one that is not there: many small ones in one go."""
        return await self._run(self._read_whole, list(keys))

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
            raise unavailable(exc) from exc

    def _put(self, uploads: list[Upload]) -> None:
        folders: set[Path] = set()
        for upload in uploads:
            _sync(upload.path)
            target = self._root / upload.key
            target.parent.mkdir(parents=True, exist_ok=True)
            upload.path.rename(target)
            # all of them: another thread may have made one just now and not synced it yet
            folders |= {self._root / folder for folder in Path(upload.key).parents}
        for folder in folders:
            _sync(folder)

    def _read(self, key: str, ranges: list[ByteRange]) -> list[bytes]:
        try:
            file = (self._root / key).open("rb")
        except FileNotFoundError as exc:
            if not self._spool.exists():  # the whole folder went away: no word on this object
                raise
            raise NotFound("The object is not in the blob store.") from exc
        with file:
            return [os.pread(file.fileno(), part.length, part.offset) for part in ranges]

    def _read_whole(self, keys: list[str]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for key in keys:
            try:  # no Path and no file object: for small files they cost more than the reading
                descriptor = os.open(f"{self._root}/{key}", os.O_RDONLY)
            except FileNotFoundError:
                if not self._spool.exists():
                    raise
                found.append(None)
                continue
            try:
                found.append(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
            finally:
                os.close(descriptor)
        return found

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
