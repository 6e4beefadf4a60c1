"""The bytes of one part of a request while they come in, in memory or in a spool file."""

import hashlib
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Protocol

from app.dicom.element_header import Buffer
from app.errors import BadInstance, InstanceTooLarge
from app.limits import Limits


class _Hash(Protocol):
    def update(self, data: bytes | bytearray, /) -> None: ...
    def hexdigest(self) -> str: ...


class Part:
    """One part; its bytes go to `path` when they become many."""

    def __init__(self, path: Path) -> None:
        """Begin a part without bytes."""
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

    def take(self, pieces: Iterable[Buffer], limits: Limits) -> None:
        """Add bytes piece by piece. Raises InstanceTooLarge."""
        for piece in pieces:
            view = memoryview(piece)
            self.size += len(view)
            if self.size > limits.instance_bytes:
                raise InstanceTooLarge("The instance is larger than the limit instance_bytes.")
            for start in range(0, len(view), limits.spool_memory_bytes):
                self.memory += view[start : start + limits.spool_memory_bytes]
                if len(self.memory) > limits.spool_memory_bytes:
                    self.flush()

    def put_in_front(
        self, head: bytes, data: bytes | mmap.mmap, limits: Limits
    ) -> tuple[bytes | mmap.mmap, str]:
        """Return what `close` does, with `head` before the bytes."""
        whole = Part(self.path.with_suffix(".whole"))
        try:
            whole.take((head, data), limits)
            found = whole.close()
            if isinstance(found[0], mmap.mmap):
                whole.path.replace(self.path)
        finally:
            whole.path.unlink(missing_ok=True)
        self.size = whole.size
        return found

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
            return view_of(again, self.size), self._hash.hexdigest()

    def keep(self, data: bytes | mmap.mmap) -> None:
        """See that the bytes are in the spool file."""
        if isinstance(data, bytes):
            self.path.write_bytes(data)


def view_of(file: IO[bytes], size: int) -> bytes | mmap.mmap:
    """Return all bytes of a spool file without reading them."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
