"""`coregister import`: sends files and folders to a DICOMweb server, and can be gone on with."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import httpx
import platformdirs
from rich.console import Console
from rich.progress import Progress, TaskID

from app.client.display import import_progress, print_summary
from app.client.journal import Journal
from app.client.plan import Extent, Step, measure, plan
from app.client.stow import Outcome, Prepared, StowClient, in_thread
from app.client.tally import Tally
from app.errors import ServerUnreachable

ALL_STORED = 0
SOME_REFUSED = 1
NO_SERVER = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it

CONNECT_SECONDS = 10.0
# a server may take its time with a batch: it answers when everything is durable and linked
ANSWER_SECONDS = 300.0


def run(
    paths: list[Path],
    *,
    base_url: str,
    jobs: int,
    restart: bool,
    console: Console,
    report: Path | None = None,
) -> int:
    """Send all DICOM files below `paths`; return 0 all stored, 1 some refused, 2 no server."""
    tally, started = Tally(), time.monotonic()
    with ExitStack() as open_:
        journal = open_.enter_context(
            Journal(_journal_folder(), base_url=base_url, paths=paths, restart=restart)
        )
        lines = open_.enter_context(report.open("w", encoding="utf-8")) if report else None
        if journal.resumed:
            console.print(f"Going on: {journal.resumed} files were acknowledged before.")
        problem, code = None, SOME_REFUSED
        try:
            asyncio.run(_send(paths, base_url, jobs, journal, tally, console, lines))
        except ServerUnreachable as error:
            problem, code = error.message, NO_SERVER
        except KeyboardInterrupt:
            problem, code = "Interrupted", INTERRUPTED
        if tally.looked_at:
            print_summary(console, tally, time.monotonic() - started)
        if problem is not None:
            _explain(console, problem, code, tally)
            return code
        if tally.troubles:
            return SOME_REFUSED
        journal.forget()
        return ALL_STORED


async def _send(
    paths: list[Path],
    base_url: str,
    jobs: int,
    journal: Journal,
    tally: Tally,
    console: Console,
    report: TextIO | None,
) -> None:
    """Let `jobs` workers take step after step of the plan until it is done."""
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    limits = httpx.Limits(max_connections=jobs, max_keepalive_connections=jobs)
    async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False) as http:
        client = StowClient(http, base_url)
        await client.probe()
        extent = await _measure(paths, console)
        steps = plan(paths, journal)
        turn = asyncio.Lock()
        with import_progress(console) as progress:
            task = progress.add_task("Sending", total=extent.size, of=extent.files, tally=tally)
            worker = _Worker(client, steps, turn, journal, tally, progress, task, report)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(jobs):
                        group.create_task(worker.work())
            except* ServerUnreachable as errors:
                raise errors.exceptions[0] from None


async def _measure(paths: list[Path], console: Console) -> Extent:
    extent = Extent(0, 0)
    counts = measure(paths)
    with console.status("Looking for files …") as status:
        while (more := await in_thread(counts)) is not None:  # piece by piece: Ctrl-C gets through
            extent = more
            status.update(f"Looking for files … {extent.files:,}")
    return extent


class _Worker:
    """Takes the next step, sends its batch, notes what became of it."""

    def __init__(
        self,
        client: StowClient,
        steps: Iterator[Step],
        turn: asyncio.Lock,
        journal: Journal,
        tally: Tally,
        progress: Progress,
        task: TaskID,
        report: TextIO | None,
    ) -> None:
        self._client = client
        self._steps = steps
        self._turn = turn
        self._journal = journal
        self._tally = tally
        self._progress = progress
        self._task = task
        self._report = report
        self._under_way: dict[tuple[Prepared, ...], int] = {}  # bytes of batches not answered yet

    async def work(self) -> None:
        """Work until there is no step left."""
        while (step := await self._next()) is not None:
            for skipped in step.skipped:
                self._tally.skip(skipped)
            for source in step.earlier:
                self._tally.count_earlier(source)
            if step.batch:
                await self._store(step.batch)
            self._show()

    async def _store(self, batch: tuple[Prepared, ...]) -> None:
        whole = sum(prepared.source.size for prepared in batch)

        def count(sent: int) -> None:  # a batch that is sent twice does not count twice
            self._under_way[batch] = min(whole, self._under_way.get(batch, 0) + sent)
            self._show()

        outcomes = await self._client.store(batch, count)
        self._under_way.pop(batch, None)
        for outcome in outcomes:
            self._note(outcome)

    def _show(self) -> None:
        done = self._tally.bytes_done + sum(self._under_way.values())
        self._progress.update(self._task, completed=done)

    async def _next(self) -> Step | None:
        async with self._turn:  # the plan is one iterator
            return await in_thread(self._steps)

    def _note(self, outcome: Outcome) -> None:
        if outcome.stored:
            self._journal.add(outcome.source)
        self._tally.count(outcome)
        if self._report is not None:
            line = {
                "file": outcome.source.name,
                "sop_instance_uid": outcome.sop_instance_uid,
                "stored": outcome.stored,
                "reason": None if outcome.refusal is None else str(outcome.refusal),
                "warning": None if outcome.warning is None else str(outcome.warning),
            }
            self._report.write(json.dumps(line) + "\n")


def _explain(console: Console, problem: str, code: int, tally: Tally) -> None:
    console.print(f"[bold red]{problem}.[/]", highlight=False)
    if code == NO_SERVER and not tally.looked_at:
        console.print("Is the server up? [bold]coregister up[/] starts one on this machine.")
        return
    console.print(
        "What was acknowledged is noted. The same command goes on from here; "
        "[bold]--restart[/] sends everything anew."
    )


def _journal_folder() -> Path:
    return platformdirs.user_state_path("coregister") / "imports"
