"""Measures storing: how many files a second a DICOMweb server takes in, beside a peer in the same run.

    python -m tests.bench.stow http://127.0.0.1:8080/dicom-web --peer http://127.0.0.1:18042/dicom-web

Every answer is checked; a file counts only when the server named it as stored. Bodies are made before the clock
starts. Scenarios take turns between the servers, so that both see the same noise of the machine.
"""

import argparse
import asyncio
import io
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rich.console import Console
from rich.table import Table

BOUNDARY = "coregister-bench"
CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
PER_STUDY = 50


@dataclass(frozen=True, slots=True)
class Scenario:
    """So many files, sent by so many clients, so many in a request."""

    name: str
    files: int
    clients: int
    per_request: int = 1
    one_study: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What one server made of a scenario."""

    files_per_second: float
    median_milliseconds: float
    slowest_milliseconds: float
    rates: tuple[float, ...]  # files a second, in tenths of the run


SCENARIOS = (
    Scenario("single, 1 client", 300, 1),
    Scenario("single, 8 clients", 600, 8),
    Scenario("single, 32 clients", 1_200, 32),
    Scenario("25 a request, 1 client", 1_000, 1, 25),
    Scenario("25 a request, 8 clients", 3_000, 8, 25),
    Scenario("single into one study, 8 clients", 1_000, 8, one_study=True),
)


def template(size: int) -> FileDataset:
    """Return a CT image of `size` by `size` pixels, with a header as scanners write it."""
    dataset = pydicom.dcmread(str(pydicom.data.get_testdata_file("CT_small.dcm")))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pixels = np.random.default_rng(1).integers(0, 4095, (size, size), dtype=np.uint16)
    dataset.file_meta = meta
    dataset.Rows = dataset.Columns = size
    dataset.PixelData = pixels.tobytes()
    return dataset


def instances(scenario: Scenario, size: int) -> Iterator[bytes]:
    """Yield the files of a scenario: studies of 50, or one study."""
    dataset = template(size)
    for number in range(scenario.files):
        if number == 0 or (not scenario.one_study and number % PER_STUDY == 0):
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
            dataset.PatientID = f"BENCH-{dataset.StudyInstanceUID[-8:]}"
        yield encoded(dataset, number)


def encoded(dataset: Dataset, number: int) -> bytes:
    """Return the data set as a new instance."""
    dataset.InstanceNumber = number + 1
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def bodies(files: Sequence[bytes], per_request: int) -> list[tuple[int, bytes]]:
    """Return request bodies and how many files each has."""
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"--{BOUNDARY}--\r\n".encode()
    groups = [files[i : i + per_request] for i in range(0, len(files), per_request)]
    return [(len(g), b"".join(head + file + b"\r\n" for file in g) + tail) for g in groups]


async def measure(base: str, scenario: Scenario, size: int) -> Result:
    """Send everything; raise where a server does not name a file as stored."""
    work = bodies(list(instances(scenario, size)), scenario.per_request)
    waiting = iter(work)
    done: list[tuple[float, float, int]] = []  # when, how long, how many files

    async def client(http: httpx.AsyncClient) -> None:
        for count, body in waiting:
            sent = time.perf_counter()
            answer = await http.post(
                f"{base}/studies",
                content=body,
                headers={"Content-Type": CONTENT_TYPE, "Accept": "application/dicom+json"},
            )
            now = time.perf_counter()
            stored = answer.json().get("00081199", {}).get("Value", [])
            if answer.status_code not in (200, 202) or len(stored) != count:
                raise RuntimeError(f"{answer.status_code}: {len(stored)} of {count} stored")
            done.append((now, now - sent, count))

    async with httpx.AsyncClient(timeout=120, trust_env=False) as http:
        await http.get(f"{base}/studies?limit=1")
        begun = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(scenario.clients)))
    return summary(begun, done)


def summary(begun: float, done: Sequence[tuple[float, float, int]]) -> Result:
    """Return the figures of one run."""
    took = [seconds * 1000 for _, seconds, _ in done]
    files = sum(count for _, _, count in done)
    tenth = max(len(done) // 10, 1)
    edges = [begun, *(done[i][0] for i in range(tenth - 1, len(done), tenth))]
    counts = [sum(c for _, _, c in done[i : i + tenth]) for i in range(0, len(done), tenth)]
    rates = [
        count / (after - before)
        for count, before, after in zip(counts, edges, edges[1:], strict=False)
    ]
    return Result(files / (done[-1][0] - begun), statistics.median(took), max(took), tuple(rates))


def show(console: Console, results: dict[str, list[tuple[str, Result]]]) -> None:
    """Print a table: a row for each scenario and server."""
    table = Table("scenario", "server", "files/s", "median ms", "slowest ms", "last/first tenth")
    for scenario, rows in results.items():
        for server, result in rows:
            table.add_row(
                scenario,
                server,
                f"{result.files_per_second:.0f}",
                f"{result.median_milliseconds:.0f}",
                f"{result.slowest_milliseconds:.0f}",
                f"{result.rates[-1] / result.rates[0]:.2f}",
            )
    console.print(table)


def main() -> None:
    """Run the scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="DICOMweb base URL of the server to measure")
    parser.add_argument("--peer", help="another server, measured in turn")
    parser.add_argument("--rounds", type=int, default=1, help="how often; the best run counts")
    parser.add_argument("--size", type=int, default=64, help="rows and columns of an image")
    parser.add_argument("--only", help="scenarios whose name contains this")
    arguments = parser.parse_args()
    servers = {"coregister": arguments.base}
    if arguments.peer:
        servers["peer"] = arguments.peer
    results: dict[str, list[tuple[str, Result]]] = {}
    for scenario in SCENARIOS:
        if arguments.only and arguments.only not in scenario.name:
            continue
        runs = [
            (name, asyncio.run(measure(base, scenario, arguments.size)))
            for _ in range(arguments.rounds)
            for name, base in servers.items()
        ]
        results[scenario.name] = [
            (name, max((r for n, r in runs if n == name), key=lambda r: r.files_per_second))
            for name in servers
        ]
    show(Console(), results)


if __name__ == "__main__":
    main()
