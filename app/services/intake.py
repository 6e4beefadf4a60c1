"""Takes the parts of one STOW request in: spools, hashes, reads and judges each.

Strategy: bytes of a part collect in memory up to a limit and beyond it in a spool file. When a part ends, a
thread hashes it, passes it through the gate (`app.dicom.part10`), makes its index document, and leaves the
bytes in the spool. So while the network brings the next part, the one before is read. A small object is read
by the event loop itself: in half a millisecond, less than it costs to hand it to a thread that needs the same
interpreter. Nothing is visible to anybody before the whole request is in.
"""

import asyncio
import contextlib
import mmap
import os
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from app.dicom.bare_data_set import HEAD_ADDED, check_not_compressed, missing_head
from app.dicom.compose import Composer
from app.dicom.instance import Finding, InstanceRecord, StoredInstance
from app.dicom.part10 import claimed_identity, read_instance
from app.dicom.rejection_note import RejectedInstance, rejected_by
from app.dicom.transfer_syntax import KNOWN
from app.dicom.value_rules import broken_rules
from app.errors import (
    BadInstance,
    BlobsUnavailable,
    InstanceTooLarge,
    InvalidAttributes,
    MissingAttribute,
)
from app.index.documents import instance_document
from app.index.left_out import left_out_findings
from app.limits import Limits
from app.services.spooled_part import Part, view_of

JOBS_AHEAD = 4  # parts of one request that may wait for a thread
RECORDS_KEPT = (
    100  # instances of one request that stay read; further ones are read again when stored
)
_PATIENT_ID = "00100020"
_NOBODYS = Finding(
    _PATIENT_ID, "The value is empty; the study has a patient of its own, whom no other study has."
)
_DEFLATED = tuple(syntax.uid.encode() for syntax in KNOWN.values() if syntax.deflated)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instance that passed the gate, with its index document (still without links)."""

    stored: StoredInstance
    document: Mapping[str, Any]
    restates: bool = False  # it says itself now what was shown of it: no news of the patient


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
    rejects: tuple[RejectedInstance, ...] = ()  # where it is a rejection note
    restates: str | None = None  # the version that it was made of, and may take the place of


@dataclass(frozen=True, slots=True)
class Refused:
    """A part that is no instance that can be kept."""

    error: BadInstance
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None


class Intake:
    """The instances of one request."""

    def __init__(
        self, folder: Path, limits: Limits, threads: Executor, *, strict: bool = False
    ) -> None:
        """Spool into `folder`; read in `threads`; refuse values that are not as their VRs ask if `strict`."""
        self._strict = strict
        self._folder = folder
        self._limits = limits
        self._threads = threads
        self._slots = asyncio.Semaphore(JOBS_AHEAD)
        self._jobs: list[asyncio.Future[Spooled | Refused]] = []
        self._part: Part | None = None
        self._paths: list[Path] = []

    def begin(self) -> None:
        """Start a part."""
        self._part = Part(self._folder / uuid.uuid4().hex)
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
        await self._hand_over(part)

    async def compose(self, composer: Composer) -> None:
        """Take an object that is still to be made of metadata and bulk data, as a part of its own."""
        self.begin()
        part, self._part = self._current, None
        await self._hand_over(part, composer)

    async def _hand_over(self, part: Part, composer: Composer | None = None) -> None:
        keep = len(self._jobs) < RECORDS_KEPT
        settled = partial(_settle, part, self._limits, keep, self._strict, composer)
        if composer is None and _is_soon_read(part, self._limits):
            self._jobs.append(_done(settled))
            await asyncio.sleep(0)  # others have their turn between the parts of this request
            return
        await self._slots.acquire()
        job = asyncio.create_task(self._in_thread(settled))
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
    def _current(self) -> Part:
        if self._part is None:
            raise RuntimeError("write() and end() belong between begin() and end()")
        return self._part

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as exc:
            raise _no_spool() from exc


def _done(work: Callable[[], Result]) -> asyncio.Future[Result]:
    """Return what the work makes, as if somebody else had done it."""
    future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(work())
    except OSError:
        future.set_exception(_no_spool())
    return future


def _no_spool() -> BlobsUnavailable:
    return BlobsUnavailable("The spool cannot be written.", retry_after=60)


def _is_soon_read(part: Part, limits: Limits) -> bool:
    """Tell whether reading a part takes less than a millisecond or so: it is small, and stays so."""
    if part.size > limits.read_at_once_bytes or part.size > len(part.memory):
        return False
    return not any(uid in part.memory for uid in _DEFLATED)


def reread(spooled: Spooled, limits: Limits) -> Prepared:
    """Read an instance again whose record was dropped to spare memory."""
    size = spooled.path.stat().st_size
    with spooled.path.open("rb") as file:
        return _prepare(view_of(file, size), size=size, sha256=spooled.sha256, limits=limits)


def prepare(data: bytes, stored: StoredInstance, limits: Limits) -> Prepared:
    """Read an instance that is in the blob store already, keeping its key and version."""
    record = read_instance(data, limits)
    known = replace(stored, record=record)
    return Prepared(known, instance_document(known, limits))


def _settle(
    part: Part, limits: Limits, keep_record: bool, strict: bool, composer: Composer | None
) -> Spooled | Refused:
    """Judge a complete part (runs in a thread)."""
    data: bytes | mmap.mmap = b""
    changes: tuple[Finding, ...] = ()
    try:
        if composer is not None:
            part.take(composer.pieces(), limits)
            changes = composer.findings
        if part.refusal is not None:
            return Refused(part.refusal)
        data, sha256 = part.close()
        head = missing_head(data)
        if head:
            data, sha256 = part.put_in_front(head, data, limits)
            changes = (HEAD_ADDED,)
        prepared = _prepare(data, size=part.size, sha256=sha256, limits=limits)
        if head:
            check_not_compressed(prepared.stored.record)
        if strict:
            _check_values(prepared.stored.record)
    except BadInstance as error:
        part.refuse(error)
        part.path.unlink(missing_ok=True)
        identity = claimed_identity(data) if composer is None else composer.identity
        return Refused(error, *identity)
    part.keep(data)
    if isinstance(data, mmap.mmap):
        with contextlib.suppress(BufferError):
            data.close()
    return _spooled(part.path, prepared, changes, keep_record=keep_record)


def _spooled(
    path: Path, prepared: Prepared, changes: tuple[Finding, ...], *, keep_record: bool
) -> Spooled:
    record = prepared.stored.record
    return Spooled(
        path=path,
        study_instance_uid=record.study_instance_uid,
        series_instance_uid=record.series_instance_uid,
        sop_instance_uid=record.sop_instance_uid,
        sop_class_uid=record.sop_class_uid,
        sha256=prepared.stored.sha256,
        findings=changes
        + findings_of(record)
        + left_out_findings(prepared.document, record.findings),
        prepared=prepared if keep_record else None,
        rejects=rejected_by(record),
    )


def findings_of(record: InstanceRecord) -> tuple[Finding, ...]:
    """Return what is not as it should be in an instance that can be kept all the same."""
    return record.findings if _says_whose(record) else (*record.findings, _NOBODYS)


def _says_whose(record: InstanceRecord) -> bool:
    """Tell whether an instance has a PatientID, which may be empty (type 2, PS3.3 §C.7.1.1)."""
    values = record.attributes.get(_PATIENT_ID, {}).get("Value") or ()
    return any(isinstance(value, str) and value.strip() for value in values)


def _check_values(record: InstanceRecord) -> None:
    found = {each.tag: each for each in (*record.findings, *broken_rules(record.attributes))}
    if not _says_whose(record):
        raise MissingAttribute(
            "Patient ID (0010,0020) is empty, and validation is strict.", attributes=(_PATIENT_ID,)
        )
    if found:
        raise InvalidAttributes(
            "Values are not as their VRs ask, and validation is strict.",
            details=tuple((each.tag, each.message) for each in found.values()),
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
