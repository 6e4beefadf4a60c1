"""A study that FHIR refuses fails alone, and leaves nothing (P1, P2)."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from app.fhir.ids import imaging_study_id
from tests.conftest import Stack
from tests.corpus import SENTINEL, make_instance
from tests.server import STOPPED, Server, store, values

pytestmark = pytest.mark.stack

PROCESSING_FAILURE = 0x0110
REFUSAL = (
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"business-rule",'
    b'"diagnostics":"%s is not welcome"}]}' % SENTINEL.encode()
)


class RefusingFhir(ThreadingHTTPServer):
    """A FHIR server that refuses some resources, as one with business rules does; the rest is HAPI."""

    def __init__(self, fhir_url: str) -> None:
        super().__init__(("127.0.0.1", 0), Door)
        self.behind = httpx.Client(base_url=fhir_url, timeout=60, trust_env=False)
        self.refused: set[str] = set()  # ids

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/fhir"


class Door(BaseHTTPRequestHandler):
    """Passes each request on, or says 422."""

    protocol_version = "HTTP/1.1"
    server: RefusingFhir

    def do_GET(self) -> None:
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if any(each.encode() in body for each in self.server.refused):
            self._answer(422, {"Content-Type": "application/fhir+json"}, REFUSAL)
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        path = self.path.removeprefix("/fhir")
        answer = self.server.behind.request(self.command, path, content=body, headers=headers)
        kept = ("content-type", "etag", "location")
        sent = {name: value for name, value in answer.headers.items() if name in kept}
        self._answer(answer.status_code, sent, answer.content)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def door(stack: Stack) -> Iterator[RefusingFhir]:
    with RefusingFhir(stack.fhir_url) as door:
        thread = threading.Thread(target=door.serve_forever)
        thread.start()
        yield door
        door.shutdown()
        thread.join()
        door.behind.close()


@pytest.fixture
def own(stack: Stack, door: RefusingFhir, tmp_path: Path) -> Iterator[Server]:
    """Run a Coregister of this test alone, behind the door."""
    running = Server(tmp_path, stack.elasticsearch_url, door.url)
    running.start()
    try:
        yield running
        assert running.stop() in STOPPED
    finally:
        running.discard()


def test_a_study_that_fhir_refuses_fails_and_its_neighbours_are_stored(
    own: Server, door: RefusingFhir
) -> None:
    refused, stored = generate_uid(), generate_uid()
    door.refused.add(imaging_study_id(refused))
    with httpx.Client(base_url=own.base, timeout=60, trust_env=False) as client:
        bad = make_instance(PatientID=generate_uid(), StudyInstanceUID=refused)
        good = make_instance(PatientID=generate_uid(), StudyInstanceUID=stored)

        answer = store(client, bad, good)

        body = answer.json()
        assert answer.status_code == 202
        (failure,) = body["00081198"]["Value"]
        assert values(failure, "00081197") == [PROCESSING_FAILURE]
        (comment,) = values(failure["00741048"]["Value"][0], "00000902")
        assert "FHIR" in comment
        assert SENTINEL not in answer.text
        assert [url.endswith(stored) for url in values(body, "00081190")] == [True]
        for study, found in ((refused, 204), (stored, 200)):
            assert client.get("/studies", params={"StudyInstanceUID": study}).status_code == found
            assert client.get(f"/studies/{study}").status_code == (200 if found == 200 else 404)
        assert not list(own.blobs.rglob(f"{refused}/**/*.dcm"))

        door.refused.clear()
        again = store(client, bad)

        assert again.status_code == 200
        row = client.get("/studies", params={"StudyInstanceUID": refused}).json()[0]
        assert values(row, "00201208") == [1]
