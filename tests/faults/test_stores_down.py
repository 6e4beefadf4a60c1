"""A store that is down, slow or full: 503 with Retry-After in time, and sending again is safe (P2)."""

import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.faults.proxy import Mode, Proxy
from tests.server import STOPPED, Server, store, values

pytestmark = pytest.mark.stack

STORE_TIMEOUT, BUDGET = 1.5, 6.0  # seconds that one call, and one STOW, may take
MARGIN = 5.0  # for a busy machine
SETTINGS = {
    "COREGISTER_STORE_TIMEOUT_SECONDS": str(STORE_TIMEOUT),
    "COREGISTER_LIMIT_STORE_SECONDS": str(BUDGET),
}


@pytest.fixture(scope="module")
def server(
    stack: Stack, proxies: dict[str, Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A Coregister whose stores can be made to fail.

    When all tests have run it is started anew, clears up what they left, and everything agrees.
    """
    running = Server(
        tmp_path_factory.mktemp("down"), proxies["elasticsearch"].url, proxies["fhir"].url, SETTINGS
    )
    running.start()
    try:
        yield running
        assert running.stop() in STOPPED
        running.start()
        archive = Archive(
            stack.elasticsearch_url, running.index_prefix, stack.fhir_url, running.blobs
        )
        assert_agreement(archive)
        assert running.stop() in STOPPED
    finally:
        for proxy in proxies.values():
            proxy.become(Mode.PASS)
        running.discard()


@pytest.fixture
def archive(stack: Stack, server: Server) -> Archive:
    """The stores, seen past the proxies."""
    return Archive(stack.elasticsearch_url, server.index_prefix, stack.fhir_url, server.blobs)


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        yield http


def assert_told_to_come_again(answer: httpx.Response) -> None:
    """Assert that the answer is 503 with Retry-After and a reason."""
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]


def wait_until_used_again(client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    ready = str(client.base_url).replace("/dicom-web/", "/health/ready")
    while client.get(ready).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("which", ["elasticsearch", "fhir"])
@pytest.mark.parametrize(
    ("mode", "after"),
    [(Mode.REFUSE, 0), (Mode.BLACK_HOLE, 0), (Mode.RESET, 0), (Mode.RESET, 90)],
    ids=["refuses", "hangs", "resets", "breaks off its answer"],
)
def test_a_store_that_fails_means_503_and_a_safe_second_try(
    server: Server,
    client: httpx.Client,
    archive: Archive,
    proxies: dict[str, Proxy],
    which: str,
    mode: Mode,
    after: int,
) -> None:
    known, new = generate_uid(), generate_uid()
    first = make_instance(StudyInstanceUID=known)
    assert store(client, first).status_code == 200
    files = [make_instance(StudyInstanceUID=uid) for uid in (known, new, new)]

    proxies[which].become(mode, after=after)
    begun = time.monotonic()
    answer = store(client, *files)
    took = time.monotonic() - begun
    ready = client.get(f"{server.root}/health/ready")
    live = client.get(f"{server.root}/health/live")
    proxies[which].become(Mode.PASS)

    assert_told_to_come_again(answer)
    assert took < BUDGET + MARGIN
    assert ready.status_code == 503
    states = {name: each["status"] for name, each in ready.json()["stores"].items()}
    assert [name for name, state in states.items() if state != "ok"] == [which]
    assert live.status_code == 200
    wait_until_used_again(client)
    if mode is not Mode.RESET:  # there the store may have done what it did not get to tell
        assert client.get("/studies", params={"StudyInstanceUID": new}).status_code == 204
        assert archive.imaging_study(new) is None
        (row,) = client.get("/studies", params={"StudyInstanceUID": known}).json()
        assert values(row, "00201208") == [1]

    again = store(client, *files)
    assert again.status_code == 200
    for study in (known, new):
        (row,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
        assert values(row, "00201208") == [2]
        resource = archive.imaging_study(study)
        assert resource is not None
        assert resource["numberOfInstances"] == 2


@pytest.mark.parametrize("which", ["elasticsearch", "fhir"])
def test_a_store_that_is_merely_slow_is_waited_for(
    client: httpx.Client, proxies: dict[str, Proxy], which: str
) -> None:
    proxies[which].become(Mode.SLOW)
    answer = store(client, make_instance())
    proxies[which].become(Mode.PASS)
    assert answer.status_code == 200


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.BLACK_HOLE, Mode.RESET])
def test_reading_without_the_index_means_503(
    client: httpx.Client, proxies: dict[str, Proxy], mode: Mode
) -> None:
    study = generate_uid()
    assert store(client, make_instance(StudyInstanceUID=study)).status_code == 200
    proxies["elasticsearch"].become(mode)
    answers = [
        client.get("/studies"),
        client.get("/instances", params={"PatientID": "x"}),
        client.get(f"/studies/{study}"),
        client.get(f"/studies/{study}/metadata"),
    ]
    proxies["elasticsearch"].become(Mode.PASS)
    for answer in answers:
        assert_told_to_come_again(answer)
    assert client.get(f"/studies/{study}/metadata").status_code == 200


def test_reading_does_not_need_the_fhir_server(
    client: httpx.Client, proxies: dict[str, Proxy]
) -> None:
    study = generate_uid()
    assert store(client, make_instance(StudyInstanceUID=study)).status_code == 200
    proxies["fhir"].become(Mode.REFUSE)
    answers = [client.get(f"/studies/{study}"), client.get(f"/studies/{study}/metadata")]
    proxies["fhir"].become(Mode.PASS)
    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_server_that_starts_before_its_stores_waits_for_them(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    proxy = Proxy(stack.elasticsearch_url)
    proxy.become(Mode.REFUSE)
    early = Server(tmp_path_factory.mktemp("early"), proxy.url, stack.fhir_url)
    try:
        early.start(ready=False)
        time.sleep(3)
        assert early.running
        proxy.become(Mode.PASS)
        early.wait_until_ready()
    finally:
        early.discard()
        proxy.close()


# ---- the disk


def test_a_blob_folder_that_went_away_means_503(
    server: Server, client: httpx.Client, archive: Archive
) -> None:
    study = generate_uid()
    data = make_instance(StudyInstanceUID=study)
    elsewhere = server.blobs.with_name("unmounted")
    server.blobs.rename(elsewhere)
    answer = store(client, data)
    ready = client.get(f"{server.root}/health/ready")
    elsewhere.rename(server.blobs)

    assert_told_to_come_again(answer)
    assert ready.json()["stores"]["blobs"]["status"] == "unavailable"
    assert archive.imaging_study(study) is None
    assert store(client, data).status_code == 200


@pytest.mark.parametrize("kibibytes", [3_000, 100])
def test_a_disk_that_takes_no_more_means_503(
    server: Server, client: httpx.Client, archive: Archive, kibibytes: int
) -> None:
    """A limit on file sizes makes each write fail, while the part comes in or when it is complete."""
    study = generate_uid()
    data = make_instance(StudyInstanceUID=study, PixelData=bytes(kibibytes * 1024))
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (64 * 1024, before[1]))
    answer = store(client, make_instance(StudyInstanceUID=study), data)
    process.rlimit(psutil.RLIMIT_FSIZE, before)

    assert_told_to_come_again(answer)
    assert server.spooled() == []
    assert client.get("/studies", params={"StudyInstanceUID": study}).status_code == 204
    assert archive.imaging_study(study) is None
    assert store(client, data).status_code == 200


def test_a_nearly_full_disk_means_503_before_anything_is_read(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    full = Server(
        tmp_path_factory.mktemp("full"),
        stack.elasticsearch_url,
        stack.fhir_url,
        {"COREGISTER_LIMIT_FREE_DISK_BYTES": str(2**60)},
    )
    try:
        full.start()
        with httpx.Client(base_url=full.base, timeout=60, trust_env=False) as http:
            answer = store(http, make_instance())
            assert_told_to_come_again(answer)
            assert "free_disk_bytes" in answer.json()["detail"]
            assert http.get("/studies").status_code == 204
    finally:
        full.discard()
