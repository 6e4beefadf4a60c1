"""What an import shows: a bar while it runs, a table when it is done."""

from collections.abc import Mapping

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


def print_summary(console: Console, tally: Tally) -> None:
    """Print how many files were stored, left out and refused, and why."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    megabytes = f"{tally.bytes_stored / MEGABYTE:,.1f} MB"
    table.add_row(f"[green]{tally.stored:,}[/]", f"stored ({megabytes})")
    if tally.earlier:
        table.add_row(f"{tally.earlier:,}", "already there: acknowledged in an earlier run")
    _add_groups(table, tally.warnings, "stored, with a warning:", "yellow")
    _add_groups(table, tally.skipped, "not sent:", "dim")
    _add_groups(table, tally.refusals, "refused:", "red")
    console.print(table)


def _add_groups(table: Table, groups: Mapping[str, Group], title: str, style: str) -> None:
    for reason, group in sorted(groups.items(), key=lambda item: -item[1].count):
        table.add_row(f"[{style}]{group.count:,}[/]", f"{title} {escape(reason)}")
        for name in group.names[:NAMES_SHOWN]:
            # a file name may hold bytes that are no text
            table.add_row("", Text("  " + name.encode(errors="replace").decode(), style="dim"))
        if group.count > NAMES_SHOWN:
            table.add_row("", Text(f"  … and {group.count - NAMES_SHOWN:,} more", style="dim"))
