"""`stack.json`: what was said is read back; a dead supervisor's word does not count."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.local.locks import exclusive, is_held
from app.local.state import Phase, ProcessMark, ServiceState, StackFolder, StackState


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    return StackFolder(tmp_path)


def a_state(phase: Phase) -> StackState:
    service = ServiceState(
        phase, "http://127.0.0.1:1", Path("/logs/a.log"), ProcessMark(1, 2.0), restarts=3
    )
    return StackState(phase, {"a": service}, supervisor=ProcessMark(4, 5.5), problem="none really")


def test_state_reads_back_as_written(folder: StackFolder) -> None:
    with exclusive(folder.lock):
        folder.write(a_state(Phase.READY))

        assert folder.read() == a_state(Phase.READY)
        assert folder.is_up()


def test_folder_without_a_stack_is_stopped(folder: StackFolder) -> None:
    assert folder.read() == StackState(Phase.STOPPED)
    assert not folder.is_up()


def test_state_of_a_killed_supervisor_is_stopped(folder: StackFolder) -> None:
    folder.write(a_state(Phase.READY))

    state = folder.read()

    assert state.phase is Phase.STOPPED
    assert state.services["a"].phase is Phase.STOPPED


def test_failure_is_still_told_when_its_supervisor_is_gone(folder: StackFolder) -> None:
    folder.write(a_state(Phase.FAILED))

    assert folder.read() == a_state(Phase.FAILED)


def test_mark_finds_its_process_and_no_later_one_of_the_same_number() -> None:
    mark = ProcessMark.of(os.getpid())
    assert mark is not None

    assert mark.process() is not None
    assert ProcessMark(mark.pid, mark.began - 60).process() is None


def test_mark_of_an_ended_process_finds_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = ProcessMark.of(process.pid)
    process.communicate()

    assert mark is not None
    assert mark.process() is None


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = (
        "import pathlib, sys\n"
        "from app.local.locks import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert is_held(lock)
        holder.kill()
        holder.wait()

        assert not is_held(lock)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"phase": "ready"}'])
def test_state_that_cannot_be_read_is_no_stack(folder: StackFolder, content: str) -> None:
    (folder.path / "stack.json").write_text(content)

    assert folder.read() == StackState(Phase.STOPPED)
