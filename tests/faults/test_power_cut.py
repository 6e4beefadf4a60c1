"""Every process is killed at once under load; what was acknowledged is there after the next start (P1)."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pydicom.uid import generate_uid

from app.local.ports import free_ports
from tests.agreement import Archive, assert_agreement
from tests.corpus import make_instance
from tests.server import store

CLIENTS = 4
SECONDS_OF_LOAD = 5

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


class Machine:
    """One data folder and the whole of Coregister on it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._ports = [str(port) for port in free_ports(3)]

    def coregister(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments, "--data", str(self.data)],
            capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip

    def up(self) -> dict[str, Any]:
        port, elasticsearch, fhir = self._ports
        up = self.coregister(
            "up", "--detach", "--no-demo", "--port", port,
            "--elasticsearch-port", elasticsearch, "--fhir-port", fhir,
        )  # fmt: skip
        assert up.returncode == 0, up.stdout + up.stderr
        status: dict[str, Any] = json.loads(self.coregister("status", "--json").stdout)
        return status

    def cut_power(self, pids: dict[str, int]) -> None:
        """Kill every process, the supervisor first, so that it cannot stop the others in order."""
        processes = [psutil.Process(pids[name]) for name in ("supervisor", *sorted(pids))]
        for pid in (pids["supervisor"], *pids.values()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        psutil.wait_procs(processes, timeout=20)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "data")
    yield machine
    machine.coregister("down")


def test_acknowledged_instances_survive_the_death_of_every_process(machine: Machine) -> None:
    status = machine.up()
    studies = [generate_uid() for _ in range(3)]
    acknowledged: dict[str, bytes] = {}
    over = threading.Event()

    def client(number: int) -> None:
        with httpx.Client(base_url=status["dicomweb"], timeout=20, trust_env=False) as http:
            while not over.is_set():
                sop = generate_uid()
                study = studies[number % len(studies)]
                file = make_instance(StudyInstanceUID=study, SOPInstanceUID=sop)
                try:
                    answer = store(http, file)
                except httpx.TransportError:
                    return
                if answer.status_code == httpx.codes.OK:
                    acknowledged[sop] = file

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS_OF_LOAD)
    machine.cut_power(status["pids"])
    over.set()
    for thread in threads:
        thread.join()

    assert len(acknowledged) > CLIENTS
    status = machine.up()
    archive = Archive(status["elasticsearch"], "coregister", status["fhir"], machine.data / "blobs")
    assert_agreement(archive, studies=studies, stored=acknowledged, orphan_blobs=True)
    with httpx.Client(base_url=status["dicomweb"], timeout=60, trust_env=False) as http:
        assert store(http, *acknowledged.values()).status_code == httpx.codes.OK
