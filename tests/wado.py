"""What the tests of WADO have in common: files under UIDs of their own, and answers taken apart."""

from dataclasses import dataclass
from email.parser import BytesParser
from io import BytesIO
from pathlib import Path

import httpx
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import generate_uid

from tests.server import store

DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'


@dataclass(frozen=True)
class Stored:
    """A file of pydicom's under UIDs of this run."""

    data: bytes
    dataset: Dataset

    @property
    def study(self) -> str:
        return f"/studies/{self.dataset.StudyInstanceUID}"

    @property
    def series(self) -> str:
        return f"{self.study}/series/{self.dataset.SeriesInstanceUID}"

    @property
    def instance(self) -> str:
        return f"{self.series}/instances/{self.dataset.SOPInstanceUID}"

    @property
    def syntax(self) -> str:
        return str(self.dataset.file_meta.TransferSyntaxUID)

    @property
    def frames(self) -> list[bytes]:
        number = int(self.dataset.get("NumberOfFrames", 1) or 1)
        pixels = self.dataset.PixelData
        if self.dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return list(generate_frames(pixels, number_of_frames=number))
        size = self.dataset.Rows * self.dataset.Columns * self.dataset.BitsAllocated // 8
        size *= self.dataset.SamplesPerPixel
        return [pixels[n * size : (n + 1) * size] for n in range(number)]


def under_own_uids(name: str) -> Stored:
    path = get_testdata_file(name, download=False)
    assert path is not None
    dataset = pydicom.dcmread(Path(path))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientID = f"wado-{dataset.StudyInstanceUID[-10:]}"
    buffer = BytesIO()
    dataset.save_as(buffer)
    return Stored(buffer.getvalue(), pydicom.dcmread(BytesIO(buffer.getvalue())))


def parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """Return (Content-Type, bytes) of each part, taken apart by Python's own e-mail parser."""
    assert answer.status_code == 200, answer.text
    kind = answer.headers["Content-Type"]
    assert kind.startswith("multipart/related")
    message = BytesParser().parsebytes(
        b"Content-Type: %b\r\n\r\n%b" % (kind.encode(), answer.content)
    )
    assert message.is_multipart()
    boundary = message.get_boundary()
    assert boundary is not None
    sections = answer.content.split(b"\r\n--" + boundary.encode())
    assert sections[-1].strip() == b"--"
    found = []
    for section in sections[1:-1]:
        head, _, data = section.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = BytesParser().parsebytes(head + b"\r\n\r\n")
        assert int(headers["Content-Length"]) == len(data)
        found.append((headers["Content-Type"], data))
    return found


def get(client: httpx.Client, path: str, accept: str | None = None) -> httpx.Response:
    return client.get(path, headers={"Accept": accept or "*/*"})


@dataclass(frozen=True)
class Part:
    """One part of a multipart answer."""

    content_type: str
    location: str | None
    data: bytes


def sections(answer: httpx.Response) -> list[Part]:
    """Return the parts of an answer, whatever its status."""
    message = BytesParser().parsebytes(
        f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    )
    boundary = message.get_boundary()
    assert boundary is not None
    pieces = answer.content.split(b"\r\n--" + boundary.encode())
    assert pieces[-1].strip() == b"--"
    found = []
    for piece in pieces[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = BytesParser().parsebytes(head + b"\r\n\r\n")
        found.append(Part(headers["Content-Type"], headers["Content-Location"], data))
    return found


def stored_file(client: httpx.Client, name: str) -> Stored:
    """Store one of pydicom's files under UIDs of its own."""
    file = under_own_uids(name)
    assert store(client, file.data).status_code in (200, 202)
    return file
