"""Sending files: batches, partial failures, servers that are busy, slow, or gone."""

import asyncio
import contextlib
import email.utils
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydicom.uid import generate_uid
from starlette.responses import Response

from app.client.sources import FileMeta, Source, inspect
from app.client.stow import Patience, Prepared, StowClient
from app.errors import ServerUnreachable
from tests.unit.client.conftest import Archive

Write = Callable[..., Path]


def prepared(path: Path) -> Prepared:
    status = path.stat()
    source = Source(path, status.st_size, status.st_mtime_ns)
    meta = inspect(source)
    return Prepared(source, meta if isinstance(meta, FileMeta) else FileMeta("", ""))


@contextlib.asynccontextmanager
async def client(
    url: str, pauses: list[float] | None = None, tries: int = 3
) -> AsyncIterator[StowClient]:
    noted: list[float] = [] if pauses is None else pauses

    async def sleep(seconds: float) -> None:
        noted.append(seconds)

    async with httpx.AsyncClient(trust_env=False) as http:
        yield StowClient(http, url, patience=Patience(tries=tries), sleep=sleep)


async def test_batch_is_stored_in_one_request_byte_for_byte(
    archive: Archive, write_instance: Write
) -> None:
    """A batch is one request, whether a file is smaller or larger than what is read at once."""
    files = [write_instance(f"{n}.dcm", size=n * 700_000) for n in range(3)]
    async with client(archive.url) as stow:
        outcomes = await stow.store([prepared(path) for path in files])

    assert [outcome.source.path for outcome in outcomes if outcome.stored] == files
    assert archive.requests == [3]
    assert sorted(archive.stored.values()) == sorted(path.read_bytes() for path in files)


async def test_some_refused_and_some_warned_are_told_apart(
    archive: Archive, write_instance: Write
) -> None:
    """PS3.18 §10.5.3: each instance has its own result."""
    files = [prepared(write_instance(f"{n}.dcm")) for n in range(3)]
    archive.refuse[files[0].meta.sop_instance_uid] = 0x0110
    archive.warn[files[1].meta.sop_instance_uid] = 0xB007
    async with client(archive.url) as stow:
        refused, warned, stored = await stow.store(files)

    assert str(refused.refusal) == "0110 the server failed to process it"
    assert warned.stored
    assert str(warned.warning) == "B007 the data set does not match its SOP Class"
    assert stored.stored
    assert stored.warning is None
    assert archive.requests == [3]


async def test_file_without_readable_uid_is_sent_alone_to_learn_its_fate(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    """OtherFailuresSequence names no instance, so the file is asked about by itself."""
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICX")
    async with client(archive.url) as stow:
        outcomes = await stow.store([prepared(write_instance("a.dcm")), prepared(broken)])

    assert [(o.source.path.name, o.stored) for o in outcomes] == [
        ("a.dcm", True),
        ("broken.dcm", False),
    ]
    assert archive.requests == [2, 1]


async def test_two_files_with_one_uid_get_each_their_own_answer(
    archive: Archive, write_instance: Write
) -> None:
    uid = generate_uid()
    files = [prepared(write_instance(f"{n}.dcm", uid=uid, comment=str(n))) for n in range(2)]
    async with client(archive.url) as stow:
        first, second = await stow.store(files)

    assert first.stored
    assert second.refusal is not None
    assert second.refusal.reason == 0x0111


@pytest.mark.parametrize(("retry_after", "pauses"), [("7", [7.0, 7.0]), (None, [0.5, 1.0])])
async def test_busy_server_is_asked_again_when_it_says(
    archive: Archive, write_instance: Write, retry_after: str | None, pauses: list[float]
) -> None:
    """RFC 9110 §10.2.3: Retry-After is honoured; without it the pauses grow."""
    headers = {"Retry-After": retry_after} if retry_after else {}
    archive.answers = [Response(status_code=503, headers=headers) for _ in range(2)]
    noted: list[float] = []
    async with client(archive.url, noted) as stow:
        (outcome,) = await stow.store([prepared(write_instance("a.dcm"))])

    assert outcome.stored
    assert noted == pauses


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [("soon", 0.5, 0.5), ("999", 30, 30), ("Mon, 01 Jan 2001 00:00:00 GMT", 0, 0)],
)
def test_odd_retry_after_is_taken_within_reason(
    retry_after: str, least: float, most: float
) -> None:
    """Nonsense is ignored, an hour is not waited for, and a moment gone by means now."""
    assert least <= Patience().pause_after(1, retry_after) <= most


def test_retry_after_may_be_a_moment() -> None:
    moment = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)

    assert 10 < Patience().pause_after(1, moment) <= 20


async def test_progress_is_told_while_a_file_is_sent(
    archive: Archive, write_instance: Write
) -> None:
    told: list[int] = []
    file = prepared(write_instance("large.dcm", size=3_000_000))
    async with client(archive.url) as stow:
        await stow.store([file], told.append)

    assert len(told) > 3
    assert sum(told) >= file.source.size


async def test_server_that_stays_busy_is_given_up(archive: Archive, write_instance: Write) -> None:
    archive.answers = [Response(status_code=503) for _ in range(3)]
    async with client(archive.url, tries=3) as stow:
        with pytest.raises(ServerUnreachable, match="503"):
            await stow.store([prepared(write_instance("a.dcm"))])

    assert len(archive.requests) == 3


async def test_request_too_large_is_split(archive: Archive, write_instance: Write) -> None:
    """A 413 for a batch says nothing about its files: each may still be small enough."""
    files = [prepared(write_instance(f"{n}.dcm", size=size)) for n, size in enumerate((10, 90_000))]
    archive.largest_request = 50_000
    async with client(archive.url) as stow:
        small, large = await stow.store(files)

    assert small.stored
    assert str(large.refusal).startswith("the server answers 413")


async def test_nobody_listens_is_told_with_the_address(write_instance: Write) -> None:
    async with client("http://127.0.0.1:9/dicom-web", tries=2) as stow:
        with pytest.raises(ServerUnreachable, match=r"Nobody answers at http://127\.0\.0\.1:9/"):
            await stow.store([prepared(write_instance("a.dcm"))])


async def test_address_that_is_no_dicomweb_is_told(archive: Archive) -> None:
    async with client(archive.url.replace("dicom-web", "elsewhere")) as stow:
        with pytest.raises(ServerUnreachable, match="answers 404: it is no DICOMweb service"):
            await stow.probe()


async def test_server_that_hangs_up_on_one_file_does_not_stop_the_others(
    write_instance: Write,
) -> None:
    """A connection that breaks for one file only is that file's outcome."""
    bad = prepared(write_instance("bad.dcm", comment="hang up"))
    good = prepared(write_instance("good.dcm"))

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(204)
        return httpx.Response(200, json={})

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if b"hang up" in await request.aread():
                raise httpx.RemoteProtocolError("gone")
            return handle(request)

    async def sleep(_: float) -> None:
        return

    async with httpx.AsyncClient(transport=Transport()) as http:
        stow = StowClient(http, "http://archive", patience=Patience(tries=2), sleep=sleep)
        first, second = await stow.store([bad, good])

    assert "connection breaks" in str(first.refusal)
    assert second.stored


async def test_connection_cut_midway_is_tried_again(
    archive: Archive, write_instance: Write
) -> None:
    """A real socket that closes in the middle of the body; the next try goes through."""
    cuts = 2
    port = int(archive.url.split(":")[2].split("/")[0])

    async def cut_or_pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal cuts
        head = await reader.readuntil(b"\r\n\r\n")
        if cuts:
            cuts -= 1
            await reader.read(1000)
            writer.transport.abort()
            return
        behind_reader, behind = await asyncio.open_connection("127.0.0.1", port)
        behind.write(head)
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        behind.write(await reader.readexactly(length))
        answer = await behind_reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.write(await behind_reader.read(65536))
        await writer.drain()
        for each in (writer, behind):
            each.close()

    async with await asyncio.start_server(cut_or_pass, "127.0.0.1", 0) as server:
        proxy = server.sockets[0].getsockname()[1]
        async with client(f"http://127.0.0.1:{proxy}/dicom-web", tries=4) as stow:
            (outcome,) = await stow.store([prepared(write_instance("a.dcm", size=3_000_000))])

    assert outcome.stored
    assert cuts == 0
    assert archive.stored[outcome.sop_instance_uid] == outcome.source.path.read_bytes()


async def test_file_that_shrank_is_refused_and_the_rest_is_stored(
    archive: Archive, write_instance: Write
) -> None:
    shrinking = prepared(write_instance("shrinking.dcm", size=1000))
    shrinking.source.path.write_bytes(shrinking.source.path.read_bytes()[:500])
    async with client(archive.url) as stow:
        first, second = await stow.store([shrinking, prepared(write_instance("a.dcm"))])

    assert str(first.refusal) == "became shorter while it was read"
    assert second.stored


async def test_cancelled_call_closes_its_file(archive: Archive, write_instance: Write) -> None:
    """Ctrl-C in the middle of a body leaves no open file (a ResourceWarning would fail the test)."""
    large = prepared(write_instance("large.dcm", size=30_000_000))
    async with client(archive.url) as stow:
        task = asyncio.create_task(stow.store([large]))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert archive.stored == {}
