"""Metadata and bulk data of a request become objects in the spool, in bounded memory."""

import asyncio
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from pydicom import dcmread

from app.errors import BadRequest, InstanceTooLarge, RequestTooLarge
from app.limits import MIB, Limits
from app.services.intake import Intake, Refused, Spooled
from app.services.metadata_intake import Form, MetadataIntake
from tests.stow_requests import image

OCTETS = "application/octet-stream"
MAPS = Path("/proc/self/maps")


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class Request:
    """Both places of one request."""

    def __init__(self, folder: Path, threads: Executor, limits: Limits) -> None:
        self.intake = Intake(folder, limits, threads)
        self.metadata = MetadataIntake(folder, limits, threads)

    async def document(self, data: bytes, form: Form = Form.JSON) -> None:
        self.metadata.begin_document(form)
        await self.metadata.write(data)
        await self.metadata.end()

    async def bulk(self, location: str, size: int, step: int = MIB) -> None:
        self.metadata.begin_bulk(location, OCTETS, None)
        for start in range(0, size, step):
            await self.metadata.write(bytes(min(step, size - start)))
        await self.metadata.end()

    async def finish(self) -> list[Spooled | Refused]:
        refused = await self.metadata.compose(self.intake)
        return [*await self.intake.finish(), *refused]


async def test_memory_does_not_grow_with_bulk_data(tmp_path: Path, threads: Executor) -> None:
    """64 MiB pass through a few."""
    rows = columns = 8192
    size = rows * columns
    request = Request(tmp_path, threads, Limits())

    tracemalloc.start()
    await request.document(orjson.dumps([image(rows, columns)]))
    await request.bulk("pixels", size)
    (found,) = await request.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(found, Spooled)
    assert found.path.stat().st_size > size
    assert peak < 8 * MIB
    assert len(dcmread(found.path).PixelData) == size


async def test_nothing_stays_in_the_spool(tmp_path: Path, threads: Executor) -> None:
    request = Request(tmp_path, threads, Limits(spool_memory_bytes=1000))
    await request.document(orjson.dumps([image(100, 100), image(7, 7)]))
    await request.bulk("pixels", 10_000)
    assert len(await request.finish()) == 2

    assert names_in(tmp_path)
    await request.intake.discard()
    await request.metadata.discard()

    assert names_in(tmp_path) == []


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux tells what is mapped")
async def test_nothing_of_the_spool_stays_mapped(tmp_path: Path, threads: Executor) -> None:
    """Else a file that has no name any more would fill the disk."""
    request = Request(tmp_path, threads, Limits(spool_memory_bytes=1000))
    await request.document(orjson.dumps([image(100, 100)]))
    await request.bulk("pixels", 10_000)
    await request.finish()

    await request.intake.discard()
    await request.metadata.discard()

    assert str(tmp_path) not in memory_map()


def memory_map() -> str:
    return MAPS.read_text()


async def test_a_request_that_ends_early_leaves_nothing(tmp_path: Path, threads: Executor) -> None:
    request = Request(tmp_path, threads, Limits(spool_memory_bytes=1000))
    request.metadata.begin_bulk("pixels", OCTETS, None)
    await request.metadata.write(bytes(5_000))

    await request.metadata.discard()

    assert names_in(tmp_path) == []


async def test_metadata_have_a_limit(tmp_path: Path, threads: Executor) -> None:
    request = Request(tmp_path, threads, Limits(metadata_bytes=1000))
    await request.document(b" " * 600)

    with pytest.raises(RequestTooLarge, match="metadata_bytes"):
        await request.document(b" " * 600)


async def test_so_have_the_instances_that_they_describe(tmp_path: Path, threads: Executor) -> None:
    request = Request(tmp_path, threads, Limits(parts=3))
    await request.document(b"[{},{},{},{}]")

    with pytest.raises(RequestTooLarge, match="parts"):
        await request.finish()
    await request.intake.discard()


async def test_bulk_data_over_the_limit_are_refused_by_themselves(
    tmp_path: Path, threads: Executor
) -> None:
    request = Request(tmp_path, threads, Limits(instance_bytes=2000))
    await request.document(orjson.dumps([image()]))
    await request.bulk("spare", 3000, 500)
    await request.bulk("pixels", 16)

    stored, refused = await request.finish()

    assert isinstance(stored, Spooled)
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, InstanceTooLarge)


async def test_an_object_over_the_limit_is_refused_under_its_name(
    tmp_path: Path, threads: Executor
) -> None:
    request = Request(tmp_path, threads, Limits(instance_bytes=10_000))
    attributes = image(100, 100)
    await request.document(orjson.dumps([attributes]))
    await request.bulk("pixels", 10_000)

    (refused,) = await request.finish()

    assert isinstance(refused, Refused)
    assert isinstance(refused.error, InstanceTooLarge)
    assert refused.sop_instance_uid == attributes["00080018"]["Value"][0]


async def test_what_is_no_json_is_a_bad_request(tmp_path: Path, threads: Executor) -> None:
    request = Request(tmp_path, threads, Limits())
    await request.document(b"[" * 5000)

    with pytest.raises(BadRequest):
        await request.finish()


async def test_requests_do_not_mix(tmp_path: Path, threads: Executor) -> None:
    """Two at once, with the same name for different bulk data."""
    requests = [Request(tmp_path, threads, Limits(spool_memory_bytes=10)) for _ in range(2)]
    sizes = (4, 9)
    for request, side in zip(requests, sizes, strict=True):
        await request.document(orjson.dumps([image(side, side)]))
        await request.bulk("pixels", side * side, 7)

    results = await asyncio.gather(*(request.finish() for request in requests))

    for (found,), side in zip(results, sizes, strict=True):
        assert isinstance(found, Spooled)
        assert dcmread(found.path).Rows == side
