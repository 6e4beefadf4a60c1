"""A place for bytes that are made before they are sent: in memory while they are few, else on the disk."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from app.errors import StoreUnavailable

CHUNK_BYTES = 1024 * 1024


class Spool:
    """A file without a name, which is gone when it is closed or the process ends."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        """Keep up to `memory_bytes` in memory, more in `folder`."""
        self.size = 0
        self._memory_bytes = memory_bytes
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed by `close`
            memory_bytes, dir=str(folder)
        )

    async def write(self, data: bytes) -> None:
        """Add bytes at the end. Raises StoreUnavailable where the disk is full."""
        self.size += len(data)
        try:
            if self.size <= self._memory_bytes:
                self._file.write(data)
            else:
                await asyncio.to_thread(self._file.write, data)
        except OSError as exc:
            raise StoreUnavailable("The disk has no room to transcode.", retry_after=60) from exc

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield everything."""
        self.rewind()
        async for chunk in self.next_bytes(self.size):
            yield chunk

    def rewind(self) -> None:
        """Read from the beginning next."""
        self._file.seek(0)

    async def next_bytes(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield as many of the bytes that come next."""
        in_memory = self.size <= self._memory_bytes
        while length:
            size = min(length, CHUNK_BYTES)
            read = self._file.read
            chunk = read(size) if in_memory else await asyncio.to_thread(read, size)
            length -= len(chunk)
            yield chunk

    def close(self) -> None:
        """Give the room back."""
        self._file.close()
