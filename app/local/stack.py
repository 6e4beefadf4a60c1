"""A stack on this machine: planned, launched as a process of its own, followed, taken down."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import psutil

from app.errors import AlreadyUp, NoRoom, StartFailed
from app.limits import MIB
from app.local.elasticsearch import elasticsearch_service
from app.local.hapi import hapi_service
from app.local.ports import LOOPBACK, Ports
from app.local.provision import Parts
from app.local.service import Service
from app.local.state import Phase, StackFolder, StackState
from app.local.viewer import BASE as VIEWER
from app.local.watched import tail
from app.settings import LocalSettings

FREE_BYTES = 1024 * MIB
FOLLOW_SECONDS = 0.1
DOWN_SECONDS = 120.0
LEFTOVER_SECONDS = 30.0
# -P: a folder named `app` where somebody happens to stand is not ours
PYTHON_MODULE = (sys.executable, "-P", "-m")

Follow = Callable[[StackState], None]


def make_startable(folder: StackFolder) -> None:
    """Make the data folder; refuse one that is in use or has no room."""
    if folder.is_up():
        raise AlreadyUp(
            f"A stack runs on {folder.path} already. `coregister status` shows it, "
            "`coregister down` ends it, `--data` names another folder."
        )
    end_leftovers(folder)
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # it is going to hold patient data
    folder.logs.mkdir(exist_ok=True)
    free = shutil.disk_usage(folder.path).free
    if free < FREE_BYTES:
        raise NoRoom(
            f"{folder.path} has {free // MIB} MiB left; starting needs {FREE_BYTES // MIB}. "
            "Make room, or choose another folder with --data."
        )


def end_leftovers(folder: StackFolder) -> None:
    """Wait for what an earlier, killed supervisor left: it is on its way out; then end it."""
    marks = folder.read().marks().values()
    processes = [process for mark in marks if (process := mark.process()) is not None]
    _, alive = psutil.wait_procs(processes, timeout=LEFTOVER_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=LEFTOVER_SECONDS)


def plan_services(
    parts: Parts,
    folder: StackFolder,
    ports: Ports,
    settings: LocalSettings,
    *,
    viewer: Path | None = None,
) -> tuple[Service, ...]:
    """Return what has to run; `viewer` is a folder that Coregister serves besides."""
    elasticsearch = elasticsearch_service(
        parts.elasticsearch,
        data=folder.path / "elasticsearch",
        logs=folder.logs,
        port=ports.elasticsearch,
        memory=settings.elasticsearch_memory,
    )
    fhir = hapi_service(
        parts.hapi,
        data=folder.path / "fhir",
        logs=folder.logs,
        port=ports.fhir,
        memory=settings.fhir_memory,
    )
    if ports.dicomweb is None:
        return elasticsearch, fhir
    coregister = _coregister(folder, ports.dicomweb, elasticsearch, fhir, viewer)
    return elasticsearch, fhir, coregister


def launch(
    folder: StackFolder, services: Sequence[Service], *, start_seconds: float, attached: bool
) -> subprocess.Popen[bytes]:
    """Start a supervisor in a session of its own, so that a terminal's Ctrl-C is not for it."""
    plan = {"services": [each.to_json() for each in services], "start_seconds": start_seconds}
    folder.plan.write_bytes(orjson.dumps(plan, option=orjson.OPT_INDENT_2))
    command = [*PYTHON_MODULE, "app.local.supervisor", str(folder.path)]
    with (folder.logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  our own module
            [*command, "--attached"] if attached else command,
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def wait_until_ready(
    folder: StackFolder, supervisor: subprocess.Popen[bytes], follow: Follow
) -> StackState:
    """Return the state once everything is ready; `follow` sees every state on the way."""
    while True:
        ended = supervisor.poll() is not None  # looked at first: its last word must not be missed
        state = folder.read()
        if state.supervisor is not None and state.supervisor.pid == supervisor.pid:
            follow(state)
            if state.phase is Phase.READY:
                return state
        if ended:
            log = folder.logs / "supervisor.log"
            raise StartFailed(state.problem or f"{log} ends with:\n{tail(log)}")
        time.sleep(FOLLOW_SECONDS)


def take_down(folder: StackFolder) -> bool:
    """Stop the stack of this folder; return whether there was one."""
    mark = folder.read().supervisor
    process = None if mark is None or not folder.is_up() else mark.process()
    if process is None:
        return False
    process.terminate()
    try:
        process.wait(DOWN_SECONDS)
    except psutil.TimeoutExpired as error:
        raise StartFailed(
            f"The stack did not stop; see {folder.logs / 'supervisor.log'}."
        ) from error
    return True


def _coregister(
    folder: StackFolder, port: int, elasticsearch: Service, fhir: Service, viewer: Path | None
) -> Service:
    base = f"http://{LOOPBACK}:{port}"
    return Service(
        name="dicomweb",
        command=(*PYTHON_MODULE, "app.cli", "serve", "--end-with-parent"),
        url=f"{base}/dicom-web",
        ready_url=f"{base}/health/ready",
        log=folder.logs / "coregister.log",
        needs=(elasticsearch.name, fhir.name),
        environment={
            "COREGISTER_HOST": LOOPBACK,
            "COREGISTER_PORT": str(port),
            "COREGISTER_ELASTICSEARCH_URL": elasticsearch.url,
            "COREGISTER_FHIR_URL": fhir.url,
            "COREGISTER_BLOBS": os.environ.get(
                "COREGISTER_BLOBS", (folder.path / "blobs").resolve().as_uri()
            ),
            **({} if viewer is None else {"COREGISTER_VIEWER": str(viewer)}),
        },
        stop_seconds=45.0,
        viewer_url=None if viewer is None else f"{base}{VIEWER}",
    )
