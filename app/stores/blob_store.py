"""Where objects are kept, byte for byte as received, never changed.

Strategy: an incoming part is spooled to a file beside its final place (or, for a remote store, on the
local disk) while its bytes are counted and hashed. `put` makes spooled files durable under their keys:
on a local disk by fsync and rename, and an fsync of each folder that got a new name; on an object store
by an upload that the store acknowledged. A key is `{study}/{series}/{instance}/{version}.dcm` and is
written once.
"""

import errno
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.dicom.instance import ByteRange
from app.errors import BlobsUnavailable

RETRY_AFTER_SECONDS = 10
FULL = (errno.ENOSPC, errno.EDQUOT)


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

    async def read_whole(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return whole objects, None for one that is not there. Raises BlobsUnavailable."""

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


def unavailable(exc: Exception) -> BlobsUnavailable:
    """Return what a failure of the disk or of the object store is to those who asked."""
    if isinstance(exc, OSError) and exc.errno in FULL:
        return BlobsUnavailable("The disk of the blob store is full.", retry_after=60)
    return BlobsUnavailable("The blob store failed.", retry_after=RETRY_AFTER_SECONDS)
