"""Runs tasks on pixel data in worker processes, bounded in number, memory and time.

Strategy: codecs are C code that works on bytes of strangers. Each task runs in a process of its own program
(`app.pixels.worker`), started when there is first work for it and kept. One thread a worker exchanges messages
with it over pipes. A task that takes too long, or whose process ends, is answered with an error, and the next
task gets a new process. Workers end by themselves when the pipe to their server closes, however it ended. The
processes contain crashes, memory and time; they are no border against hostile code.
"""

import asyncio
import contextlib
import os
import subprocess  # the arguments are constants and numbers
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar, cast

import structlog

import app
from app.errors import Busy, Undecodable
from app.limits import Limits
from app.pixels.messages import packed, read_message, unpacked, write_message

Params = ParamSpec("Params")
Result = TypeVar("Result")

_RETRY_SECONDS = 2
_PIPE_BYTES = 1024 * 1024
_ROOT = str(Path(app.__file__).parents[1])
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from app.pixels.worker import serve; serve()"
)
# numerical libraries start a thread a core otherwise, whose stacks count as memory
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

if sys.platform == "linux":
    import fcntl

log = structlog.get_logger(__name__)


class WorkerPool:
    """Worker processes for top-level functions and picklable arguments."""

    def __init__(self, workers: int, limits: Limits) -> None:
        """Start nothing yet."""
        self.workers = workers
        self._limits = limits
        self._places = asyncio.Semaphore(workers)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="pixels")
        self._idle: list[_Process] = []
        self._under_way: set[asyncio.Task[Any]] = set()
        self._waiting = 0
        self._closed = False

    async def run(
        self, task: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Return what the task returns. Raises its error, Undecodable, or Busy where too many wait."""
        if self._waiting >= self._limits.pixel_waiting:
            raise Busy("Too much pixel data wait to be decoded.", retry_after=_RETRY_SECONDS)
        return await self.run_patiently(task, *args, **kwargs)

    async def run_patiently(
        self, task: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Return what the task returns, for an answer that has begun: it waits for as long as it takes."""
        # shielded: a worker is free again when its task ends, not when nobody waits for it any more
        return cast("Result", await asyncio.shield(self._start(self._work(task, args, kwargs))))

    async def close(self) -> None:
        """End all workers; tasks under way are given up."""
        self._closed = True
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        for process in self._idle:
            process.kill()
            process.clear()
        await asyncio.to_thread(self._threads.shutdown)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of: whoever asked may be gone

    async def _work(
        self, task: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._in_a_worker((task, args, kwargs))
        finally:
            self._places.release()

    async def _in_a_worker(self, work: tuple[Any, ...]) -> Any:
        loop = asyncio.get_running_loop()
        process = self._idle.pop() if self._idle else _Process(self._limits)
        seconds = self._limits.pixel_seconds
        exchange = loop.run_in_executor(self._threads, process.exchange, work)
        try:
            async with asyncio.timeout(seconds):
                is_result, reply = await asyncio.shield(exchange)
        except TimeoutError as exc:
            await self._give_up(process, exchange, "slow")
            raise Undecodable(
                f"The pixel data take longer to work on than the limit pixel_seconds ({seconds:g} s)."
            ) from exc
        except EOFError as exc:
            await self._give_up(process, exchange, "ended")
            raise Undecodable("The pixel data made the process that works on them end.") from exc
        except BaseException:  # cancelled while closing: nobody may keep a process
            await self._give_up(process, exchange, "closed")
            raise
        self._idle.append(process)
        if is_result:
            return reply
        raise reply

    async def _give_up(
        self, process: "_Process", exchange: asyncio.Future[Any], reason: str
    ) -> None:
        process.kill()  # which ends the exchange, too
        await asyncio.gather(exchange, return_exceptions=True)
        process.clear()
        if not self._closed:
            log.warning("pixel_worker_replaced", reason=reason)


class _Process:
    """One worker process, started with the first exchange."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def exchange(self, work: tuple[Any, ...]) -> tuple[bool, Any]:
        """Return whether the work has a result, and that or its error. Raises EOFError."""
        message = packed(work)
        if self._process is None or self._process.poll() is not None:
            self._begin()
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise EOFError
        try:
            write_message(process.stdin, message)
            reply = read_message(process.stdout)
        except OSError as exc:  # killed meanwhile
            raise EOFError from exc
        is_result, value = unpacked(reply)
        return is_result, value

    def _begin(self) -> None:
        self.clear()  # of one that has ended on its own
        limits = self._limits
        # the worker's own clock, should this process be gone: a second after ours
        seconds = int(limits.pixel_seconds) + 2
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _PROGRAM, _ROOT, str(limits.pixel_memory_bytes), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # codecs complain there
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,  # an interrupt at the terminal is for the server to handle
        )
        _widen(self._process.stdin, self._process.stdout)
        if self._killed:
            self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    def clear(self) -> None:
        """Give back what a killed process held, once no exchange is under way."""
        if self._process is not None:
            with contextlib.suppress(OSError), self._process:
                pass  # closes the pipes and waits


def _widen(*pipes: IO[bytes] | None) -> None:
    """Let pipes take a frame at once, where the system can: else each 64 KiB are a change of processes."""
    if sys.platform == "linux":
        for pipe in pipes:
            if pipe is not None:
                with contextlib.suppress(OSError):  # the user's pipes have enough room together
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
