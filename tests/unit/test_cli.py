"""The command line: helpful, and never a stack of Python in somebody's face."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app import __version__
from app.local.locks import exclusive
from app.local.ports import free_ports
from app.local.state import Phase, ServiceState, StackFolder, StackState

COMMANDS = ["up", "down", "status", "serve", "import", "version"]


def coregister(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does, with nothing set but what is given."""
    return subprocess.run(
        [Path(sys.executable).with_name("coregister"), *arguments],
        capture_output=True, text=True, check=False, env={"COLUMNS": "120", **(environment or {})},
    )  # fmt: skip


def test_help_names_every_command() -> None:
    said = coregister("--help")

    assert said.returncode == 0
    assert all(command in said.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    said = coregister(command, "--help")

    assert said.returncode == 0
    assert f"coregister {command}" in said.stdout


def test_version_is_printed() -> None:
    assert coregister("version").stdout == f"coregister {__version__}\n"


def test_wrong_setting_is_named_as_its_variable() -> None:
    said = coregister("serve", environment={"COREGISTER_PORT": "many"})

    assert said.returncode == 2
    assert said.stderr.startswith("COREGISTER_PORT: ")
    assert "Traceback" not in said.stderr


def test_open_door_is_refused_in_words() -> None:
    said = coregister("serve", environment={"COREGISTER_HOST": "0.0.0.0"})  # noqa: S104

    assert said.returncode == 1
    assert "COREGISTER_AUTH=none" in said.stderr
    assert "Traceback" not in said.stderr


def test_port_in_use_is_said_before_anything_is_downloaded(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    said = coregister(
        "up", "--data", str(tmp_path / "data"), "--port", str(port), "--fhir-port", str(port),
        environment={"COREGISTER_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip

    assert said.returncode == 1
    assert f"Port {port} is given to both FHIR and DICOMweb." in said.stderr
    assert not (tmp_path / "cache").exists()


def test_down_where_nothing_runs_says_so(tmp_path: Path) -> None:
    said = coregister("down", "--data", str(tmp_path))

    assert said.returncode == 0
    assert said.stdout.startswith("Nothing runs on ")


def test_status_where_nothing_runs_has_no_addresses(tmp_path: Path) -> None:
    said = coregister("status", "--json", "--data", str(tmp_path))

    assert said.returncode == 3
    assert json.loads(said.stdout) == {
        "dicomweb": None, "fhir": None, "elasticsearch": None, "viewer": None,
        "pids": {}, "data": str(tmp_path), "logs": {}, "state": {"stack": "stopped"},
    }  # fmt: skip


def test_status_of_a_running_stack_has_them(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    service = ServiceState(Phase.READY, "http://127.0.0.1:1/fhir", tmp_path / "fhir.log")
    with exclusive(folder.lock):
        folder.write(StackState(Phase.READY, {"fhir": service}))
        said = coregister("status", "--json", "--data", str(tmp_path))
        table = coregister("status", "--data", str(tmp_path))

    status = json.loads(said.stdout)
    assert said.returncode == 0
    assert status["fhir"] == "http://127.0.0.1:1/fhir"
    assert status["viewer"] is None
    assert status["state"] == {"stack": "ready", "fhir": "ready"}
    assert "http://127.0.0.1:1/fhir" in table.stdout


def test_status_tells_where_the_viewer_is(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    url = "http://127.0.0.1:1/dicom-web"
    viewer = "http://127.0.0.1:1/viewer/"
    service = ServiceState(Phase.READY, url, tmp_path / "coregister.log", viewer_url=viewer)
    with exclusive(folder.lock):
        folder.write(StackState(Phase.READY, {"dicomweb": service}))
        said = coregister("status", "--json", "--data", str(tmp_path))
        table = coregister("status", "--data", str(tmp_path))
    afterwards = coregister("status", "--json", "--data", str(tmp_path))

    assert json.loads(said.stdout)["viewer"] == viewer
    assert viewer in table.stdout
    assert json.loads(afterwards.stdout)["viewer"] is None


def test_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds patient data; nobody else on the machine reads along."""
    (port,) = free_ports(1)
    coregister(
        "up", "--data", str(tmp_path / "data"), "--stores-only",
        environment={
            "COREGISTER_JAVA_HOME": str(tmp_path), "COREGISTER_CACHE": str(tmp_path / "cache"),
            "COREGISTER_PORT": str(port),
        },
    )  # fmt: skip

    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_import_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    said = coregister("import", str(tmp_path / "nothing.dcm"))

    assert said.returncode == 2
    assert "nothing.dcm" in said.stderr
