"""`stack.json`: what a running stack says about itself, for `status`, `down` and the next `up`."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import orjson
import psutil

from app.local.locks import is_held

START_TOLERANCE_SECONDS = 1.0


class Phase(StrEnum):
    """Where a service, or the whole stack, stands."""

    WAITING = "waiting"  # for a service that it needs
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"  # it ended by itself and is started again after a pause
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, told apart from a later one with the same number by when it began."""

    pid: int
    began: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the mark of a running process."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def process(self) -> psutil.Process | None:
        """Return the process if it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.began) < START_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What is known of one service."""

    phase: Phase
    url: str
    log: Path
    mark: ProcessMark | None = None
    restarts: int = 0
    viewer_url: str | None = None


@dataclass(frozen=True, slots=True)
class StackState:
    """What is known of a stack."""

    phase: Phase
    services: dict[str, ServiceState] = field(default_factory=dict)
    supervisor: ProcessMark | None = None
    problem: str | None = None

    @property
    def viewer_url(self) -> str | None:
        """Return the address of the viewer, if one is served."""
        return next((each.viewer_url for each in self.services.values() if each.viewer_url), None)

    def marks(self) -> dict[str, ProcessMark]:
        """Return the processes by name."""
        marks = {name: each.mark for name, each in self.services.items() if each.mark is not None}
        return marks if self.supervisor is None else {"supervisor": self.supervisor, **marks}


@dataclass(frozen=True, slots=True)
class StackFolder:
    """The data folder of a stack: where each thing of it lies."""

    path: Path

    @property
    def logs(self) -> Path:
        """Return the folder of the log files."""
        return self.path / "logs"

    @property
    def plan(self) -> Path:
        """Return the file that tells the supervisor what to run."""
        return self.path / "plan.json"

    @property
    def lock(self) -> Path:
        """Return the file that a living supervisor holds locked."""
        return self.path / "stack.lock"

    def is_up(self) -> bool:
        """Return whether a supervisor lives."""
        return is_held(self.lock)

    def write(self, state: StackState) -> None:
        """Replace what is said, at once."""
        text = orjson.dumps(state, default=str, option=orjson.OPT_INDENT_2)
        made = self._state.with_suffix(".json.new")
        made.write_bytes(text)
        made.replace(self._state)

    def read(self) -> StackState:
        """Return what was said last; a stack whose supervisor is gone says that it is stopped."""
        try:
            state = _state(orjson.loads(self._state.read_bytes()))
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError):  # none, or of another version
            return StackState(Phase.STOPPED)
        if state.phase in (Phase.STOPPED, Phase.FAILED) or self.is_up():
            return state
        stopped = {
            name: replace(each, phase=Phase.STOPPED) for name, each in state.services.items()
        }
        return replace(state, phase=Phase.STOPPED, services=stopped)

    @property
    def _state(self) -> Path:
        return self.path / "stack.json"


def _state(values: dict[str, Any]) -> StackState:
    return StackState(
        phase=Phase(values["phase"]),
        services={name: _service(each) for name, each in values["services"].items()},
        supervisor=_mark(values["supervisor"]),
        problem=values["problem"],
    )


def _service(values: dict[str, Any]) -> ServiceState:
    return ServiceState(
        phase=Phase(values["phase"]),
        url=values["url"],
        log=Path(values["log"]),
        mark=_mark(values["mark"]),
        restarts=values["restarts"],
        viewer_url=values.get("viewer_url"),  # a stack of an earlier version says nothing of it
    )


def _mark(values: dict[str, Any] | None) -> ProcessMark | None:
    return None if values is None else ProcessMark(values["pid"], values["began"])
