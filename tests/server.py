"""Starts Coregister itself, as a user would, against the servers of the test stack."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

START_SECONDS = 60
STOPPED = (0, -signal.SIGTERM)  # uvicorn ends in order, and then by the signal that it was sent


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """One Coregister process and how to reach it."""

    folder: Path
    elasticsearch_url: str
    fhir_url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    index_prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")
    port: int = field(default_factory=free_port)
    module: str = "app.cli"  # what is run; a bench runs its own
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        """The DICOMweb base URL."""
        return f"{self.root}/dicom-web"

    @property
    def root(self) -> str:
        """The URL above the DICOMweb base."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Where the process writes its log."""
        return self.folder / "coregister.log"

    @property
    def blobs(self) -> Path:
        """The folder of the blob store."""
        return self.folder / "blobs"

    @property
    def running(self) -> bool:
        """Tell whether the process is alive."""
        return self.process is not None and self.process.poll() is None

    def start(self, *, ready: bool = True) -> None:
        """Start the process; with `ready`, return when it and every store answer."""
        own = {k: v for k, v in os.environ.items() if not k.startswith("COREGISTER_")}
        environment = {
            **own,
            "COREGISTER_PORT": str(self.port),
            "COREGISTER_ELASTICSEARCH_URL": self.elasticsearch_url,
            "COREGISTER_FHIR_URL": self.fhir_url,
            "COREGISTER_BLOBS": self.blobs.as_uri(),
            "COREGISTER_INDEX_PREFIX": self.index_prefix,
            "COREGISTER_WARM_UP": "false",
            "COREGISTER_SUBSCRIPTIONS": "off",  # they would stay when the process is gone
            **self.settings,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "serve"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        if ready:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when the process and every store answer."""
        deadline = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.root}/health/ready", timeout=10).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"Coregister did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> int:
        """Ask the process to end; return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def kill(self) -> None:
        """End the process as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def discard(self) -> None:
        """End the process if it still runs, and remove its indices."""
        if self.running:
            self.kill()
        drop_indices(self.elasticsearch_url, self.index_prefix)
        drop_subscriptions(self.fhir_url, self.root)

    @property
    def resident_bytes(self) -> int:
        """The memory that the process holds now."""
        assert self.process is not None
        size: int = psutil.Process(self.process.pid).memory_info().rss
        return size

    def spooled(self) -> list[Path]:
        """Return what lies in the spool."""
        return [path for path in (self.blobs / ".spool").iterdir() if path.is_file()]


def drop_indices(elasticsearch_url: str, prefix: str) -> None:
    """Remove every index of a prefix; wildcards are refused, so by name."""
    names: list[dict[str, Any]] = httpx.get(
        f"{elasticsearch_url}/_cat/indices/{prefix}-*?h=index&format=json", timeout=30
    ).json()
    if names:
        joined = ",".join(each["index"] for each in names)
        httpx.delete(f"{elasticsearch_url}/{joined}", timeout=30).raise_for_status()


def drop_subscriptions(fhir_url: str, root: str) -> None:
    """Remove the subscriptions that call an address: the FHIR server would try it again and again."""
    found = httpx.get(
        f"{fhir_url}/Subscription", params={"url:below": f"{root}/", "_elements": "id"}, timeout=30
    )
    for entry in found.json().get("entry", ()):
        httpx.delete(entry["fullUrl"], timeout=30)


def multipart(*parts: bytes, boundary: str = "xyz-42") -> tuple[dict[str, str], bytes]:
    """Return headers and body of a STOW request with these instances."""
    body = b"".join(
        b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (boundary.encode(), part)
        for part in parts
    )
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    return headers, body + b"--%b--\r\n" % boundary.encode()


def store(client: httpx.Client, *instances: bytes, path: str = "/studies") -> httpx.Response:
    """Send instances in one STOW request."""
    headers, body = multipart(*instances)
    return client.post(path, headers=headers, content=body)


def values(row: Mapping[str, Any], tag: str) -> list[Any]:
    """Return the values of an attribute of a DICOM JSON object."""
    found: list[Any] = row.get(tag, {}).get("Value", [])
    return found
