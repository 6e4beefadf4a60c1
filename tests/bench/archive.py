"""Measures searching and retrieving in an archive of 10,000 and of 100,000 instances, beside a peer.

    python -m tests.bench.archive http://127.0.0.1:8080/dicom-web --peer http://127.0.0.1:18042/dicom-web

Both archives are filled with the same instances (tests/bench/replicas.py). Every answer is checked against
what the instances say; a query that answers wrong is reported as such, not timed. Servers take turns query by
query, so that both see the same noise of the machine.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from tests.bench.replicas import INSTANCES_OF_SERIES, PIXELS, SERIES_OF_STUDY, Replica, Replicas

BOUNDARY = "coregister-bench"
PER_REQUEST, AT_ONCE = 50, 8
LIMIT = 50
SAME_ROWS = 5  # where a small archive has fewer matches: so that the same answer is timed in both
JSON = {"Accept": "application/dicom+json"}
ANY_SYNTAX = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
OK, NO_CONTENT = 200, 204
OF_STUDY = SERIES_OF_STUDY * INSTANCES_OF_SERIES
LEVEL_UID = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}
PATIENCE_SECONDS = 300
KEPT_SECONDS = 1.0  # servers close connections that are not used
SLOW_SECONDS = 5.0  # after that no further request of a kind is sent

Matches = Callable[[Replica], bool]


@dataclass(frozen=True, slots=True)
class Ask:
    """One query: its path, its keys, and which instances it means."""

    path: str
    keys: Mapping[str, str]
    matches: Matches
    limit: int = LIMIT

    @property
    def url(self) -> str:
        """Return path and query string; `*` unescaped, as the peer wants it."""
        pairs = {**self.keys, "limit": str(self.limit)}
        return f"{self.path}?" + "&".join(
            f"{k}={quote(v, safe='*?-_.,')}" for k, v in pairs.items()
        )

    @property
    def level(self) -> str:
        """Return what its rows are."""
        return self.path.rsplit("/", 1)[-1]


Kind = Callable[[Replica], Ask]

SHAPES: Mapping[str, Kind] = {
    "studies by PatientID": lambda r: Ask(
        "/studies", {"PatientID": r.patient_id}, lambda x: x.patient_id == r.patient_id
    ),
    "studies by name*": lambda r: Ask(
        "/studies",
        {"PatientName": f"{r.patient_name[:4]}*"},
        lambda x: x.patient_name.startswith(r.patient_name[:4]),
    ),
    "studies by range of dates": lambda r: Ask(
        "/studies",
        {"StudyDate": f"{r.study_date[:4]}0101-{r.study_date[:4]}0331"},
        lambda x: f"{r.study_date[:4]}0101" <= x.study_date <= f"{r.study_date[:4]}0331",
    ),
    "studies by AccessionNumber": lambda r: Ask(
        "/studies", {"AccessionNumber": r.accession}, lambda x: x.accession == r.accession
    ),
    "studies by ModalitiesInStudy": lambda r: Ask(
        "/studies", {"ModalitiesInStudy": r.modality}, lambda x: x.modality == r.modality
    ),
    "all studies": lambda _: Ask("/studies", {}, lambda _: True),
    "series of a study": lambda r: Ask(
        f"/studies/{r.study}/series", {}, lambda x: x.study == r.study
    ),
    "instances of a series": lambda r: Ask(
        f"/studies/{r.study}/series/{r.series}/instances", {}, lambda x: x.series == r.series
    ),
    "instance by UID": lambda r: Ask(
        "/instances", {"SOPInstanceUID": r.instance}, lambda x: x.instance == r.instance
    ),
    "instances by Modality": lambda r: Ask(
        "/instances", {"Modality": r.modality}, lambda x: x.modality == r.modality
    ),
}

ANY_TAG: Mapping[str, Kind] = {
    "studies by StationName": lambda r: Ask(
        "/studies",
        {"StationName": r.station},
        lambda x: x.station == r.station,
        limit=SAME_ROWS,
    ),
    "series by StationName": lambda r: Ask(
        "/series",
        {"StationName": r.station},
        lambda x: x.station == r.station,
        limit=SAME_ROWS,
    ),
    "instances by StationName": lambda r: Ask(
        "/instances",
        {"StationName": r.station},
        lambda x: x.station == r.station,
    ),
    "studies by KVP (a number)": lambda r: Ask(
        "/studies", {"KVP": r.kvp}, lambda x: x.kvp == r.kvp
    ),
    "studies by KVP and date": lambda r: Ask(
        "/studies",
        {"KVP": r.kvp, "StudyDate": r.study_date},
        lambda x: (x.kvp, x.study_date) == (r.kvp, r.study_date),
    ),
    "studies by *Station*": lambda r: Ask(
        "/studies",
        {"StationName": f"*{r.station[-3:]}"},
        lambda x: x.station.endswith(r.station[-3:]),
        limit=SAME_ROWS,
    ),
    "series by an item's attribute": lambda r: Ask(
        "/series",
        {"RequestAttributesSequence.ScheduledProcedureStepID": r.step},
        lambda x: x.step == r.step,
    ),
    "studies by an item's attribute": lambda r: Ask(
        "/studies",
        {"RequestAttributesSequence.ScheduledProcedureStepID": r.step},
        lambda x: x.step == r.step,
    ),
    "instances by a private attribute": lambda r: Ask(
        "/instances",
        {"00090010": "GEMS_IDEN_01", "00091002": "CT01", "StudyInstanceUID": r.study},
        lambda x: x.study == r.study and x.modality == "CT",
    ),
    "instances by InstanceNumber": lambda r: Ask(
        "/instances",
        {"InstanceNumber": str(r.number), "StationName": r.station},
        lambda x: (x.number, x.station) == (r.number, r.station),
        limit=SAME_ROWS,
    ),
}


@dataclass(slots=True)
class Timings:
    """What requests of one kind took, in seconds, and what was wrong with the others."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    mebibytes: float = 0.0

    def cell(self) -> str:
        """Return p50 and p95 in milliseconds."""
        if self.wrong:
            return f"wrong: {self.wrong[0]}"
        if not self.seconds:
            return "none"
        ordered = sorted(self.seconds)
        p95 = ordered[int(len(ordered) * 0.95) - 1] if len(ordered) > 1 else ordered[-1]
        text = f"{statistics.median(ordered) * 1e3:.1f} / {p95 * 1e3:.1f}"
        return text + (f" ({self.mebibytes / sum(ordered):.0f} MiB/s)" if self.mebibytes else "")


@dataclass(slots=True)
class Server:
    """One archive under test."""

    name: str
    base: str
    http: aiohttp.ClientSession
    timings: dict[tuple[int, str], Timings] = field(default_factory=dict)
    connection: HTTPConnection | None = None
    used: float = 0.0

    def get(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes, float]:
        """Return status, body, and the time until its last byte.

        Over a blocking connection that is kept: what is timed should be the server, and an event loop on this
        side takes as long for a quarter of a megabyte as the server does.
        """
        at = urlsplit(self.base)
        if self.connection is None or time.monotonic() - self.used > KEPT_SECONDS:
            self.connection = HTTPConnection(at.netloc, timeout=PATIENCE_SECONDS)
            self.connection.connect()
        self.used = time.monotonic()
        begun = time.perf_counter()
        self.connection.request("GET", at.path + path, headers=dict(headers))
        answer = self.connection.getresponse()
        body = answer.read()
        return answer.status, body, time.perf_counter() - begun

    async def store(self, files: Sequence[bytes]) -> None:
        """Store some instances in one request."""
        body = b"".join(
            b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (BOUNDARY.encode(), file)
            for file in files
        )
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
            **JSON,
        }
        data = body + f"--{BOUNDARY}--\r\n".encode()
        async with self.http.post(f"{self.base}/studies", data=data, headers=headers) as answer:
            stored = orjson.loads(await answer.read())["00081199"]["Value"]
            if len(stored) != len(files):
                raise SystemExit(f"{self.name} stored {len(stored)} of {len(files)} instances")


async def fill(server: Server, archive: Replicas, start: int, end: int) -> float:
    """Store the instances of these positions; return how many a second."""
    batches = iter(range(start, end, PER_REQUEST))

    async def work() -> None:
        for first in batches:
            positions = range(first, min(first + PER_REQUEST, end))
            await server.store([archive.file(archive.of(each)) for each in positions])

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return (end - start) / (time.perf_counter() - begun)


def search(servers: Sequence[Server], size: int, everything: Sequence[Replica], times: int) -> None:
    """Ask every kind of query so often of each server, in turns."""
    chance = random.Random(size)
    for name, kind in {**SHAPES, **ANY_TAG}.items():
        asks = [kind(chance.choice(everything)) for _ in range(times)]
        truths = [_truth(ask, everything) for ask in asks]
        for server in servers:
            server.timings[size, name] = Timings()
            _ask(server, asks[0], truths[0], Timings())  # not counted
        for ask, truth in zip(asks, truths, strict=True):
            for server in servers:
                timings = server.timings[size, name]
                if sum(timings.seconds) < SLOW_SECONDS and not timings.wrong:
                    _ask(server, ask, truth, timings)


def _truth(ask: Ask, everything: Iterable[Replica]) -> set[str]:
    attribute = {"studies": "study", "series": "series", "instances": "instance"}[ask.level]
    return {getattr(each, attribute) for each in everything if ask.matches(each)}


def _ask(server: Server, ask: Ask, truth: set[str], timings: Timings) -> None:
    status, body, seconds = server.get(ask.url, JSON)
    if status not in (OK, NO_CONTENT):
        timings.wrong.append(f"status {status}")
        return
    rows = orjson.loads(body) if body else []
    found = {row[LEVEL_UID[ask.level]]["Value"][0] for row in rows}
    if len(rows) != min(len(truth), ask.limit) or not found <= truth:
        timings.wrong.append(f"{len(rows)} rows of {min(len(truth), ask.limit)}")
    timings.seconds.append(seconds)


INSTANCE = "/studies/{0.study}/series/{0.series}/instances/{0.instance}"
FRAME = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
RETRIEVALS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "retrieve a study": ("/studies/{0.study}", ANY_SYNTAX),
    "metadata of a study": ("/studies/{0.study}/metadata", JSON),
    "metadata of a series": ("/studies/{0.study}/series/{0.series}/metadata", JSON),
    "retrieve an instance": (INSTANCE, ANY_SYNTAX),
    "retrieve a frame": (INSTANCE + "/frames/1", FRAME),
}


def retrieve(
    servers: Sequence[Server],
    size: int,
    everything: Sequence[Replica],
    times: int,
) -> None:
    """Retrieve studies, metadata, instances and frames, one after the other and checked."""
    chance = random.Random(size + 1)
    for name, (path, headers) in RETRIEVALS.items():
        for server in servers:
            server.timings[size, name] = Timings()
        for _ in range(times):
            one = chance.choice(everything)
            for server in servers:
                status, body, seconds = server.get(path.format(one), headers)
                timings = server.timings[size, name]
                timings.seconds.append(seconds)
                fault = f"status {status}" if status != OK else _fault(name, body)
                if fault:
                    timings.wrong.append(fault)
                if name == "retrieve a study":
                    timings.mebibytes += len(body) / 2**20


def _fault(name: str, body: bytes) -> str:
    """Return what is wrong with the body of an answer, or nothing."""
    match name:
        case "retrieve a study":
            found, expected = body.count(b"DICM"), OF_STUDY
        case "metadata of a study":
            found, expected = len(orjson.loads(body)), OF_STUDY
        case "metadata of a series":
            found, expected = len(orjson.loads(body)), INSTANCES_OF_SERIES
        case _:  # the pixel data of one instance; not the header, which a peer may write anew
            found, expected = body.count(PIXELS), 1
    return "" if found == expected else f"{found} of {expected}"


def report(servers: Sequence[Server], sizes: Sequence[int]) -> None:
    """Print what was measured: p50 / p95 in milliseconds, and how p50 grew."""
    console = Console(width=180)
    table = Table(title="p50 / p95 in ms")
    table.add_column("what")
    for server in servers:
        for size in sizes:
            table.add_column(f"{server.name} {size:,}")
        table.add_column("growth")
    for name in dict.fromkeys(name for _, name in servers[0].timings):
        cells = [name]
        for server in servers:
            cells += [server.timings[size, name].cell() for size in sizes]
            first, last = (server.timings[size, name].seconds for size in (sizes[0], sizes[-1]))
            grew = statistics.median(last) / statistics.median(first) if first and last else 0.0
            cells.append(f"{grew:.2f}" if grew else "")
        table.add_row(*cells)
    console.print(table)


async def measure(options: argparse.Namespace) -> None:
    """Fill, search and retrieve at each size."""
    archive, console = Replicas(options.run), Console()
    patience = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=patience, auto_decompress=True) as http:
        servers = [Server("coregister", options.url, http)]
        if options.peer:
            servers.append(Server("peer", options.peer, http))
        stored = 0
        for size in options.sizes:
            for server in servers:
                rate = await fill(server, archive, stored, size)
                console.print(f"{server.name}: {size - stored:,} stored, {rate:.0f} a second")
            stored = size
            everything = list(archive.all(size))
            search(servers, size, everything, options.times)
            retrieve(servers, size, everything, options.times)
        report(servers, options.sizes)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", help="DICOMweb base of Coregister")
    parser.add_argument("--peer", help="DICOMweb base of another server")
    parser.add_argument("--run", type=int, default=0, help="0 to 99: other UIDs for each")
    parser.add_argument("--times", type=int, default=40, help="requests of each kind")
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(each) for each in text.split(",")],
        default=[10_000, 100_000],
    )
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
