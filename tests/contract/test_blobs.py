"""What every blob store must do: a folder, any object store, one that speaks S3 over HTTP."""

import errno
import os
import stat
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from app.dicom.instance import ByteRange
from app.errors import BlobsUnavailable, ConfigurationError, NotFound
from app.stores.blob_store import BlobStore, Upload
from app.stores.blobs import open_blob_store
from app.stores.local_blobs import LocalBlobs
from app.stores.remote_blobs import RemoteBlobs


@pytest.fixture(params=["folder", "memory", "s3"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    store: BlobStore
    match request.param:
        case "folder":
            store = LocalBlobs(tmp_path / "blobs")
        case "memory":
            store = RemoteBlobs(MemoryStore())
        case "s3":
            bucket = f"b{uuid.uuid4().hex}"
            request.getfixturevalue("s3").make_bucket(bucket)
            store = open_blob_store(f"s3://{bucket}/archive")
    yield store
    await store.close()


def spooled(blobs: BlobStore, data: bytes) -> Path:
    path = blobs.spool_folder / uuid.uuid4().hex
    path.write_bytes(data)
    return path


async def test_what_was_put_is_read_back_and_leaves_the_spool(blobs: BlobStore) -> None:
    data = os.urandom(700_000)
    paths = [spooled(blobs, data), spooled(blobs, b"second")]
    await blobs.put([Upload(paths[0], "1/2/3/a.dcm"), Upload(paths[1], "1/2/4/a.dcm")])

    assert [chunk async for chunk in blobs.stream("1/2/4/a.dcm")] == [b"second"]
    assert b"".join([chunk async for chunk in blobs.stream("1/2/3/a.dcm")]) == data
    assert not any(path.exists() for path in paths)


async def test_ranges_are_read_in_the_order_asked(blobs: BlobStore) -> None:
    await blobs.put([Upload(spooled(blobs, b"0123456789"), "1/2/3/a.dcm")])
    ranges = [ByteRange(8, 2), ByteRange(0, 3), ByteRange(5, 1)]

    assert await blobs.read("1/2/3/a.dcm", ranges) == [b"89", b"012", b"5"]
    part = [chunk async for chunk in blobs.stream("1/2/3/a.dcm", ByteRange(2, 4))]
    assert b"".join(part) == b"2345"


async def test_many_objects_are_read_whole_and_one_that_is_missing_is_none(
    blobs: BlobStore,
) -> None:
    data = {f"1/2/{number}/a.dcm": os.urandom(number * 1000) for number in range(20)}
    await blobs.put([Upload(spooled(blobs, each), key) for key, each in data.items()])

    found = await blobs.read_whole([*data, "1/2/99/a.dcm"])

    assert found == [*data.values(), None]
    assert await blobs.read_whole([]) == []


async def test_what_is_not_there_is_not_found(blobs: BlobStore) -> None:
    with pytest.raises(NotFound):
        await blobs.read("1/2/3/none.dcm", [ByteRange(0, 1)])
    with pytest.raises(NotFound):
        [chunk async for chunk in blobs.stream("1/2/3/none.dcm")]


async def test_delete_removes_and_forgives_what_is_not_there(blobs: BlobStore) -> None:
    await blobs.put([Upload(spooled(blobs, b"x"), "1/2/3/a.dcm")])
    await blobs.put([Upload(spooled(blobs, b"y"), "1/2/4/a.dcm")])
    await blobs.delete(["1/2/3/a.dcm", "1/2/9/none.dcm"])

    with pytest.raises(NotFound):
        await blobs.read("1/2/3/a.dcm", [ByteRange(0, 1)])
    assert await blobs.read("1/2/4/a.dcm", [ByteRange(0, 1)]) == [b"y"]


async def test_ping_of_a_good_store_returns(blobs: BlobStore) -> None:
    await blobs.ping()


async def test_emptied_folders_are_removed_and_others_kept(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    await blobs.put([Upload(spooled(blobs, b"x"), "1/2/3/a.dcm")])
    await blobs.put([Upload(spooled(blobs, b"x"), "1/5/3/a.dcm")])
    await blobs.delete(["1/2/3/a.dcm"])
    await blobs.close()

    assert sorted(p.name for p in (tmp_path / "1").iterdir()) == ["5"]


async def test_what_a_crash_left_in_the_spool_is_removed_a_day_later(tmp_path: Path) -> None:
    spool = tmp_path / ".spool"
    spool.mkdir()
    (spool / "old").write_bytes(b"x")
    (spool / "young").write_bytes(b"x")
    os.utime(spool / "old", (0, 0))
    await LocalBlobs(tmp_path).close()

    assert [path.name for path in spool.iterdir()] == ["young"]


async def test_a_full_disk_is_said_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = LocalBlobs(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BlobsUnavailable, match="full"):
        await blobs.put([Upload(spooled(blobs, b"x"), "1/2/3/a.dcm")])
    await blobs.close()


async def test_each_file_and_each_folder_with_a_new_name_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: what was acknowledged outlives a power cut, so names need a sync as well as bytes."""
    blobs = LocalBlobs(tmp_path)
    synced: list[str] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append(f"{kind} {name}")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    path = spooled(blobs, b"x")
    await blobs.put([Upload(path, "1/2/3/a.dcm")])
    await blobs.close()

    assert synced[0] == f"file {path.name}"
    assert set(synced[1:]) == {f"folder {name}" for name in ("3", "2", "1", tmp_path.name)}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://x/y", "unknown kind"),
        ("file://host/path", "three slashes"),
        ("plain", "unknown kind"),
    ],
)
def test_a_wrong_url_is_a_clear_error(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_blob_store(url)
