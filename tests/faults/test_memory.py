"""Memory stays flat however large a request is: parts are spooled, hashed and read in place."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.server import Server, store, values

MIB = 1024 * 1024
REQUEST_MIB = int(os.environ.get("COREGISTER_TEST_REQUEST_MIB", "300"))
GROWTH = 100 * MIB
PIECE = 256 * 1024
INSTANCES = max(500, 2 * REQUEST_MIB)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@dataclass
class Peak:
    """Samples the memory of a server in the background."""

    server: Server
    before: int = 0
    highest: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.before = self.highest = self.server.resident_bytes
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()
        print(f"\n{self.before / MIB:.0f} MiB before, {self.growth / MIB:.0f} MiB more at most")  # noqa: T201

    def _watch(self) -> None:
        while not self.over.wait(0.02):
            self.highest = max(self.highest, self.server.resident_bytes)

    @property
    def growth(self) -> int:
        return self.highest - self.before


@pytest.fixture(scope="module")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("memory"), stack.elasticsearch_url, stack.fhir_url)
    running.start()
    with httpx.Client(base_url=running.base, timeout=60, trust_env=False) as http:
        for _ in range(5):  # whatever is loaded with the first request is no growth
            assert store(http, make_instance()).status_code == httpx.codes.OK
    yield running
    running.discard()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, timeout=300, trust_env=False) as http:
        yield http


def send(client: httpx.Client, instances: Iterator[tuple[bytes, int]]) -> httpx.Response:
    """Send instances that are a head and so many zeros, without holding them."""

    def body() -> Iterator[bytes]:
        for head, zeros in instances:
            yield b"--xyz-42\r\nContent-Type: application/dicom\r\n\r\n" + head
            whole, rest = divmod(zeros, PIECE)
            for _ in range(whole):
                yield bytes(PIECE)
            yield bytes(rest) + b"\r\n"
        yield b"--xyz-42--\r\n"

    kind = 'multipart/related; type="application/dicom"; boundary=xyz-42'
    return client.post("/studies", headers={"Content-Type": kind}, content=body())


def headed(study: str, series: str, size: int) -> tuple[bytes, int]:
    """Return the head of an instance with so many bytes of pixels, and their number."""
    frames = size // (256 * 256 * 2)
    head = make_instance(
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        Rows=256,
        Columns=256,
        NumberOfFrames=str(frames),
        PixelData=b"",
    )
    length = frames * 256 * 256 * 2
    return head[:-4] + length.to_bytes(4, "little"), length


def test_one_huge_instance_does_not_fill_the_memory(server: Server, client: httpx.Client) -> None:
    study, series = generate_uid(), generate_uid()
    size = REQUEST_MIB * MIB
    with Peak(server) as storing:
        answer = send(client, iter([headed(study, series, size)]))
    assert answer.status_code == httpx.codes.OK, answer.text
    (item,) = values(answer.json(), "00081199")
    (url,) = values(item, "00081190")
    received = 0
    with (
        Peak(server) as reading,
        client.stream("GET", url, headers={"Accept": "application/dicom"}) as whole,
    ):
        for chunk in whole.iter_bytes():
            received += len(chunk)

    assert received > size
    assert storing.growth < GROWTH
    assert reading.growth < GROWTH


def test_a_huge_request_of_many_instances_does_not_fill_the_memory(
    server: Server, client: httpx.Client
) -> None:
    study, series = generate_uid(), generate_uid()
    size = REQUEST_MIB * MIB // INSTANCES
    with Peak(server) as storing:
        answer = send(client, (headed(study, series, size) for _ in range(INSTANCES)))
    assert answer.status_code == httpx.codes.OK, answer.text
    assert len(values(answer.json(), "00081199")) == INSTANCES
    received = 0
    with Peak(server) as reading, client.stream("GET", f"/studies/{study}") as whole:
        for chunk in whole.iter_bytes():
            received += len(chunk)

    assert received > REQUEST_MIB * MIB * 0.8
    assert storing.growth < GROWTH
    assert reading.growth < GROWTH
    archive = Archive(server.elasticsearch_url, server.index_prefix, server.fhir_url, server.blobs)
    assert_agreement(archive, studies=[study])
