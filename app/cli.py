"""The command line: `coregister up`, `down`, `status`, `serve`, `import`, `errors`, `version`."""

import os
import signal
import subprocess
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console

from app import __version__
from app.errors import CoregisterError
from app.local.display import described, phase_changes, print_state, starting
from app.local.lifeline import on_parent_gone
from app.local.ports import Ports
from app.local.provision import provide
from app.local.stack import (
    launch,
    make_startable,
    plan_services,
    take_down,
    wait_until_ready,
)
from app.local.state import Phase, StackFolder, StackState
from app.local.viewer import provide_viewer
from app.settings import LocalSettings, Settings

FAILED = 1
BAD_SETTINGS = 2
NOT_RUNNING = 3
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
WATCH_SECONDS = 0.5
LAST_CHANCE_SECONDS = 60.0

app = typer.Typer(
    name="coregister",
    help="A DICOMweb server whose studies are linked into FHIR before it answers.",
    epilog="Start with [bold]coregister up[/]; every command explains itself with [bold]--help[/].",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder of everything that is kept. [dim]\\[default: the user's data folder][/]",
        show_default=False, file_okay=False,
    ),
]  # fmt: skip


def _port(server: str, otherwise: str) -> Any:
    return typer.Option(
        min=1, max=65535, metavar="PORT", show_default=False,
        help=f"Port of {server}. [dim]\\[default: {otherwise}][/]",
    )  # fmt: skip


@app.command(
    epilog="Examples:\n\n"
    "[bold]coregister up[/]  starts, stores a demo set, shows it, stays until Ctrl-C\n\n"
    "[bold]coregister up --no-demo --detach --data /srv/imaging[/]  runs in the background\n\n"
    "[bold]coregister up --viewer[/]  shows the images, too, at /viewer/\n\n"
    "[bold]coregister up --check[/]  starts, compares DICOMweb with FHIR, stops; exits 0 if they agree"
)
def up(
    *,
    data: Data = None,
    port: Annotated[int | None, _port("DICOMweb", "COREGISTER_PORT, else 8080")] = None,
    elasticsearch_port: Annotated[int | None, _port("Elasticsearch", "9200, else any")] = None,
    fhir_port: Annotated[int | None, _port("HAPI FHIR", "8081, else any")] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Store no demo files.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Stop after the demo; exit non-zero where anything disagrees."
        ),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when ready, and leave it running.")
    ] = False,
    viewer: Annotated[
        bool, typer.Option("--viewer", help="Serve OHIF at /viewer/ (50 MB more, once).")
    ] = False,
    stores_only: Annotated[
        bool, typer.Option("--stores-only", help="Run Elasticsearch and HAPI FHIR only.")
    ] = False,
) -> None:
    """Start Elasticsearch, HAPI FHIR and Coregister on this machine, from package indexes alone.

    The first run downloads about 250 MB, once; later runs need no network.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C does
    console = Console()
    settings = LocalSettings()
    folder = _folder(data, settings)
    with console.status("Looking at the data folder …"):
        make_startable(folder)
    ports = Ports.chosen(
        elasticsearch=elasticsearch_port,
        fhir=fhir_port,
        dicomweb=None if stores_only else (port or Settings().port),
    )
    parts = provide(settings, console)
    served = provide_viewer(settings, console) if viewer else Settings().viewer
    services = plan_services(parts, folder, ports, settings, viewer=served)
    supervisor = launch(folder, services, start_seconds=settings.start_seconds, attached=not detach)
    stays = False
    try:
        with starting(console) as follow:
            state = wait_until_ready(folder, supervisor, follow)
        code = 0 if stores_only or no_demo else _demo(state, console)
        if (page := state.viewer_url) is not None:
            console.print(f"\nViewer: [link={page}]{page}[/link]", highlight=False)
        stays = detach and not check
        if stays:
            console.print("Running. [bold]coregister status[/] shows it, [bold]down[/] ends it.")
        elif not check:
            console.print("\nUp. [bold]Ctrl-C[/] stops it.")
            code = _watch(folder, supervisor, state, console)
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        if not stays:
            _stop(folder, supervisor, console)
    raise typer.Exit(code)


@app.command()
def down(*, data: Data = None) -> None:
    """Stop what `up` started: requests under way are finished first."""
    console = Console()
    folder = _folder(data, LocalSettings())
    with console.status("Stopping …"):
        stopped = take_down(folder)
    console.print("Stopped." if stopped else f"Nothing runs on {folder.path}.", highlight=False)


@app.command()
def status(
    *,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show addresses, processes, logs and the state of each; exits with 3 where nothing runs."""
    folder = _folder(data, LocalSettings())
    state = folder.read()
    if as_json:
        sys.stdout.write(
            orjson.dumps(described(folder, state), option=orjson.OPT_INDENT_2).decode()
        )
        sys.stdout.write("\n")
    else:
        print_state(Console(), folder, state)
    if not folder.is_up():
        raise typer.Exit(NOT_RUNNING)


@app.command()
def serve(
    *, end_with_parent: Annotated[bool, typer.Option("--end-with-parent", hidden=True)] = False
) -> None:
    """Serve DICOMweb with the servers that the settings name (COREGISTER_ELASTICSEARCH_URL, …)."""
    from app.main import serve as serve_with  # noqa: PLC0415  no other command pays for it

    if end_with_parent:
        on_parent_gone(_end_this_process)
    serve_with(Settings())


@app.command(
    "import",
    epilog="Example:\n\n[bold]coregister import ~/studies /media/cdrom --jobs 8[/]",
)
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", exists=True)],
    *,
    url: Annotated[
        str | None,
        typer.Option(help="DICOMweb base URL. [dim]\\[default: what `up` runs][/]", show_default=False),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Requests at once.", min=1, max=64)] = 4,
    restart: Annotated[
        bool, typer.Option("--restart", help="Send everything anew instead of going on.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write a JSON line for each file to this file.")
    ] = None,
    data: Data = None,
) -> None:  # fmt: skip
    """Send DICOM files and folders to a DICOMweb server; run it again to go on where it ended."""
    from app.client import import_files  # noqa: PLC0415  no other command pays for it

    base_url = url or _running_url(_folder(data, LocalSettings()))
    code = import_files.run(
        paths, base_url=base_url, jobs=jobs, restart=restart, console=Console(), report=report
    )
    raise typer.Exit(code)


class ErrorsAction(StrEnum):
    """What `coregister errors` does."""

    SHOW = "show"
    RETRY = "retry"


@app.command(
    epilog="Examples:\n\n"
    "[bold]coregister errors --kind invalid-tag --since 2026-11-01[/]\n\n"
    "[bold]coregister errors retry --study 1.2.840.113619.2.1[/]"
)
def errors(
    action: Annotated[
        ErrorsAction,
        typer.Argument(help="`show` them, or `retry` what failed, after its cause was mended."),
    ] = ErrorsAction.SHOW,
    *,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only errors of this kind.", show_default=False)
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Only those of this study (its UID).", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Show those seen since this date or time.", show_default=False),
    ] = None,
    state: Annotated[str, typer.Option(help="Show `open`, `resolved` or `all`.")] = "open",
    limit: Annotated[int, typer.Option(help="Show at most so many.", min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    url: Annotated[
        str | None,
        typer.Option(help="DICOMweb base URL. [dim]\\[default: what `up` runs][/]", show_default=False),
    ] = None,
    data: Data = None,
) -> None:  # fmt: skip
    """Show what went wrong with studies, or try it again; `retry` exits with 1 where errors are left."""
    from app.client import problem_records  # noqa: PLC0415  no other command pays for it

    base_url = url or _running_url(_folder(data, LocalSettings()))
    filters = [("kind", each) for each in kind or ()] + ([("study", study)] if study else [])
    if action is ErrorsAction.RETRY:
        code = problem_records.retry(base_url, filters, Console(), as_json=as_json)
    else:
        filters += [("state", state), ("limit", str(limit))] + ([("since", since)] if since else [])
        code = problem_records.show(base_url, filters, Console(), as_json=as_json)
    raise typer.Exit(code)


@app.command()
def version() -> None:
    """Print the version."""
    Console().print(f"coregister {__version__}", highlight=False)


def main() -> NoReturn:
    """Run a command; what is wrong is said in one sentence, without a stack."""
    problems = Console(stderr=True)
    try:
        app()
    except CoregisterError as error:
        problems.print(error.message, style="red", markup=False, highlight=False)
        sys.exit(FAILED)
    except ValidationError as error:
        for each in error.errors():
            name = "COREGISTER_" + "_".join(str(part).upper() for part in each["loc"])
            problems.print(f"{name}: {each['msg']}.", style="red", markup=False, highlight=False)
        sys.exit(BAD_SETTINGS)
    sys.exit(0)


def _folder(data: Path | None, settings: LocalSettings) -> StackFolder:
    return StackFolder((data or settings.data).expanduser().resolve())


def _demo(state: StackState, console: Console) -> int:
    from app.client import demo  # noqa: PLC0415  no other command pays for it

    services = state.services
    return demo.run(services["dicomweb"].url, services["fhir"].url, console)


def _watch(
    folder: StackFolder,
    supervisor: subprocess.Popen[bytes],
    seen: StackState,
    console: Console,
) -> int:
    """Say what happens to the services until Ctrl-C; return a code for the shell."""
    try:
        while supervisor.poll() is None:
            time.sleep(WATCH_SECONDS)
            now = folder.read()
            for line in phase_changes(seen, now):
                console.print(line, highlight=False)
            seen = now
    except KeyboardInterrupt:
        return 0
    if seen.problem is not None:
        console.print(seen.problem, style="red", markup=False, highlight=False)
    return 0 if seen.phase is Phase.STOPPED and supervisor.returncode == 0 else FAILED


def _stop(folder: StackFolder, supervisor: subprocess.Popen[bytes], console: Console) -> None:
    if supervisor.poll() is None:
        with console.status("Stopping …"):
            take_down(folder)
            supervisor.wait()
    console.print("Stopped. What was stored is in " + str(folder.path), highlight=False)


def _running_url(folder: StackFolder) -> str:
    services = folder.read().services
    if folder.is_up() and "dicomweb" in services:
        return services["dicomweb"].url
    return Settings().dicomweb_url


def _end_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_CHANCE_SECONDS)
    os._exit(FAILED)


if __name__ == "__main__":
    main()
