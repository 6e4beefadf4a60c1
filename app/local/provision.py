"""Makes this machine ready to run the servers: jars, launchers and folders, all in the cache."""

import hashlib
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from app.local.download_cache import DownloadCache, LockedFile
from app.local.elasticsearch import ElasticsearchParts, home_folder, is_transport
from app.local.hapi import HapiParts
from app.local.jars import read_lock
from app.local.java import find_java
from app.local.launchers import Launcher, compiled
from app.resources import data_path
from app.settings import LocalSettings


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the two servers are run from."""

    elasticsearch: ElasticsearchParts
    hapi: HapiParts


def provide(settings: LocalSettings, console: Console) -> Parts:
    """Return the parts; what is missing is downloaded and made, and shown while it is."""
    java = find_java(settings.java_home, os.environ)
    locks = {name: read_lock(_lock(name)) for name in ("compiler", "elasticsearch", "hapi")}
    jars = DownloadCache(settings.cache / "jars", repository_setting="COREGISTER_MAVEN_REPOSITORY")
    missing = jars.missing(jar for lock in locks.values() for jar in lock)
    if missing:
        repository = settings.maven_repository or _central()
        download(jars, missing, repository, console, what=f"{len(missing)} jars")
    (compiler,) = (jars.path(jar) for jar in locks["compiler"])
    server = tuple(jars.path(jar) for jar in locks["elasticsearch"] if not is_transport(jar))
    hapi = tuple(jars.path(jar) for jar in locks["hapi"])
    with console.status("Preparing the servers …"):
        return Parts(
            ElasticsearchParts(
                java=java,
                launcher=compiled(
                    Launcher("elasticsearch", server),
                    java=java, compiler=compiler, cache=settings.cache,
                ),
                home=home_folder(
                    locks["elasticsearch"], jars,
                    target=settings.cache / f"elasticsearch-{_key('elasticsearch')}",
                ),
                jars=server,
            ),
            HapiParts(
                java=java,
                launcher=compiled(
                    Launcher("hapi", hapi), java=java, compiler=compiler, cache=settings.cache
                ),
                jars=hapi,
            ),
        )  # fmt: skip


def _lock(name: str) -> Path:
    return data_path("docker", name, "jars.lock")


def _key(name: str) -> str:
    return hashlib.sha256(_lock(name).read_bytes()).hexdigest()[:16]


def _central() -> str:
    """Return the central repository's URL; it is imported when needed, which is seldom."""
    url: str = importlib.import_module("jgo.constants").MAVEN_CENTRAL_URL
    return url


def download(
    cache: DownloadCache,
    missing: Sequence[LockedFile],
    repository: str,
    console: Console,
    *,
    what: str,
) -> None:
    """Bring what is missing, with a bar that shows how far it is."""
    columns = (
        TextColumn("{task.description}"), BarColumn(24), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(
            f"Downloading {what}",
            total=sum(wanted.size for wanted in missing),
            completed=cache.already(missing),
        )
        cache.fetch(
            missing, repository=repository, advance=lambda count: progress.advance(task, count)
        )
