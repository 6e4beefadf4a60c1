"""Takes the parts of one STOW request in: spools, hashes, reads and judges each.

Strategy: bytes of a part collect in memory up to a limit and beyond it in a spool file. When a part ends, a
thread hashes it, passes it through the gate (`app.dicom.part10`), makes its index document, and leaves the
bytes in the spool. So while the network brings the next part, the one before is read; the event loop does
neither. Nothing is visible to anybody before the whole request is in.
"""

import asyncio
import contextlib
import hashlib
import mmap
import os
import uuid
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from app.dicom.instance import Finding, StoredInstance
from app.dicom.part10 import claimed_identity, read_instance
from app.errors import BadInstance, BlobsUnavailable, InstanceTooLarge
from app.index.documents import instance_document
from app.limits import Limits

JOBS_AHEAD = 4  # parts of one request that may wait for a thread
RECORDS_KEPT = (
    100  # instances of one request that stay read; further ones are read again when stored
)


class _Hash(Protocol):
    def update(self, data: bytes | bytearray, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instance that passed the gate, with its index document (still without links)."""

    stored: StoredInstance
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spooled:
    """An instance in the spool; `prepared` is missing where memory had to be spared."""

    path: Path
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    sha256: str
    findings: tuple[Finding, ...]
    prepared: Prepared | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A part that is no instance that can be kept."""

    error: BadInstance
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None


class Intake:
    """The instances of one request."""

    def __init__(self, folder: Path, limits: Limits, threads: Executor) -> None:
        """Spool into `folder`; read in `threads`."""
        self._folder = folder
        self._limits = limits
        self._threads = threads
        self._slots = asyncio.Semaphore(JOBS_AHEAD)
        self._jobs: list[asyncio.Task[Spooled | Refused]] = []
        self._part: _Part | None = None
        self._paths: list[Path] = []

    def begin(self) -> None:
        """Start a part."""
        self._part = _Part(self._folder / uuid.uuid4().hex)
        self._paths.append(self._part.path)

    async def write(self, data: bytes | memoryview) -> None:
        """Add bytes to the part. Raises BlobsUnavailable when the disk is full."""
        part = self._current
        part.size += len(data)
        if part.size > self._limits.instance_bytes:
            part.refuse(InstanceTooLarge("The instance is larger than the limit instance_bytes."))
        if part.refusal is not None:
            return
        part.memory += data
        if len(part.memory) > self._limits.spool_memory_bytes:
            await self._in_thread(part.flush)

    async def end(self, refusal: BadInstance | None = None) -> None:
        """End the part; it is read in the background."""
        part, self._part = self._current, None
        if refusal is not None:
            part.refuse(refusal)
        await self._slots.acquire()
        keep = len(self._jobs) < RECORDS_KEPT
        job = asyncio.create_task(self._in_thread(_settle, part, self._limits, keep))
        job.add_done_callback(lambda _: self._slots.release())
        self._jobs.append(job)

    async def finish(self) -> list[Spooled | Refused]:
        """Return what became of each part, in the order of the request."""
        return list(await asyncio.gather(*self._jobs))

    async def discard(self) -> None:
        """Remove whatever is still in the spool."""
        if self._part is not None:
            self._part.refuse(BadInstance("The request ended within this part."))
        await asyncio.gather(*self._jobs, return_exceptions=True)
        for path in self._paths:
            path.unlink(missing_ok=True)

    @property
    def _current(self) -> "_Part":
        if self._part is None:
            raise RuntimeError("write() and end() belong between begin() and end()")
        return self._part

    async def _in_thread(self, work: Any, *args: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        except OSError as exc:
            raise BlobsUnavailable("The spool cannot be written.", retry_after=60) from exc


def reread(spooled: Spooled, limits: Limits) -> Prepared:
    """Read an instance again whose record was dropped to spare memory."""
    size = spooled.path.stat().st_size
    with spooled.path.open("rb") as file:
        return _prepare(_view(file, size), size=size, sha256=spooled.sha256, limits=limits)


def prepare(data: bytes, stored: StoredInstance, limits: Limits) -> Prepared:
    """Read an instance that is in the blob store already, keeping its key and version."""
    record = read_instance(data, limits)
    known = replace(stored, record=record)
    return Prepared(known, instance_document(known, limits))


class _Part:
    """The bytes of one part while they come in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.memory = bytearray()
        self.refusal: BadInstance | None = None
        self._hash: _Hash = hashlib.sha256()
        self._file: IO[bytes] | None = None

    def refuse(self, error: BadInstance) -> None:
        """Drop the bytes; the part is answered with this error."""
        self.refusal = self.refusal or error
        self.memory = bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None
            self.path.unlink(missing_ok=True)

    def flush(self) -> None:
        """Move the bytes from memory to the spool file."""
        if self._file is None:
            self._file = self.path.open("wb")
        self._hash.update(self.memory)
        self._file.write(self.memory)
        self.memory = bytearray()

    def close(self) -> tuple[bytes | mmap.mmap, str]:
        """Return all bytes, and their SHA-256 in hex; a large part stays on disk and is mapped."""
        if self._file is None:
            self._hash.update(self.memory)
            return bytes(self.memory), self._hash.hexdigest()
        self.flush()
        file, self._file = self._file, None
        if file is not None:
            file.close()
        with self.path.open("rb") as again:
            return _view(again, self.size), self._hash.hexdigest()

    def keep(self, data: bytes | mmap.mmap) -> None:
        """See that the bytes are in the spool file."""
        if isinstance(data, bytes):
            self.path.write_bytes(data)


def _view(file: IO[bytes], size: int) -> bytes | mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""


def _settle(part: _Part, limits: Limits, keep_record: bool) -> Spooled | Refused:
    """Judge a complete part (runs in a thread)."""
    if part.refusal is not None:
        return Refused(part.refusal)
    data, sha256 = part.close()
    try:
        prepared = _prepare(data, size=part.size, sha256=sha256, limits=limits)
    except BadInstance as error:
        identity = claimed_identity(data)
        part.path.unlink(missing_ok=True)
        return Refused(error, *identity)
    part.keep(data)
    if isinstance(data, mmap.mmap):
        with contextlib.suppress(BufferError):
            data.close()
    record = prepared.stored.record
    return Spooled(
        path=part.path,
        study_instance_uid=record.study_instance_uid,
        series_instance_uid=record.series_instance_uid,
        sop_instance_uid=record.sop_instance_uid,
        sop_class_uid=record.sop_class_uid,
        sha256=sha256,
        findings=record.findings,
        prepared=prepared if keep_record else None,
    )


def _prepare(data: bytes | mmap.mmap, *, size: int, sha256: str, limits: Limits) -> Prepared:
    record = read_instance(data, limits)
    version = new_version()
    stored = StoredInstance(
        record=record,
        blob_key="/".join(
            (
                record.study_instance_uid,
                record.series_instance_uid,
                record.sop_instance_uid,
                f"{version}.dcm",
            )
        ),
        size=size,
        sha256=sha256,
        version=version,
        stored_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
    return Prepared(stored, instance_document(stored, limits))


def new_version() -> str:
    """Return a name for a version of an instance: unique, and later ones sort later."""
    milliseconds = int(datetime.now(UTC).timestamp() * 1000)
    return f"{milliseconds:012x}{os.urandom(8).hex()}"
