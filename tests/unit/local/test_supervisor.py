"""The supervisor, with small processes in the place of big servers."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from app.errors import AlreadyUp, StartFailed
from app.local import watched
from app.local.locks import exclusive
from app.local.ports import free_ports
from app.local.service import Service
from app.local.stack import end_leftovers, launch, make_startable, take_down, wait_until_ready
from app.local.state import Phase, ProcessMark, StackFolder, StackState
from app.local.supervisor import Supervisor

PATIENCE_SECONDS = 30

# Answers every GET with 200, ends when its standard input is closed.
SERVER = """
import os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
def lifeline():
    os.read(0, 1); os._exit(0)
threading.Thread(target=lifeline, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
BROKEN = "print('cannot work like this'); raise SystemExit(3)"
SILENT = "import time; time.sleep(600)"


def a_service(folder: StackFolder, name: str, code: str = SERVER, **more: object) -> Service:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    values = {
        "name": name, "command": (sys.executable, "-c", code, str(port)), "url": url,
        "ready_url": url, "log": folder.logs / f"{name}.log", **more,
    }  # fmt: skip
    return Service(**values)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    folder = StackFolder(tmp_path)
    folder.logs.mkdir()
    return folder


@contextmanager
def launched(folder: StackFolder, *services: Service) -> Iterator[subprocess.Popen[bytes]]:
    """Run a supervisor as `coregister up` does."""
    supervisor = launch(folder, services, start_seconds=PATIENCE_SECONDS, attached=True)
    try:
        yield supervisor
    finally:
        supervisor.kill()
        supervisor.communicate()


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether it comes true in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def processes(state: StackState) -> dict[str, psutil.Process]:
    return {name: psutil.Process(mark.pid) for name, mark in state.marks().items()}


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_services_get_ready_and_stop_cleanly(folder: StackFolder) -> None:
    with launched(folder, a_service(folder, "a"), a_service(folder, "b")) as supervisor:
        state = wait_until_ready(folder, supervisor, lambda _: None)
        running = processes(state)

        assert set(running) == {"supervisor", "a", "b"}
        assert take_down(folder)
        assert supervisor.wait() == 0
        assert folder.read().phase is Phase.STOPPED
        assert all(is_gone(process) for process in running.values())
        assert not take_down(folder)


def test_service_waits_for_what_it_needs(folder: StackFolder) -> None:
    seen: list[StackState] = []
    services = a_service(folder, "late", needs=("early",)), a_service(folder, "early")
    with launched(folder, *services) as supervisor:
        wait_until_ready(folder, supervisor, seen.append)

    for state in seen:
        if state.services["early"].phase is not Phase.READY:
            assert state.services["late"].phase is Phase.WAITING
    assert seen[0].services["late"].phase is Phase.WAITING


def test_service_that_ends_at_once_fails_the_start_with_its_last_words(folder: StackFolder) -> None:
    good, bad = a_service(folder, "good"), a_service(folder, "bad", BROKEN)
    with launched(folder, good, bad) as supervisor:
        with pytest.raises(StartFailed, match=r"(?s)bad ended with code 3.*cannot work like this"):
            wait_until_ready(folder, supervisor, lambda _: None)

        assert supervisor.wait() == 1
    assert folder.read().phase is Phase.FAILED
    assert folder.read().marks().keys() == {"supervisor"}


def test_service_that_never_answers_fails_the_start_in_time(folder: StackFolder) -> None:
    supervisor = Supervisor(folder, [a_service(folder, "mute", SILENT)], start_seconds=0.5)

    supervisor.run()

    state = folder.read()
    assert state.phase is Phase.FAILED
    assert "mute did not get ready in time" in str(state.problem)
    assert str(folder.logs / "mute.log") in str(state.problem)


def test_killed_service_is_started_again(folder: StackFolder) -> None:
    with launched(folder, a_service(folder, "a")) as supervisor:
        before = wait_until_ready(folder, supervisor, lambda _: None).services["a"]
        assert before.mark is not None
        psutil.Process(before.mark.pid).kill()

        assert eventually(lambda: folder.read().phase is Phase.RESTARTING)
        assert eventually(lambda: folder.read().services["a"].restarts == 1)
        assert eventually(lambda: folder.read().phase is Phase.READY)
        assert folder.read().services["a"].mark != before.mark


def test_service_that_comes_back_without_answering_is_started_once_more(
    folder: StackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "HUNG_SECONDS", 0.3)
    runs = folder.path / "runs"
    second_is_mute = (
        "import pathlib, time\n"
        f"runs = pathlib.Path({str(runs)!r})\n"
        "number = len(runs.read_text()) + 1 if runs.exists() else 1\n"
        "runs.write_text('x' * number)\n"
        "if number == 2: time.sleep(600)\n"
    )
    service = a_service(folder, "a", second_is_mute + SERVER)
    with launched_in_process(folder, service):
        assert eventually(lambda: folder.read().services.get("a") is not None)
        assert eventually(lambda: folder.read().services["a"].phase is Phase.READY)
        mark = folder.read().services["a"].mark
        assert mark is not None
        psutil.Process(mark.pid).kill()

        assert eventually(lambda: runs.read_text() == "xxx")


def test_service_that_does_not_listen_to_reason_is_killed(folder: StackFolder) -> None:
    with launched(folder, a_service(folder, "a", DEAF, stop_seconds=0.2)) as supervisor:
        running = processes(wait_until_ready(folder, supervisor, lambda _: None))
        take_down(folder)

        assert is_gone(running["a"])


def test_services_end_with_a_killed_supervisor(folder: StackFolder) -> None:
    with launched(folder, a_service(folder, "a"), a_service(folder, "b")) as supervisor:
        running = processes(wait_until_ready(folder, supervisor, lambda _: None))
        supervisor.kill()

        assert eventually(lambda: all(is_gone(process) for process in running.values()))
        assert folder.read().phase is Phase.STOPPED


def test_supervisor_ends_with_the_one_that_started_it(folder: StackFolder) -> None:
    with launched(folder, a_service(folder, "a")) as supervisor:
        running = processes(wait_until_ready(folder, supervisor, lambda _: None))
        assert supervisor.stdin is not None
        supervisor.stdin.close()  # what the system does when the starter is killed

        assert eventually(lambda: all(is_gone(process) for process in running.values()))
        assert folder.read().phase is Phase.STOPPED


def test_running_stack_refuses_a_second_on_its_data(folder: StackFolder) -> None:
    with launched(folder, a_service(folder, "a")) as supervisor:
        wait_until_ready(folder, supervisor, lambda _: None)

        with pytest.raises(AlreadyUp, match="coregister down"):
            make_startable(folder)


def test_leftover_of_a_killed_supervisor_is_ended(
    folder: StackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.local.stack.LEFTOVER_SECONDS", 0.2)
    with subprocess.Popen([sys.executable, "-c", SILENT]) as leftover:
        mark = ProcessMark.of(leftover.pid)
        folder.write(StackState(Phase.READY, supervisor=mark))

        end_leftovers(folder)

        assert mark is not None

        assert mark.process() is None


def test_supervisor_that_is_told_to_stop_at_once_starts_nothing(folder: StackFolder) -> None:
    supervisor = Supervisor(folder, [a_service(folder, "a")], start_seconds=PATIENCE_SECONDS)
    supervisor.stop()
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    thread.join(PATIENCE_SECONDS)

    assert folder.read().phase is Phase.STOPPED
    assert not (folder.logs / "a.log").exists()


def test_full_log_is_put_aside_once(folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "LOG_BYTES", 10)
    service = a_service(folder, "a")
    service.log.write_text("a long log of an earlier run")
    aside = service.log.with_name("a.log.1")
    with launched_in_process(folder, service):
        assert eventually(aside.exists)
        assert aside.read_text() == "a long log of an earlier run"


@contextmanager
def launched_in_process(folder: StackFolder, service: Service) -> Iterator[None]:
    """Run a supervisor in a thread, where a test can reach its numbers."""
    supervisor = Supervisor(folder, [service], start_seconds=PATIENCE_SECONDS)
    thread = threading.Thread(target=_run_locked, args=(supervisor, folder))
    thread.start()
    try:
        yield
    finally:
        supervisor.stop()
        thread.join(PATIENCE_SECONDS)


def _run_locked(supervisor: Supervisor, folder: StackFolder) -> None:
    with exclusive(folder.lock):
        supervisor.run()
