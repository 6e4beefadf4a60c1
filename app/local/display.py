"""What somebody in front of a terminal sees of a stack that starts, runs and stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.local.stack import Follow
from app.local.state import Phase, StackFolder, StackState

LABELS = {"elasticsearch": "Elasticsearch", "fhir": "HAPI FHIR", "dicomweb": "Coregister"}
_STYLES = {
    Phase.READY: "green",
    Phase.FAILED: "red",
    Phase.RESTARTING: "yellow",
    Phase.STOPPED: "dim",
}


@contextmanager
def starting(console: Console) -> Iterator[Follow]:
    """Show a line for each service until it is ready."""
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        TextColumn("[dim]{task.fields[said]}[/]"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def follow(state: StackState) -> None:
            for name, service in state.services.items():
                if name not in tasks:
                    tasks[name] = progress.add_task(LABELS[name], total=1, start=False, said="")
                ready = service.phase is Phase.READY
                if service.phase is not Phase.WAITING and not progress.tasks[tasks[name]].started:
                    progress.start_task(tasks[name])
                progress.update(
                    tasks[name],
                    completed=int(ready),
                    said=service.url if ready else service.phase.value,
                )

        yield follow


def print_state(console: Console, folder: StackFolder, state: StackState) -> None:
    """Print addresses, processes and files of a stack as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Service", "State", "Address", "Process", "Log"):
        table.add_column(column, overflow="fold")
    for name, service in state.services.items():
        phase = service.phase
        table.add_row(
            LABELS[name],
            f"[{_STYLES.get(phase, 'cyan')}]{phase}[/]",
            service.url,
            "" if service.mark is None else str(service.mark.pid),
            service.log.name,
        )
        if service.viewer_url is not None:
            table.add_row("Viewer", "", service.viewer_url, "", "")
    if state.services:
        console.print(table)
    else:
        console.print("Nothing has been started here.")
    if state.problem is not None:
        console.print(state.problem, style="red", markup=False, highlight=False)
    console.print(f"Data: {folder.path}\nLogs: {folder.logs}", highlight=False)


def described(folder: StackFolder, state: StackState) -> dict[str, Any]:
    """Return what `print_state` prints, for scripts."""
    up = folder.is_up()
    services = state.services

    def url(name: str) -> str | None:
        return services[name].url if up and name in services else None

    return {
        "dicomweb": url("dicomweb"),
        "fhir": url("fhir"),
        "elasticsearch": url("elasticsearch"),
        "viewer": state.viewer_url if up else None,
        "pids": {name: mark.pid for name, mark in state.marks().items()} if up else {},
        "data": str(folder.path),
        "logs": {name: str(each.log) for name, each in services.items()},
        "state": {"stack": state.phase, **{name: each.phase for name, each in services.items()}},
    }


def phase_changes(before: StackState, now: StackState) -> Iterator[str]:
    """Say what changed between two looks at a running stack."""
    for name, service in now.services.items():
        was = before.services.get(name)
        if was is not None and was.phase is not service.phase:
            yield f"{LABELS[name]} is {service.phase} ({service.log})"
