"""Measures how long a correction in FHIR takes to show in QIDO and in WADO.

    python -m tests.bench.corrections http://127.0.0.1:8080/dicom-web http://127.0.0.1:8081/fhir

From the moment that the FHIR server has answered the PUT of a Patient until the corrected name is found: of
studies, of instances, and in the metadata of each study. For patients of one study, one after the other, and
for one patient of many studies. How changes are heard of is up to the Coregister that is measured.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import httpx
from pydicom.uid import generate_uid
from rich.console import Console
from rich.table import Table

from tests.corpus import make_instance
from tests.server import store, values

SYSTEM = "urn:coregister:patient-id"
NAME = "00100010"
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 300
PER_REQUEST = 50


@dataclass(frozen=True, slots=True)
class Person:
    """A patient with some studies."""

    studies: int
    instances: int  # of each study
    number: str = field(default_factory=lambda: f"C{generate_uid()[-16:]}")
    uids: list[str] = field(default_factory=list)

    def files(self) -> Iterator[bytes]:
        """Yield the objects."""
        for _ in range(self.studies):
            study, series = generate_uid(), generate_uid()
            self.uids.append(study)
            for number in range(self.instances):
                yield make_instance(
                    StudyInstanceUID=study,
                    SeriesInstanceUID=series,
                    InstanceNumber=number,
                    PatientID=self.number,
                    PatientName="Before^Anna",
                )


@dataclass(slots=True)
class Bench:
    """The servers, and what was measured: seconds by what was waited for."""

    dicom: httpx.Client
    fhir: httpx.Client
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, person: Person, label: str, *, rounds: int) -> None:
        """Store a patient's studies, correct the name some times, and note how long each took."""
        files = list(person.files())
        for start in range(0, len(files), PER_REQUEST):
            store(self.dicom, *files[start : start + PER_REQUEST]).raise_for_status()
        for number in range(rounds):
            name = f"After{number}^Anna"
            began = self._correct(person, name)
            total = person.studies * person.instances
            waits: dict[str, Callable[[], bool]] = {
                "studies in QIDO": partial(self._count, person, "studies", name, person.studies),
                "instances in QIDO": partial(self._count, person, "instances", name, total),
                "metadata in WADO": partial(self._all_shown, person, name),
            }
            for what, true in waits.items():
                seconds = _until(true, began)
                self.seconds.setdefault(f"{label}: {what}", []).append(seconds)

    def _correct(self, person: Person, name: str) -> float:
        found = self.fhir.get(
            "/Patient",
            params={"identifier": f"{SYSTEM}|{person.number}"},
            headers={"Cache-Control": "no-cache"},
        ).json()
        patient = found["entry"][0]["resource"]
        family, given = name.split("^")
        patient["name"] = [{"use": "usual", "family": family, "given": [given]}]
        self.fhir.put(f"/Patient/{patient['id']}", json=patient).raise_for_status()
        return time.monotonic()

    def _count(self, person: Person, level: str, name: str, count: int) -> bool:
        answer = self.dicom.get(
            f"/{level}",
            params={"PatientID": person.number, "PatientName": name, "limit": count},
        )
        rows = answer.json() if answer.status_code == httpx.codes.OK else []
        return len(rows) == count

    def _all_shown(self, person: Person, name: str) -> bool:
        return all(self._shown(study, name) for study in person.uids)

    def _shown(self, study: str, name: str) -> bool:
        rows = self.dicom.get(f"/studies/{study}/metadata").json()
        return all(values(row, NAME) == [{"Alphabetic": name}] for row in rows)


def _until(true: Callable[[], bool], began: float) -> float:
    while not true():
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise SystemExit("A correction did not show in time.")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dicomweb", help="DICOMweb base of a Coregister")
    parser.add_argument("fhir", help="base of its FHIR server")
    parser.add_argument("--patients", type=int, default=30, help="patients of one study each")
    parser.add_argument("--studies", type=int, default=200, help="studies of the one with many")
    parser.add_argument("--instances", type=int, default=5, help="instances of each study")
    parser.add_argument("--rounds", type=int, default=5, help="corrections of the one with many")
    given = parser.parse_args()
    with (
        httpx.Client(base_url=given.dicomweb, timeout=120, trust_env=False) as dicom,
        httpx.Client(base_url=given.fhir, timeout=120, trust_env=False) as fhir,
    ):
        bench = Bench(dicom, fhir)
        for _ in range(given.patients):
            bench.measure(Person(1, given.instances), "one study", rounds=1)
        many = Person(given.studies, given.instances)
        bench.measure(many, f"{given.studies} studies", rounds=given.rounds)
    table = Table("visible", "p50 s", "p95 s", "most s", "n")
    for what, seconds in bench.seconds.items():
        ordered = sorted(seconds)
        p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        figures = (statistics.median(ordered), p95, ordered[-1])
        table.add_row(what, *(f"{each:.2f}" for each in figures), str(len(ordered)))
    Console().print(table)


if __name__ == "__main__":
    main()
