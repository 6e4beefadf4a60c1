"""The demo tells agreement from disagreement.

The two APIs are played here by an archive that keeps what it is sent; `coregister up --check` asks
the real ones.
"""

import functools
import io
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.client import demo
from app.client.demo_set import demo_files
from tests.unit.client.conftest import Archive, serving


@dataclass
class TwoSides(Archive):
    """Answers QIDO, WADO and FHIR from the stored bytes; each can be made to err."""

    fhir_misses: int = 0  # instances that the ImagingStudy does not count
    patient_prefix: str = ""
    wado_changes: bool = False
    fhir_is_empty: bool = False

    def studies(self) -> dict[str, list[Dataset]]:
        return _studies(tuple(self.stored.values()))

    async def qido(self, request: Request) -> Response:
        uid = request.query_params.get("StudyInstanceUID")
        instances = self.studies().get(uid or "", [])
        if not instances:
            return Response(status_code=204)
        patient_id = instances[0].get("PatientID")
        row = {
            "0020000D": {"vr": "UI", "Value": [uid]},
            "00080061": {"vr": "CS", "Value": sorted({each.Modality for each in instances})},
            "00201206": {"vr": "IS", "Value": [len({e.SeriesInstanceUID for e in instances})]},
            "00201208": {"vr": "IS", "Value": [len(instances)]},
            "00100020": {"vr": "LO"} | ({"Value": [patient_id]} if patient_id else {}),
        }
        return JSONResponse([row])

    async def instances(self, request: Request) -> Response:
        rows = [
            {
                "0020000E": {"vr": "UI", "Value": [each.SeriesInstanceUID]},
                "00080018": {"vr": "UI", "Value": [each.SOPInstanceUID]},
            }
            for each in self.studies()[request.path_params["study"]]
        ]
        return JSONResponse(rows)

    async def wado(self, request: Request) -> Response:
        content = self.stored[request.path_params["instance"]]
        return Response(content[:-1] + b"?" if self.wado_changes else content)

    async def imaging_study(self, request: Request) -> Response:
        uid = request.query_params["identifier"].removeprefix("urn:dicom:uid|urn:oid:")
        instances = self.studies()[uid]
        series: dict[str, int] = defaultdict(int)
        for each in instances:
            series[each.SeriesInstanceUID] += 1
        resource = {
            "subject": {"reference": f"Patient/{uid}"},
            "modality": [{"code": code} for code in {each.Modality for each in instances}],
            "numberOfSeries": len(series),
            "numberOfInstances": len(instances) - self.fhir_misses,
            "series": [{"uid": u, "numberOfInstances": count} for u, count in series.items()],
        }
        found = [] if self.fhir_is_empty else [{"resource": resource}]
        return JSONResponse({"resourceType": "Bundle", "entry": found})

    async def patient(self, request: Request) -> Response:
        patient_id = self.studies()[request.path_params["id"]][0].get("PatientID")
        return JSONResponse({"identifier": [{"value": f"{self.patient_prefix}{patient_id}"}]})

    def routes(self) -> list[Route]:
        series = "/dicom-web/studies/{study}/series/{series}/instances/{instance}"
        return [
            Route("/dicom-web/studies", self.store, methods=["POST"]),
            Route("/dicom-web/studies", self.qido),
            Route("/dicom-web/studies/{study}/instances", self.instances),
            Route(series, self.wado),
            Route("/fhir/ImagingStudy", self.imaging_study),
            Route("/fhir/Patient/{id}", self.patient),
        ]


@functools.lru_cache(maxsize=1)
def _studies(contents: tuple[bytes, ...]) -> dict[str, list[Dataset]]:
    found: dict[str, list[Dataset]] = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom thinks of its own test files
        for content in contents:
            data_set = dcmread(io.BytesIO(content), stop_before_pixels=True)
            found[str(data_set.StudyInstanceUID)].append(data_set)
    return found


@pytest.fixture
def both() -> Iterator[TwoSides]:
    sides = TwoSides()
    for file in demo_files():
        if file.failure_reason is not None:
            content = file.prepared.source.path.read_bytes()
            sides.refuse_bytes[content] = file.failure_reason
    with serving(Starlette(routes=sides.routes())) as url:
        sides.url = url
        yield sides


def show(both: TwoSides) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120)
    code = demo.run(f"{both.url}/dicom-web", f"{both.url}/fhir", console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def test_agreement_is_shown_with_commands_to_try_next(both: TwoSides) -> None:
    code, printed = show(both)

    assert code == 0, printed
    assert "✗" not in printed
    assert printed.count("✓") == len(both.studies())
    assert "4 files were sent to be refused, and were:" in printed
    assert "zipMR.gz: C000" in printed
    for part in ("/studies?PatientID=98890234'", "%7Curn:oid:1.", "-o instance.dcm 'http"):
        assert part in printed


def test_demo_shown_twice_agrees_again(both: TwoSides) -> None:
    show(both)

    assert show(both)[0] == 0


def test_no_patient_name_is_shown(both: TwoSides) -> None:
    """The files are public; all the same a demo must not teach that names belong in terminals."""
    _, printed = show(both)
    names = {
        part
        for instances in both.studies().values()
        for each in instances
        for part in str(each.get("PatientName", "")).replace("^", " ").split()
        if len(part) > 3
    }
    names -= {"Test"}  # is in a file's name, too

    assert len(names) > 5
    assert [name for name in names if name.lower() in printed.lower()] == []


@pytest.mark.parametrize(
    ("fault", "value", "words"),
    [
        ("fhir_misses", 1, "QIDO counts"),
        ("patient_prefix", "other-", "the Patient's identifier is not the PatientID"),
        ("wado_changes", True, "WADO changes the bytes of 1 instances"),
    ],
)
def test_any_disagreement_fails_the_demo(
    both: TwoSides, fault: str, value: Any, words: str
) -> None:
    setattr(both, fault, value)
    code, printed = show(both)

    assert code == 1
    assert "✗" in printed
    assert words in printed
    assert "both sides agree" not in printed


def test_file_that_should_have_been_refused_fails_the_demo(both: TwoSides) -> None:
    """A broken file that is stored is as wrong as a good one that is not."""
    content = next(c for c, reason in both.refuse_bytes.items() if reason == 0x0111)
    both.refuse_bytes[content] = 0x0110
    code, printed = show(both)

    assert code == 1
    assert "should have been refused: 0111" in printed
    assert "but was refused: 0110" in printed


def test_good_file_that_is_refused_fails_the_demo(both: TwoSides) -> None:
    both.refuse["1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"] = 0xC000
    code, printed = show(both)

    assert code == 1
    assert "✗ CT_small.dcm should have been stored, but was refused: C000" in printed


def test_nobody_there_is_told() -> None:
    console = Console(file=io.StringIO(), width=120)

    assert demo.run("http://127.0.0.1:9/dicom-web", "http://127.0.0.1:9/fhir", console) == 2
    assert isinstance(console.file, io.StringIO)
    assert "Nobody answers" in console.file.getvalue()


def test_fhir_server_that_is_away_is_told(both: TwoSides) -> None:
    console = Console(file=io.StringIO(), width=120)

    assert demo.run(f"{both.url}/dicom-web", "http://127.0.0.1:9/fhir", console) == 2
    assert isinstance(console.file, io.StringIO)
    assert "Nobody answers at http://127.0.0.1:9/fhir" in console.file.getvalue()


def test_study_that_one_side_has_not_fails_the_demo(both: TwoSides) -> None:
    both.fhir_is_empty = True
    code, printed = show(both)

    assert code == 1
    assert "FHIR finds 0 ImagingStudy resources" in printed
