"""Finds the DICOM files of folders and archives, and reads their first bytes.

A file is a DICOM file when it says so (`DICM` at byte 128, PS3.10 §7.1); its name tells nothing.
Members of a .zip are read where they are: nothing is unpacked, so their names can do no harm.
"""

import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from app.errors import SourceUnreadable

FILE_META_GROUP = 0x0002
PREAMBLE_BYTES = 128
HEAD_BYTES = 4096  # the UIDs of the File Meta Information are among its first elements
LONG_LENGTH_VRS = frozenset(
    {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"}
)
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
ENCRYPTED = 0x1  # bit of a .zip member's flags


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may be sent: on disk, or inside a .zip on disk."""

    path: Path
    size: int
    modified_ns: int
    member: str | None = None
    # kept open while members of it wait to be sent; closed with the last of them
    archive: zipfile.ZipFile | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Return how a person would call it."""
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"

    def open(self) -> IO[bytes]:
        """Open it for reading."""
        if self.archive is not None and self.member is not None:
            return self.archive.open(self.member)
        return self.path.open("rb")

    def pieces(self, most_bytes: int) -> Iterator[bytes]:
        """Yield its bytes, exactly as many as its size says; SourceUnreadable otherwise."""
        left = self.size
        try:
            with self.open() as file:
                while left and (piece := file.read(min(left, most_bytes))):
                    left -= len(piece)
                    yield piece
        except (OSError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise SourceUnreadable(f"cannot be read ({type(error).__name__})") from error
        if left:
            raise SourceUnreadable("became shorter while it was read")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not sent."""

    name: str
    reason: str
    size: int = 0
    harmless: bool = True  # not what was asked for, rather than something that went wrong


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the File Meta Information says of the object (PS3.10 Table 7.1-1)."""

    sop_class_uid: str
    sop_instance_uid: str


def walk(paths: list[Path]) -> Iterator[Source | Skipped]:
    """Yield every file below `paths`, those of one folder together."""
    for path in paths:
        if path.is_dir():
            yield from _walk_folder(path)
        else:
            yield from _file(path)


def inspect(source: Source) -> FileMeta | Skipped:
    """Read the first bytes of a file and tell what it is."""
    try:
        with source.open() as file:
            head = file.read(HEAD_BYTES)
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        reason = f"cannot be read ({type(error).__name__})"
        return Skipped(source.name, reason, source.size, harmless=False)
    if head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != b"DICM":
        return Skipped(source.name, "not a DICOM file", source.size)
    meta = read_file_meta(head)
    if meta.sop_class_uid == MEDIA_STORAGE_DIRECTORY:
        return Skipped(source.name, "a DICOMDIR: its files are sent, not the list", source.size)
    return meta


def read_file_meta(head: bytes) -> FileMeta:
    """Return the UIDs of the File Meta Information; one that is not found is empty."""
    found = {0x0002: "", 0x0003: ""}
    at = PREAMBLE_BYTES + 4
    while at + 8 <= len(head):
        group, element, vr = struct.unpack_from("<HH2s", head, at)
        if group != FILE_META_GROUP:
            break
        if vr in LONG_LENGTH_VRS:
            if at + 12 > len(head):
                break
            (length,) = struct.unpack_from("<I", head, at + 8)
            at += 12
        else:
            (length,) = struct.unpack_from("<H", head, at + 6)
            at += 8
        if element in found and at + length <= len(head):
            found[element] = head[at : at + length].rstrip(b"\0 ").decode("ascii", "replace")
        at += length
    return FileMeta(sop_class_uid=found[0x0002], sop_instance_uid=found[0x0003])


def _walk_folder(folder: Path) -> Iterator[Source | Skipped]:
    """Yield the files of a folder, then those of its folders; links to folders could be circles."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"cannot be read ({type(error).__name__})"
        yield Skipped(str(folder), reason, harmless=False)
        return
    for entry in found:
        if entry.is_file():
            yield from _file(Path(entry.path))
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk_folder(Path(entry.path))


def _file(path: Path) -> Iterator[Source | Skipped]:
    try:
        status = path.stat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if missing else f"cannot be read ({type(error).__name__})"
        yield Skipped(str(path), reason, harmless=False)
        return
    if path.suffix.lower() == ".zip":
        yield from _members(path, status.st_mtime_ns)
    elif path.is_file():
        yield Source(path, status.st_size, status.st_mtime_ns)
    else:
        yield Skipped(str(path), "not a regular file")


def _members(path: Path, modified_ns: int) -> Iterator[Source | Skipped]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        reason = f"cannot be read as .zip ({type(error).__name__})"
        yield Skipped(str(path), reason, harmless=False)
        return
    for info in archive.infolist():
        if info.is_dir():
            continue
        if info.flag_bits & ENCRYPTED:
            name = f"{path}!{info.filename}"
            yield Skipped(name, "encrypted", info.file_size, harmless=False)
            continue
        yield Source(path, info.file_size, modified_ns, member=info.filename, archive=archive)
