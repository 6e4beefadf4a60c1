import errno
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from app.errors import StoreUnavailable
from app.services.spool import CHUNK_BYTES, Spool


@pytest.mark.parametrize("memory_bytes", [0, 10, 10 * CHUNK_BYTES])
async def test_what_is_written_comes_back(tmp_path: Path, memory_bytes: int) -> None:
    spool = Spool(tmp_path, memory_bytes)
    pieces = [b"abc", b"", b"x" * (2 * CHUNK_BYTES), b"end"]
    for piece in pieces:
        await spool.write(piece)

    assert spool.size == sum(map(len, pieces))
    for _ in range(2):
        assert b"".join([chunk async for chunk in spool.chunks()]) == b"".join(pieces)
    spool.rewind()
    assert b"".join([chunk async for chunk in spool.next_bytes(2)]) == b"ab"
    assert b"".join([chunk async for chunk in spool.next_bytes(4)]) == b"cxxx"
    spool.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - no need of paths


async def test_a_full_disk_is_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    with (
        patch.object(spool._file, "write", side_effect=OSError(errno.ENOSPC, "full")),
        pytest.raises(StoreUnavailable),
    ):
        await spool.write(b"abc")
    spool.close()
