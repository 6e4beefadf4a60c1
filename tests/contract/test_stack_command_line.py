"""`coregister up`, `status`, `import` and `down`, from a shell, with real servers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pydicom.data import get_testdata_file

from app.local.ports import free_ports
from app.local.state import StackFolder

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


class Shell:
    """Runs commands on one data folder, in a working folder where an `app` lies in the way."""

    def __init__(self, data: Path, elsewhere: Path) -> None:
        self.data = data
        self._elsewhere = elsewhere
        (elsewhere / "app").mkdir(parents=True)
        (elsewhere / "app" / "__init__.py").write_text("raise RuntimeError('not ours')")

    def __call__(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("coregister"), command, *arguments,
             "--data", str(self.data)],
            capture_output=True, text=True, check=False, cwd=self._elsewhere, timeout=500,
            env={**os.environ, "XDG_STATE_HOME": str(self._elsewhere), "LC_ALL": "C"},
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self("status", "--json").stdout)
        return said


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path / "däta folder", tmp_path / "elsewhere")
    yield shell
    shell("down")


def test_stack_is_brought_up_shown_used_and_taken_down(shell: Shell) -> None:
    port, elasticsearch, fhir = map(str, free_ports(3))

    up = shell(
        "up", "--detach", "--port", port, "--elasticsearch-port", elasticsearch,
        "--fhir-port", fhir, "--viewer",
    )  # fmt: skip

    assert up.returncode == 0, up.stdout + up.stderr
    status = shell.status()
    assert status["dicomweb"] == f"http://127.0.0.1:{port}/dicom-web"
    assert status["elasticsearch"] == f"http://127.0.0.1:{elasticsearch}"
    assert status["fhir"] == f"http://127.0.0.1:{fhir}/fhir"
    assert status["viewer"] == f"http://127.0.0.1:{port}/viewer/"
    assert status["viewer"] in up.stdout
    assert "<title>OHIF Viewer</title>" in httpx.get(status["viewer"], trust_env=False).text
    assert set(status["state"].values()) == {"ready"}
    assert all(psutil.pid_exists(pid) for pid in status["pids"].values())
    assert all(Path(log).stat().st_size for log in status["logs"].values())
    assert_only_loopback_listens(status["pids"])

    again = shell("up", "--port", port)
    assert again.returncode == 1
    assert "coregister down" in again.stderr

    studies = httpx.get(f"{status['dicomweb']}/studies", params={"limit": "1000"}, trust_env=False)
    assert len(studies.json()) > 10  # the demo set
    imported = shell("import", str(get_testdata_file("CT_small.dcm")))
    assert imported.returncode == 0, imported.stdout

    assert shell("down").returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in status["pids"].values())
    assert shell.status()["dicomweb"] is None
    assert shell("status").returncode == 3
    assert not StackFolder(shell.data).is_up()


def assert_only_loopback_listens(pids: dict[str, int]) -> None:
    for name, pid in pids.items():
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::ffff:127.0.0.1"), name
