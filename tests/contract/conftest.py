"""An S3-compatible server for the tests of the blob store."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.server import free_port

ACCESS_KEY = "access-key-of-the-tests"
SECRET_KEY = "secret-key-of-the-tests"  # noqa: S105  of a server that lives as long as the tests
START_SECONDS = 60
LISTED = re.compile(r"<Key>(.*?)</Key>.*?<ETag>\"(.*?)\"</ETag>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where it listens."""

    endpoint: str

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        httpx.put(f"{self.endpoint}/{name}", trust_env=False).raise_for_status()

    def listing(self, bucket: str) -> dict[str, str]:
        """Return key → entity tag of each object, without the code that is tested."""
        answer = httpx.get(f"{self.endpoint}/{bucket}?list-type=2", trust_env=False)
        return dict(LISTED.findall(answer.raise_for_status().text))


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    """Run moto in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        server = S3Server(f"http://127.0.0.1:{port}")
        try:
            _wait(server, process)
            yield server
        finally:
            process.terminate()


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Return the server; the environment is set so that `s3://…` leads to it."""
    point_to(s3_process.endpoint, monkeypatch)
    return s3_process


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that an operator sets."""
    for name, value in {
        "AWS_ENDPOINT": endpoint,
        "AWS_REGION": "garage",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)


def _wait(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(server.endpoint, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("The S3 server did not start.")
