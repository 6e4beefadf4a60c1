"""The process that keeps a stack: starts its services, keeps them running, stops them in order.

Strategy: one loop on the main thread asks every service to do what is due and writes the state
file when something changed. `coregister up` runs this module as a process of its own and talks to
it by nothing but that file, signals and a pipe, so it makes no difference whether somebody waits
in front of a terminal or not, and a killed `up` takes nothing down uncleanly.
"""

import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import orjson
import psutil
import structlog

from app import logs
from app.errors import CoregisterError, StartFailed
from app.local.lifeline import on_parent_gone
from app.local.locks import exclusive
from app.local.service import Service
from app.local.state import Phase, ProcessMark, StackFolder, StackState
from app.local.watched import Watched

TICK_SECONDS = 0.1

log = structlog.get_logger(__name__)


class Supervisor:
    """Keeps the services of one data folder."""

    def __init__(
        self, folder: StackFolder, services: Sequence[Service], *, start_seconds: float
    ) -> None:
        """Nothing is started yet."""
        self._folder = folder
        self._services = services
        self._start_seconds = start_seconds
        self._stop = threading.Event()
        self._said: StackState | None = None

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stop.set()

    def run(self) -> None:
        """Start everything, keep it running until told to stop, stop everything."""
        with httpx.Client(trust_env=False) as http:
            watched = {each.name: Watched(each, http) for each in self._services}
            problem = None
            try:
                self._keep(watched)
            except CoregisterError as error:
                problem = error.message
                log.error("stack_failed", error=type(error).__name__)  # noqa: TRY400
            finally:
                self._stop_all(watched, problem)

    def _keep(self, watched: Mapping[str, Watched]) -> None:
        deadline = time.monotonic() + self._start_seconds
        phase = Phase.STARTING
        while not self._stop.is_set():
            for each in watched.values():
                if each.phase is Phase.WAITING and _may_start(each, watched):
                    each.start()
                each.step()
            late = [name for name, each in watched.items() if each.phase is not Phase.READY]
            if not late:
                phase = Phase.READY
            elif phase is Phase.READY:
                phase = Phase.RESTARTING
            elif phase is Phase.STARTING and time.monotonic() > deadline:
                raise StartFailed(_too_late(late, watched))
            self._say(phase, watched)
            self._stop.wait(TICK_SECONDS)

    def _stop_all(self, watched: Mapping[str, Watched], problem: str | None) -> None:
        """Stop those first that need others."""
        left = dict(watched)
        while left:
            needed = {name for each in left.values() for name in each.service.needs}
            ending = {name: each for name, each in left.items() if name not in needed}
            for each in ending.values():
                each.stop()
            self._say(Phase.STOPPING, watched, problem)
            for name, each in ending.items():
                if not each.wait():
                    log.warning("service_killed", store=name)
                del left[name]
        self._say(Phase.STOPPED if problem is None else Phase.FAILED, watched, problem)

    def _say(
        self, phase: Phase, watched: Mapping[str, Watched], problem: str | None = None
    ) -> None:
        said = StackState(
            phase=phase,
            services={name: each.state for name, each in watched.items()},
            supervisor=ProcessMark.of(psutil.Process().pid),
            problem=problem,
        )
        if said == self._said:
            return
        self._log_changes(said)
        self._said = said
        self._folder.write(said)

    def _log_changes(self, said: StackState) -> None:
        before = {} if self._said is None else self._said.services
        for name, now in said.services.items():
            if name not in before or before[name].phase is not now.phase:
                log.info("service", store=name, state=now.phase.value)


def _may_start(each: Watched, watched: Mapping[str, Watched]) -> bool:
    return all(watched[name].phase is Phase.READY for name in each.service.needs)


def _too_late(names: Sequence[str], watched: Mapping[str, Watched]) -> str:
    files = ", ".join(str(watched[name].service.log) for name in names)
    return f"{' and '.join(names)} did not get ready in time. See {files}."


def main(folder: StackFolder, *, attached: bool) -> int:
    """Run the plan of this data folder; `attached` ends with the process that started this one."""
    logs.configure("info")
    plan = orjson.loads(folder.plan.read_bytes())
    supervisor = Supervisor(
        folder,
        [Service.from_json(each) for each in plan["services"]],
        start_seconds=plan["start_seconds"],
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.stop())
    if attached:
        on_parent_gone(supervisor.stop)
    try:
        with exclusive(folder.lock, wait=False):
            supervisor.run()
    except BlockingIOError:
        sys.exit(f"Another stack runs on {folder.path}.")
    return 1 if folder.read().phase is Phase.FAILED else 0


if __name__ == "__main__":
    sys.exit(main(StackFolder(Path(sys.argv[1])), attached="--attached" in sys.argv))
