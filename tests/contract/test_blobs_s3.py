"""What an object store adds to the contract of test_blobs.py: buckets, distance, credentials."""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterator

import pytest

from app.dicom.instance import ByteRange
from app.errors import BlobsUnavailable, ConfigurationError
from app.stores.blob_store import BlobStore, Upload
from app.stores.blobs import open_blob_store
from app.stores.remote_blobs import CHUNK_BYTES
from tests.contract.conftest import ACCESS_KEY, SECRET_KEY, S3Server, point_to
from tests.server import free_port

MIB = 1024 * 1024
GIVEN_UP_SECONDS = 20  # far above the store's own time-out of one second

Operation = Callable[[BlobStore], Awaitable[object]]


async def put(blobs: BlobStore) -> None:
    path = blobs.spool_folder / uuid.uuid4().hex
    path.write_bytes(os.urandom(6 * MIB))  # above 5 MiB an upload has several requests
    await blobs.put([Upload(path, "1/2/3/a.dcm")])


async def stream(blobs: BlobStore) -> list[bytes]:
    return [chunk async for chunk in blobs.stream("1/2/3/a.dcm")]


OPERATIONS: dict[str, Operation] = {
    "put": put,
    "stream": stream,
    "read": lambda blobs: blobs.read("1/2/3/a.dcm", [ByteRange(0, 1)]),
    "delete": lambda blobs: blobs.delete(["1/2/3/a.dcm"]),
    "ping": lambda blobs: blobs.ping(),
}


@pytest.fixture(params=["refused", "silent"])
def nobody(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point to an address where no connection is taken, or none is answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        silent: int = listener.getsockname()[1]
        port = silent if request.param == "silent" else free_port()
        point_to(f"http://127.0.0.1:{port}", monkeypatch)
        yield


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_unreachable_store_is_unavailable_after_its_time_out(name: str) -> None:
    blobs = open_blob_store("s3://bucket", timeout_seconds=1)
    async with asyncio.timeout(GIVEN_UP_SECONDS):
        with pytest.raises(BlobsUnavailable) as raised:
            await OPERATIONS[name](blobs)
    await blobs.close()

    assert ACCESS_KEY not in raised.value.message
    assert SECRET_KEY not in raised.value.message
    assert raised.value.retry_after is not None


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("name", ["put", "stream", "read", "ping"])
async def test_a_missing_bucket_is_a_store_that_fails_not_one_that_lost_its_objects(
    name: str,
) -> None:
    """Recovery would undo what it believes to be lost."""
    blobs = open_blob_store(f"s3://b{uuid.uuid4().hex}", timeout_seconds=5)
    with pytest.raises(BlobsUnavailable):
        await OPERATIONS[name](blobs)
    await blobs.close()


async def test_objects_are_kept_under_the_prefix_of_the_url(s3: S3Server) -> None:
    bucket = f"b{uuid.uuid4().hex}"
    s3.make_bucket(bucket)
    blobs = open_blob_store(f"s3://{bucket}/hospital/north")
    path = blobs.spool_folder / "part"
    path.write_bytes(b"DICM")
    await blobs.put([Upload(path, "1/2/3/a.dcm")])
    await blobs.close()

    assert list(s3.listing(bucket)) == ["hospital/north/1/2/3/a.dcm"]


async def test_a_large_object_goes_up_in_parts_and_comes_back_in_stretches(s3: S3Server) -> None:
    bucket = f"b{uuid.uuid4().hex}"
    s3.make_bucket(bucket)
    blobs = open_blob_store(f"s3://{bucket}")
    data = os.urandom(2 * CHUNK_BYTES + 5 * MIB)
    path = blobs.spool_folder / "part"
    path.write_bytes(data)
    await blobs.put([Upload(path, "1/2/3/a.dcm")])

    chunks = await stream(blobs)
    offset, length = MIB, CHUNK_BYTES + 1
    part = [chunk async for chunk in blobs.stream("1/2/3/a.dcm", ByteRange(offset, length))]
    await blobs.close()

    assert b"".join(chunks) == data
    assert max(len(chunk) for chunk in chunks) <= CHUNK_BYTES
    assert b"".join(part) == data[offset : offset + length]
    assert s3.listing(bucket)["1/2/3/a.dcm"].endswith("-3")  # parts of 5, 5 and 3 MiB


async def test_the_first_upload_that_fails_ends_the_others(s3: S3Server) -> None:
    """P2: nothing comes into the store after the client has been told that it failed."""
    bucket = f"b{uuid.uuid4().hex}"
    s3.make_bucket(bucket)
    blobs = open_blob_store(f"s3://{bucket}")
    paths = [blobs.spool_folder / str(number) for number in range(30)]
    for path in paths[1:]:
        path.write_bytes(os.urandom(MIB))
    with pytest.raises(BlobsUnavailable):
        await blobs.put([Upload(path, f"1/2/{path.name}/a.dcm") for path in paths])

    assert asyncio.all_tasks() == {asyncio.current_task()}
    await blobs.close()


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_credentials_in_the_url_are_refused_and_not_repeated(scheme: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_blob_store(f"{scheme}://{ACCESS_KEY}:{SECRET_KEY}@bucket/prefix")

    assert "credentials" in raised.value.message
    assert ACCESS_KEY not in raised.value.message
    assert SECRET_KEY not in raised.value.message


@pytest.mark.parametrize("url", ["s3://", "az://container"])
def test_what_the_library_cannot_open_is_said_in_one_line(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigurationError) as raised:
        open_blob_store(url)

    assert raised.value.message.startswith("COREGISTER_BLOBS: ")
    assert "\n" not in raised.value.message
