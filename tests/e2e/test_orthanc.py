"""Orthanc as somebody else's client: its DICOMweb plugin stores to Coregister, searches and retrieves.

What it retrieves has to be what it stored, byte for byte.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.data import get_testdata_file

from tests.conftest import Stack
from tests.corpus import make_instance
from tests.e2e.real_files import as_sent
from tests.server import Server, free_port

pytestmark = [pytest.mark.stack]

COMMAND = "Orthanc"
PLUGINS = (
    "/usr/share/orthanc/plugins/libOrthancDicomWeb.so",
    "/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so",
)
US = "coregister"
START_SECONDS = 60
FILES = [
    "CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "rtplan.dcm",
    "test-SR.dcm", "examples_palette.dcm",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc."""

    http: httpx.Client

    def take(self, data: bytes) -> str:
        """Give it an instance; return its own name for it."""
        answer = self.http.post("/instances", content=data).raise_for_status().json()
        name: str = answer["ID"]
        return name

    def study_of(self, instance: str) -> str:
        """Return its own name for the study of an instance."""
        name: str = self.http.get(f"/instances/{instance}/study").raise_for_status().json()["ID"]
        return name

    def ask(self, verb: str, message: dict[str, Any]) -> Any:
        """Let the plugin do something at our server."""
        answer = self.http.post(f"/dicom-web/servers/{US}/{verb}", json=message)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that shows objects as they are: these files give one PatientID to several people."""
    running = Server(
        tmp_path_factory.mktemp("beside-orthanc"), stack.elasticsearch_url, stack.fhir_url,
        settings={"COREGISTER_PATIENT": "dicom"},
    )  # fmt: skip
    running.start()
    try:
        yield running
    finally:
        running.stop()
        running.discard()


@pytest.fixture(scope="module")
def orthanc(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc that knows our server."""
    command = shutil.which(COMMAND) or shutil.which(COMMAND, path="/usr/sbin:/usr/local/sbin")
    plugin = next((path for path in PLUGINS if Path(path).exists()), None)
    if command is None or plugin is None:
        pytest.skip("no Orthanc with its DICOMweb plugin here (Debian: orthanc, orthanc-dicomweb)")
    folder = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    config = folder / "orthanc.json"
    config.write_text(json.dumps(_configuration(folder, port, plugin, server)), "utf-8")
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([command, str(config)], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            _wait(http, process, folder / "orthanc.log")
            yield Orthanc(http)
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("name", FILES)
def test_file_goes_to_us_is_found_and_comes_back(orthanc: Orthanc, name: str) -> None:
    path = get_testdata_file(name, download=False)
    assert path is not None
    data = as_sent(Path(path))
    instance = orthanc.take(data)
    uids = _uids(orthanc, instance)

    sent = orthanc.ask("stow", {"Resources": [instance]})
    assert int(sent["InstancesCount"]) == 1

    (found,) = orthanc.ask(
        "qido", {"Uri": "/instances", "Arguments": {"SOPInstanceUID": uids["SOPInstanceUID"]}}
    )
    assert found["00080018"]["Value"] == uids["SOPInstanceUID"]

    orthanc.http.delete(f"/instances/{instance}").raise_for_status()
    asked = {"Study": uids["StudyInstanceUID"]}
    orthanc.ask("retrieve", {"Resources": [asked]})
    assert orthanc.http.get(f"/instances/{instance}/file").content == data


def test_study_of_many_instances_makes_the_round(orthanc: Orthanc) -> None:
    first = make_instance(InstanceNumber="1")
    names = {orthanc.take(first): first}
    uids = _uids(orthanc, next(iter(names)))
    for number in range(2, 6):
        more = make_instance(
            InstanceNumber=str(number), StudyInstanceUID=uids["StudyInstanceUID"],
            SeriesInstanceUID=uids["SeriesInstanceUID"],
        )  # fmt: skip
        names[orthanc.take(more)] = more
    study = orthanc.study_of(next(iter(names)))
    orthanc.ask("stow", {"Resources": [study]})

    rows = orthanc.ask("qido", {"Uri": f"/studies/{uids['StudyInstanceUID']}/instances"})
    assert len(rows) == len(names)

    orthanc.http.delete(f"/studies/{study}").raise_for_status()
    orthanc.ask("retrieve", {"Resources": [{"Study": uids["StudyInstanceUID"]}]})
    for name, data in names.items():
        assert orthanc.http.get(f"/instances/{name}/file").content == data


def test_one_series_and_one_instance_are_retrieved(orthanc: Orthanc) -> None:
    data = make_instance()
    instance = orthanc.take(data)
    uids = _uids(orthanc, instance)
    orthanc.ask("stow", {"Resources": [instance]})
    of_series = {
        "Study": uids["StudyInstanceUID"], "Series": uids["SeriesInstanceUID"]
    }  # fmt: skip

    for asked in (of_series, {**of_series, "Instance": uids["SOPInstanceUID"]}):
        orthanc.http.delete(f"/instances/{instance}").raise_for_status()
        orthanc.ask("retrieve", {"Resources": [asked]})
        assert orthanc.http.get(f"/instances/{instance}/file").content == data


def test_answers_are_handed_through(orthanc: Orthanc) -> None:
    """Its `get` passes a request on as its own user sent it."""
    data = make_instance()
    instance = orthanc.take(data)
    uids = _uids(orthanc, instance)
    orthanc.ask("stow", {"Resources": [instance]})
    uri = f"/studies/{uids['StudyInstanceUID']}/metadata"

    (metadata,) = orthanc.ask("get", {"Uri": uri})
    assert metadata["00080018"]["Value"] == [uids["SOPInstanceUID"]]


def _uids(orthanc: Orthanc, instance: str) -> dict[str, str]:
    tags = orthanc.http.get(f"/instances/{instance}/simplified-tags").raise_for_status().json()
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return {name: tags[name] for name in names}


def _configuration(folder: Path, port: int, plugin: str, server: Server) -> dict[str, Any]:
    return {
        "Name": "peer",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "Plugins": [plugin],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "OverwriteInstances": False,
        "SaveJobs": False,
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "Servers": {US: {"Url": f"{server.base}/", "HasDelete": True}},
        },
    }


def _wait(http: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if http.get("/dicom-web/servers").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"Orthanc did not start:\n{log.read_text('utf-8', 'replace')[-3000:]}")
