"""Stores the demo set and shows that DICOMweb and FHIR agree about every study of it."""

import asyncio
from collections.abc import Sequence

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.client.compare import StudySeen, differences
from app.client.demo_display import Sent, print_commands, print_sent, print_studies
from app.client.demo_set import DemoFile, demo_batches, demo_files
from app.client.look import Lookout
from app.client.plan import BatchSize
from app.client.stow import StowClient
from app.errors import ServerUnreachable

ALL_AGREE = 0
SOMETHING_DISAGREES = 1
NO_SERVER = 2

ANSWER_SECONDS = 300.0
CONNECT_SECONDS = 10.0
REQUEST = BatchSize(most_files=25)


def run(base_url: str, fhir_url: str, console: Console) -> int:
    """Store the demo set and compare; return 0 where everything agrees, 2 where nobody answers."""
    try:
        sent, seen = asyncio.run(_store_and_look(base_url, fhir_url, console))
    except ServerUnreachable as error:
        console.print(f"[bold red]{error.message}.[/]", highlight=False)
        console.print("Is the server up? [bold]coregister up[/] starts one on this machine.")
        return NO_SERVER
    agree = bool(seen) and not any(differences(study) for study in seen)
    print_studies(console, sent, seen)
    print_sent(console, sent, agree=agree)
    print_commands(console, base_url=base_url, fhir_url=fhir_url, sent=sent, seen=seen)
    expected = all(each.as_expected for each in sent)
    return ALL_AGREE if agree and expected else SOMETHING_DISAGREES


async def _store_and_look(
    base_url: str, fhir_url: str, console: Console
) -> tuple[list[Sent], list[StudySeen]]:
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as http:
        client = StowClient(http, base_url)
        await client.probe()
        with _progress(console) as progress:
            sent = await _store(client, demo_files(), progress)
            lookout = Lookout(http, base_url=base_url, fhir_url=fhir_url)
            return sent, await _look(lookout, sent, progress)


async def _store(client: StowClient, files: Sequence[DemoFile], progress: Progress) -> list[Sent]:
    task = progress.add_task("Storing real DICOM files", total=len(files))
    sent: list[Sent] = []
    for batch in demo_batches(files, REQUEST):
        outcomes = await client.store([file.prepared for file in batch])
        of_source = {outcome.source: outcome for outcome in outcomes}
        sent += [Sent(file, of_source[file.prepared.source]) for file in batch]
        progress.advance(task, len(batch))
    return sent


async def _look(lookout: Lookout, sent: Sequence[Sent], progress: Progress) -> list[StudySeen]:
    studies: dict[str, list[DemoFile]] = {}
    for each in sent:
        if each.outcome.stored:
            studies.setdefault(each.file.study_instance_uid, []).append(each.file)
    task = progress.add_task("Comparing QIDO, FHIR and WADO", total=len(studies))
    seen = []
    for uid, files in studies.items():
        seen.append(await lookout.look(uid, files))
        progress.advance(task)
    return seen


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
    )
