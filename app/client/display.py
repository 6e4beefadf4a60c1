"""What an import shows: a bar while it runs, a table when it is done."""

from collections.abc import Collection

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from app.client.tally import Group, Tally

NAMES_SHOWN = 5
MEGABYTE = 1_000_000


class FilesColumn(ProgressColumn):
    """Shows how many files are done, and how many were refused."""

    def render(self, task: Task) -> Text:
        """Return the counts of the task's tally."""
        tally: Tally = task.fields["tally"]
        text = Text(f"{tally.looked_at:,}/{task.fields['of']:,} files")
        if tally.troubles:
            text.append(f"  {tally.troubles:,} refused", style="red")
        return text


def import_progress(console: Console) -> Progress:
    """Return a bar with files, megabytes, megabytes per second and refused files."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        FilesColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def print_summary(console: Console, tally: Tally, seconds: float) -> None:
    """Print how many files were stored, left out and refused, and why."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    size, speed = tally.bytes_stored / MEGABYTE, tally.stored / max(seconds, 0.001)
    how = f" ({size:,.1f} MB, {speed:,.0f} files a second)" if tally.stored else ""
    table.add_row(f"[green]{tally.stored:,}[/]", f"stored{how}")
    if tally.earlier:
        table.add_row(f"{tally.earlier:,}", "already there: acknowledged in an earlier run")
    room = console.width - 12
    _add_groups(table, tally.warnings, "stored, with a warning:", "yellow", room)
    _add_groups(table, tally.skipped, "not sent:", "dim", room)
    _add_groups(table, tally.refusals, "refused:", "red", room)
    console.print(table)


def _add_groups(table: Table, groups: Collection[Group], title: str, style: str, room: int) -> None:
    for group in sorted(groups, key=lambda group: -group.count):
        table.add_row(f"[{style}]{group.count:,}[/]", f"{title} {escape(group.reason)}")
        for name in group.names[:NAMES_SHOWN]:
            table.add_row("", Text(f"  {_end_of(name, room)}", style="dim"))
        if group.count > NAMES_SHOWN:
            table.add_row("", Text(f"  … and {group.count - NAMES_SHOWN:,} more", style="dim"))


def _end_of(name: str, room: int) -> str:
    """Return a file name, or its end where it is too long; bytes that are no text become `?`."""
    text = name.encode(errors="replace").decode()
    return text if len(text) <= room else f"…{text[1 - room :]}"
