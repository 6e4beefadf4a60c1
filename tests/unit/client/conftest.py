"""A small DICOMweb archive on a real socket, with faults that can be switched on."""

import asyncio
import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class Archive:
    """What the test archive holds, and how it should misbehave."""

    url: str = ""
    stored: dict[str, bytes] = field(default_factory=dict)
    requests: list[int] = field(default_factory=list)  # parts of each STOW request
    refuse: dict[str, int] = field(default_factory=dict)  # SOP Instance UID -> failure reason
    refuse_bytes: dict[bytes, int] = field(default_factory=dict)
    warn: dict[str, int] = field(default_factory=dict)
    answers: list[Response] = field(default_factory=list)  # given instead of storing, in turn
    after_store: Callable[[], None] = lambda: None
    largest_request: int = 1 << 40

    async def store(self, request: Request) -> Response:
        body = await request.body()
        boundary = request.headers["content-type"].partition("boundary=")[2].encode()
        parts = [part.partition(b"\r\n\r\n") for part in body.split(b"--" + boundary)[1:-1]]
        self.requests.append(len(parts))
        if self.answers:
            return self.answers.pop(0)
        if len(body) > self.largest_request:
            return Response(status_code=413)
        answer = self._store_all([content.removesuffix(b"\r\n") for _, _, content in parts])
        self.after_store()
        return answer

    def _store_all(self, contents: list[bytes]) -> Response:
        good, bad, other = [], [], []
        for content in contents:
            uid = _uid_of(content)
            if uid is None:
                other.append({"00081197": {"vr": "US", "Value": [0xC000]}})
                continue
            item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
            reason = self.refuse_bytes.get(content, self.refuse.get(uid))
            if reason is None and self.stored.get(uid, content) != content:
                reason = 0x0111
            if reason is not None:
                bad.append(item | {"00081197": {"vr": "US", "Value": [reason]}})
                continue
            self.stored[uid] = content
            if uid in self.warn:
                item["00081196"] = {"vr": "US", "Value": [self.warn[uid]]}
            good.append(item)
        body = {"00081199": good, "00081198": bad, "0008119A": other}
        status = 409 if not good else 202 if bad or other or self.warn else 200
        answer = {tag: {"vr": "SQ", "Value": items} for tag, items in body.items() if items}
        return JSONResponse(answer, status, media_type="application/dicom+json")


def _uid_of(content: bytes) -> str | None:
    try:
        data_set = dcmread(io.BytesIO(content), stop_before_pixels=True)
    except InvalidDicomError:
        return None
    return str(data_set.get("SOPInstanceUID", "")) or None


async def _nothing_found(request: Request) -> Response:
    assert request.query_params["limit"] == "1"
    return Response(status_code=204)


@contextlib.contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve an application on a free port for the time of the block."""
    # said to be TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
        )
        loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=lambda: loop.run_until_complete(server.serve(sockets=[listener]))
        )
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()
        loop.close()


@pytest.fixture
def archive() -> Iterator[Archive]:
    held = Archive()
    routes = [
        Route("/dicom-web/studies", held.store, methods=["POST"]),
        Route("/dicom-web/studies", _nothing_found),
    ]
    with serving(Starlette(routes=routes)) as url:
        held.url = f"{url}/dicom-web"
        yield held


@pytest.fixture
def write_instance(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small DICOM file."""

    def write(name: str, *, uid: str | None = None, comment: str = "", size: int = 0) -> Path:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = UID(uid) if uid else generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data_set = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
        data_set.SOPClassUID = CTImageStorage
        data_set.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        data_set.StudyInstanceUID = "1.2.3"
        data_set.SeriesInstanceUID = "1.2.3.4"
        data_set.ImageComments = comment
        data_set.PixelData = b"\0" * size
        data_set["PixelData"].VR = "OB"
        data_set.save_as(path, enforce_file_format=True)
        return path

    return write
