"""`coregister errors`: shows what went wrong with studies, and has it tried again."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from app.errors import BadQuery, ServerUnreachable

DONE, SOME_LEFT = 0, 1
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 600.0
OK, BAD_REQUEST = 200, 400
_STYLES = {"open": "yellow", "resolved": "green"}

Filters = Sequence[tuple[str, str]]  # of the query string


def show(base_url: str, filters: Filters, console: Console, *, as_json: bool) -> int:
    """Print records of problems; return a code for the shell. Raises ServerUnreachable, BadQuery."""
    with _connected(base_url) as http:
        answer = _checked(http.get("/errors", params=list(filters)))
    found = orjson.loads(answer.content)
    if as_json:
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
        return DONE
    if not found["errors"]:
        console.print("No errors.")
        return DONE
    console.print(_table(found["errors"]))
    more = found["total"] - len(found["errors"])
    if more > 0:
        console.print(f"{more} more: a higher --limit, or --kind, --study and --since, show them.")
    return DONE


def retry(base_url: str, filters: Filters, console: Console, *, as_json: bool) -> int:
    """Have the causes of open records tried again; return 0 where none is left, 1 where some are.

    Raises ServerUnreachable, BadQuery.
    """
    lines: list[Mapping[str, Any]] = []
    with _connected(base_url) as http, _progress(console, silent=as_json) as bar:
        task = bar.add_task("Trying again", total=None)
        with http.stream("POST", "/errors/$retry", params=list(filters)) as answer:
            if answer.status_code != OK:
                answer.read()
            _checked(answer)
            for text in answer.iter_lines():
                line = orjson.loads(text)
                lines.append(line)
                bar.update(task, completed=line.get("done", 0), total=line.get("of"))
    if as_json:
        sys.stdout.write(orjson.dumps(lines, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print_retried(lines, console)
    return SOME_LEFT if any(line.get("left") or line["error"] for line in lines) else DONE


def _print_retried(lines: Sequence[Mapping[str, Any]], console: Console) -> None:
    if not lines:
        console.print("No open errors.")
        return
    resolved = sum(line.get("resolved", 0) for line in lines)
    left = sum(line.get("left", 0) for line in lines)
    console.print(f"{resolved} resolved, {left} left, in {len(lines)} studies.", highlight=False)
    for line in lines:
        if line["error"]:
            where = line["study"] or "no study"
            console.print(f"{where}: {line['error']}", style="red", markup=False, highlight=False)


def _table(errors: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("Kind", "Study", "Attribute", "What", "Times", "Last", "State"):
        table.add_column(name, overflow="fold", justify="right" if name == "Times" else "left")
    for each in errors:
        state = each["state"]
        table.add_row(
            each["kind"],
            each.get("study", ""),
            each.get("keyword", each.get("tag", "")),
            each.get("valueClass", each["message"]),
            str(each["count"]),
            each["lastSeen"][:19].replace("T", " "),
            f"[{_STYLES[state]}]{state}[/]",
        )
    return table


def _progress(console: Console, *, silent: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=silent)


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code == OK:
        return answer
    try:
        detail = str(orjson.loads(answer.content)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        detail = f"What answers there is no Coregister (HTTP {answer.status_code})."
    if answer.status_code == BAD_REQUEST:
        raise BadQuery(detail)
    raise ServerUnreachable(detail)


@contextmanager
def _connected(base_url: str) -> Iterator[httpx.Client]:
    """Connect to the server whose DICOMweb base this is; `/errors` stands at its root."""
    parts = urlsplit(base_url)
    root = urlunsplit((parts.scheme, parts.netloc, parts.path.removesuffix("/dicom-web"), "", ""))
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    with httpx.Client(base_url=root, timeout=timeout, trust_env=False) as http:
        try:
            yield http
        except httpx.HTTPError as exc:
            raise ServerUnreachable(f"No Coregister answers at {root}.") from exc
