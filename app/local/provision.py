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

from app.local.elasticsearch import ElasticsearchParts, home_folder, is_transport
from app.local.hapi import HapiParts
from app.local.jar_cache import JarCache
from app.local.jars import Jar, read_lock
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
    jars = JarCache(settings.cache / "jars")
    missing = jars.missing(jar for lock in locks.values() for jar in lock)
    if missing:
        _download(jars, missing, settings.maven_repository or _central(), console)
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


def _download(jars: JarCache, missing: Sequence[Jar], repository: str, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"), BarColumn(24), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(
            f"Downloading {len(missing)} jars",
            total=sum(jar.size for jar in missing),
            completed=jars.already(missing),
        )
        jars.fetch(
            missing, repository=repository, advance=lambda count: progress.advance(task, count)
        )
