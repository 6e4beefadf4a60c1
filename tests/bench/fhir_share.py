"""Measures how much of the time of a STOW is spent waiting for the FHIR server: single files and batches.

    python -m tests.bench.fhir_share http://127.0.0.1:9200 http://127.0.0.1:8081/fhir

Starts a Coregister of its own that writes down each call of the FHIR server. A request's share is the part of
its time in which a call about its study was under way; calls off the answer's path, such as those that write
a Provenance, are none.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydicom.uid import generate_uid
from rich.console import Console
from rich.table import Table

from tests.bench.stow import CONTENT_TYPE, bodies, encoded, template
from tests.bench.timed_server import CALLS
from tests.server import Server

ON_THE_PATH = {"ImagingStudy", "Patient"}
SIDE = 64  # small files: what does not depend on their size weighs most


@dataclass(frozen=True, slots=True)
class Scenario:
    """So many requests of so many files each, by so many clients."""

    name: str
    requests: int
    per_request: int = 1
    clients: int = 1
    new_studies: bool = False  # each request begins one


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in seconds of the clock that all processes share."""

    begun: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended - self.begun

    def within(self, other: "Span") -> "Span | None":
        """Return what lies within another span, if anything does."""
        begun, ended = max(self.begun, other.begun), min(self.ended, other.ended)
        return Span(begun, ended) if begun < ended else None


SCENARIOS = (
    Scenario("1 file into a study that exists", 100),
    Scenario("1 file, a new study each", 60, new_studies=True),
    Scenario("25 files into a study that exists", 30, 25),
    Scenario("25 files, a new study each", 30, 25, new_studies=True),
    Scenario("1 file, 8 clients, one study", 200, clients=8),
)


def work_of(scenario: Scenario) -> list[bytes]:
    """Return the request bodies; the first begins the study that the others go into."""
    dataset = template(SIDE)
    files = []
    for number in range(scenario.requests + 1):
        if number == 0 or scenario.new_studies:
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
            dataset.PatientID = f"BENCH-{dataset.StudyInstanceUID[-12:]}"
        files += [encoded(dataset, each) for each in range(scenario.per_request)]
    return [body for _, body in bodies(files, scenario.per_request)]


async def send(base: str, scenario: Scenario) -> list[Span]:
    """Send everything and return when each request but the first was under way."""
    first, *others = work_of(scenario)
    waiting = iter(others)
    spans: list[Span] = []

    async def client(http: httpx.AsyncClient) -> None:
        for body in waiting:
            begun = time.monotonic()
            await _stored(http, body)
            spans.append(Span(begun, time.monotonic()))

    async with httpx.AsyncClient(base_url=base, timeout=120, trust_env=False) as http:
        await _stored(http, first)
        await asyncio.gather(*(client(http) for _ in range(scenario.clients)))
    return spans


async def _stored(http: httpx.AsyncClient, body: bytes) -> None:
    headers = {"Content-Type": CONTENT_TYPE, "Accept": "application/dicom+json"}
    answer = await http.post("/studies", content=body, headers=headers)
    if answer.status_code not in (httpx.codes.OK, httpx.codes.ACCEPTED):
        raise RuntimeError(f"{answer.status_code}: {answer.text[:200]}")


def calls_of(path: Path) -> Iterator[Span]:
    """Yield the calls that an answer waits for."""
    for line in path.read_text("utf-8").splitlines():
        call = json.loads(line)
        if ON_THE_PATH & set(call["about"]):
            yield Span(call["begun"], call["ended"])


def covered(request: Span, calls: Sequence[Span]) -> tuple[float, int]:
    """Return how much of a request's time calls were under way, and how many began in it."""
    seconds, until = 0.0, request.begun
    for call in sorted(calls, key=lambda each: each.begun):
        part = call.within(Span(until, request.ended)) if until < request.ended else None
        if part is not None:
            seconds, until = seconds + part.seconds, part.ended
    return seconds, sum(request.begun <= each.begun < request.ended for each in calls)


def row(scenario: Scenario, requests: Sequence[Span], calls: Sequence[Span]) -> tuple[str, ...]:
    """Return the figures of a scenario: medians in milliseconds, and the share of the whole time."""
    waited = [covered(request, calls)[0] for request in requests]
    begun, ended = min(r.begun for r in requests), max(r.ended for r in requests)
    count = sum(begun <= call.begun < ended for call in calls)
    whole = sum(request.seconds for request in requests)
    return (
        scenario.name,
        f"{statistics.median(request.seconds for request in requests) * 1000:.1f}",
        f"{statistics.median(waited) * 1000:.1f}",
        f"{sum(waited) / whole:.0%}",
        f"{count / len(requests):.2f}",
        f"{whole / len(requests) / scenario.per_request * 1000:.1f}",
    )


def main() -> None:
    """Run every scenario and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("elasticsearch_url")
    parser.add_argument("fhir_url")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        calls = Path(folder, "calls.jsonl")
        server = Server(
            Path(folder), asked.elasticsearch_url, asked.fhir_url,
            settings={CALLS: str(calls)}, module="tests.bench.timed_server",
        )  # fmt: skip
        server.start()
        table = Table(
            "STOW of", "ms", "of it FHIR, ms", "share", "FHIR calls a request", "ms a file"
        )
        try:
            asyncio.run(send(server.base, Scenario("to warm up", 20)))
            for scenario in SCENARIOS:
                requests = asyncio.run(send(server.base, scenario))
                table.add_row(*row(scenario, requests, list(calls_of(calls))))
        finally:
            server.discard()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
