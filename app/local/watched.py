"""One process of the stack: started, watched, started again when it ends by itself, stopped."""

import os
import subprocess
import time
from pathlib import Path

import httpx

from app.errors import StartFailed
from app.limits import MIB
from app.local.service import Service
from app.local.state import Phase, ProcessMark, ServiceState

PROBE_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # after this long the next pause is a short one again
HUNG_SECONDS = 300.0  # a service that came back but does not answer is started once more
LOG_BYTES = 64 * MIB
TAIL_LINES = 8


class Watched:
    """A service and the process that is it at the moment.

    Strategy: `step` is called again and again and does what is due; nothing here waits, except for
    a probe that has a short time limit. The process has a pipe as its standard input that nothing
    is written to: it ends itself when this end is closed, which the system does for a dead process.
    """

    def __init__(self, service: Service, http: httpx.Client) -> None:
        """Nothing is started yet."""
        self.service = service
        self.phase = Phase.WAITING
        self._http = http
        self._process: subprocess.Popen[bytes] | None = None
        self._mark: ProcessMark | None = None
        self._was_ready = False
        self._began = 0.0
        self._due = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._restarts = 0

    @property
    def state(self) -> ServiceState:
        """Return what is known of it."""
        service = self.service
        return ServiceState(
            self.phase, service.url, service.log, self._mark, self._restarts, service.viewer_url
        )

    def start(self) -> None:
        """Start the process; what an earlier one logged is kept once as `.1`."""
        service = self.service
        service.log.parent.mkdir(parents=True, exist_ok=True)
        if service.log.exists() and service.log.stat().st_size > LOG_BYTES:
            service.log.replace(service.log.with_name(service.log.name + ".1"))
        with service.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  commands of app/local only
                service.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, **service.environment},
            )  # fmt: skip
        self._mark = ProcessMark.of(self._process.pid)
        self._began = time.monotonic()
        self.phase = Phase.STARTING

    def step(self) -> None:
        """Do what is due."""
        match self.phase:
            case Phase.STARTING | Phase.READY if not self._runs():
                self._note_end()
            case Phase.STARTING if self._answers():
                self.phase = Phase.READY
                self._was_ready = True
            case Phase.STARTING if self._was_ready and self._lasts() > HUNG_SECONDS:
                self._end_hung()
            case Phase.RESTARTING if time.monotonic() >= self._due:
                self._restarts += 1
                self.start()

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._runs():
            self._process.terminate()
        self.phase = Phase.STOPPING

    def wait(self) -> bool:
        """Wait for the end that was asked for; return whether it came without force."""
        process, clean = self._process, True
        if process is not None:
            try:
                process.wait(self.service.stop_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                clean = False
        self._let_go()
        self.phase = Phase.STOPPED
        return clean

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _let_go(self) -> None:
        """Forget a process that ended, and close our end of its lifeline."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._mark = None

    def _lasts(self) -> float:
        return time.monotonic() - self._began

    def _end_hung(self) -> None:
        """Kill a process that came back and does not answer; the next step starts it again."""
        if self._process is not None:
            self._process.kill()

    def _answers(self) -> bool:
        try:
            answer = self._http.get(self.service.ready_url, timeout=PROBE_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.is_success

    def _note_end(self) -> None:
        """Plan the next start; a service that never got ready will not do so by being tried again."""
        code = None if self._process is None else self._process.returncode
        if not self._was_ready:
            raise StartFailed(
                f"{self.service.name} ended with code {code} before it was ready. "
                f"{self.service.log} ends with:\n{tail(self.service.log)}"
            )
        if self._lasts() > STEADY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        self._due = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self._let_go()
        self.phase = Phase.RESTARTING


def tail(log: Path) -> str:
    """Return the last lines of a log file."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])
