"""Takes in the metadata and bulk data of one STOW request, and makes objects of them (PS3.18 §10.5.2).

Strategy: metadata collect in memory up to the limit `metadata_bytes`; all bulk data of the request go into one
spool file, of which each part is a stretch. Nothing can be made before the whole request is in, since bulk data
come after the metadata that name them. Then one object after the other is written to the spool of the
instances, from views of that file, and is judged there like any other.
"""

import asyncio
import contextlib
import mmap
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import IO, Any

import orjson

from app.dicom.bulk_part import BulkPart, by_location, stem_of
from app.dicom.compose import Composer, named_bulk_data
from app.dicom.native_xml import from_xml
from app.errors import (
    BadInstance,
    BadMetadata,
    BadRequest,
    BlobsUnavailable,
    InstanceTooLarge,
    RequestTooLarge,
)
from app.limits import Limits
from app.services.intake import Intake, Refused

_UTF_8_MARK = b"\xef\xbb\xbf"


class Form(Enum):
    """What metadata are written in."""

    JSON = auto()
    XML = auto()


@dataclass(slots=True)
class _Document:
    form: Form
    data: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Stretch:
    """A part with bulk data, by its place in the spool file."""

    location: str
    media_type: str
    transfer_syntax_uid: str | None
    offset: int
    size: int = 0


class MetadataIntake:
    """The metadata and bulk data of one request."""

    def __init__(self, folder: Path, limits: Limits, threads: Executor) -> None:
        """Spool into `folder`; compose in `threads`."""
        self._path = folder / uuid.uuid4().hex
        self._limits = limits
        self._threads = threads
        self._documents: list[_Document] = []
        self._stretches: list[_Stretch] = []
        self._refused: list[Refused] = []
        self._current: _Document | _Stretch | None = None
        self._metadata_bytes = 0
        self._memory = bytearray()  # bulk data that are not in the file yet
        self._spooled = 0
        self._file: IO[bytes] | None = None
        self._views = contextlib.ExitStack()  # of the spool file, the latest first

    def begin_document(self, form: Form) -> None:
        """Start a part with metadata."""
        self._current = _Document(form)

    def begin_bulk(self, location: str, media_type: str, transfer_syntax_uid: str | None) -> None:
        """Start a part with the bulk data that metadata call `location`."""
        self._current = _Stretch(location, media_type, transfer_syntax_uid, self._end_of_bulk)

    async def write(self, data: bytes | memoryview) -> None:
        """Add bytes to the part. Raises RequestTooLarge, and BlobsUnavailable when the disk is full."""
        match self._current:
            case _Document() as document:
                self._metadata_bytes += len(data)
                if self._metadata_bytes > self._limits.metadata_bytes:
                    raise RequestTooLarge("The metadata are larger than the limit metadata_bytes.")
                document.data += data
            case _Stretch() as stretch:
                await self._write_bulk(stretch, data)

    async def end(self, refusal: BadInstance | None = None) -> None:
        """End the part."""
        match self._current:
            case _ if refusal is not None:
                self._refused.append(Refused(refusal))
            case _Document() as document:
                self._documents.append(document)
            case _Stretch(size=size) if size > self._limits.instance_bytes:
                error = InstanceTooLarge("The bulk data are larger than the limit instance_bytes.")
                self._refused.append(Refused(error))
            case _Stretch() as stretch:
                self._stretches.append(stretch)
        self._current = None

    async def compose(self, intake: Intake) -> list[Refused]:
        """Hand every object that the metadata describe to `intake`; return what is none.

        Raises BadRequest for metadata that are no JSON at all, RequestTooLarge, BlobsUnavailable.
        """
        if not self._documents and not self._stretches:
            return self._refused
        parts = await self._in_thread(self._parts)
        bulk = by_location(parts)
        named: set[str] = set()
        number = 0
        for document in self._documents:
            for attributes in await self._in_thread(self._objects, document):
                number += 1
                if number > self._limits.parts:
                    raise RequestTooLarge(
                        "The metadata describe more instances than the limit parts."
                    )
                named |= set(named_bulk_data(attributes))
                await intake.compose(Composer(attributes, bulk, self._limits))
            document.data.clear()
        return [*self._refused, *_unnamed(parts, named)]

    async def discard(self) -> None:
        """Remove the spool file, and let go of the memory that shows it."""
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(BufferError):  # a thread still reads: it lets go when it has ended
            self._views.close()

    @property
    def _end_of_bulk(self) -> int:
        return self._spooled + len(self._memory)

    async def _write_bulk(self, stretch: _Stretch, data: bytes | memoryview) -> None:
        stretch.size += len(data)
        if stretch.size > self._limits.instance_bytes:
            return
        self._memory += data
        if len(self._memory) > self._limits.spool_memory_bytes:
            await self._in_thread(self._flush)

    def _flush(self) -> None:
        if self._file is None:
            self._file = self._path.open("wb")
        self._file.write(self._memory)
        self._spooled += len(self._memory)
        self._memory = bytearray()

    def _parts(self) -> list[BulkPart]:
        content = self._views.enter_context(memoryview(self._whole()))
        return [
            BulkPart(
                each.location,
                each.media_type,
                self._views.enter_context(content[each.offset : each.offset + each.size]),
                each.transfer_syntax_uid,
            )
            for each in self._stretches
        ]

    def _whole(self) -> bytes | mmap.mmap:
        """Return all bulk data; those of a small request never were on disk."""
        if self._file is None:
            return bytes(self._memory)
        self._flush()
        self._file.close()
        with self._path.open("rb") as again:
            found = mmap.mmap(again.fileno(), 0, access=mmap.ACCESS_READ)
            return self._views.enter_context(contextlib.closing(found))

    def _objects(self, document: _Document) -> list[Mapping[str, Any]]:
        """Return the DICOM JSON objects of a document; what is none is noted as refused."""
        data = bytes(document.data).removeprefix(_UTF_8_MARK)
        if document.form is Form.XML:
            try:
                return [from_xml(data, self._limits)]
            except BadInstance as error:
                self._refused.append(Refused(error))
                return []
        try:
            found = orjson.loads(data)
        except orjson.JSONDecodeError as exc:
            raise BadRequest("The metadata are no JSON.") from exc
        objects = found if isinstance(found, list) else [found]
        if not all(isinstance(each, dict) for each in objects):
            raise BadRequest("The metadata are no array of DICOM JSON objects.")
        return objects

    async def _in_thread(self, work: Any, *args: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        except OSError as exc:
            raise BlobsUnavailable("The spool cannot be written.", retry_after=60) from exc


def _unnamed(parts: list[BulkPart], named: set[str]) -> Iterator[Refused]:
    for part in parts:
        if part.location not in named and stem_of(part.location) not in named:
            yield Refused(BadMetadata("A part has a Content-Location that no metadata name."))
