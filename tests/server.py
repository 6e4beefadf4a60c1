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

import httpx

START_SECONDS = 60


@dataclass
class Server:
    """One Coregister process and how to reach it."""

    folder: Path
    elasticsearch_url: str
    fhir_url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    index_prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        """The DICOMweb base URL."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

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

    def start(self, *, ready: bool = True) -> None:
        """Start the process; return when it answers (and, with `ready`, when every store does)."""
        environment = {
            **os.environ,
            "COREGISTER_PORT": str(self.port),
            "COREGISTER_ELASTICSEARCH_URL": self.elasticsearch_url,
            "COREGISTER_FHIR_URL": self.fhir_url,
            "COREGISTER_BLOBS": self.blobs.as_uri(),
            "COREGISTER_INDEX_PREFIX": self.index_prefix,
            "COREGISTER_WARM_UP": "false",
            **self.settings,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve"], env=environment, stdout=log, stderr=log
            )
        if ready:
            self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.root}/health/ready", timeout=5).status_code == 200:
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


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
