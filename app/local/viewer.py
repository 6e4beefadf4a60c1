"""The viewer that `coregister up --viewer` serves: OHIF as published, moved below /viewer/."""

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from rich.console import Console

from app.local.download_cache import DownloadCache
from app.local.npm import read_packages, registry_of
from app.local.provision import download
from app.resources import data_path
from app.settings import LocalSettings

BASE = "/viewer/"
_INSIDE = PurePosixPath("package/dist")  # of the archive
_LICENCE = PurePosixPath("package/LICENSE")
_LEFT_OUT = frozenset({".map"})  # source maps are a fifth of it, and of no use here
_SERVICE_WORKER = "sw.js"  # would go on answering for a viewer that is not served any more
# The published build is made for the root of a server. It says so where a bundle loads others, and in the
# addresses of its page and manifest.
_ROOT: Mapping[str, Sequence[re.Pattern[bytes]]] = MappingProxyType(
    {
        ".js": (
            re.compile(rb'(?<=__webpack_require__\.p = ")/(?=";)'),
            re.compile(rb"(?<=browserImportFunction\(')/"),
        ),
        ".css": (re.compile(rb"(?<=url\()/(?!/)"),),
        ".html": (
            re.compile(rb'(?<=src=")/(?!/)|(?<=href=")/(?!/)|(?<=content=")/(?!/)'),
            re.compile(rb"(?<=PUBLIC_URL = ')/(?=')"),
        ),
        ".json": (re.compile(rb'(?<="src": ")/|(?<="start_url": ")/'),),
    }
)


def provide_viewer(settings: LocalSettings, console: Console) -> Path:
    """Return the folder to serve; it is downloaded and made once, and shown while it is."""
    lock = data_path("docker", "viewer", "packages.lock")
    config = data_path("docker", "viewer", "app-config.js")
    target = settings.cache / f"viewer-{_key(lock, config, Path(__file__))}"
    if target.is_dir():
        return target
    (package,) = read_packages(lock)
    cache = DownloadCache(settings.cache / "npm", repository_setting="COREGISTER_NPM_REGISTRY")
    registry = registry_of(
        package, given=settings.npm_registry, environment=os.environ, home=Path.home()
    )
    if missing := cache.missing([package]):
        download(cache, missing, registry, console, what="the viewer")
    with console.status("Unpacking the viewer …"):
        unpack(cache.path(package), config, target)
    cache.path(package).unlink()  # what it held is kept; a start needs it no more
    return target


def unpack(archive: Path, config: Path, target: Path) -> None:
    """Make the folder from the package's archive, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / "viewer"
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                place = _place(PurePosixPath(member.name)) if member.isfile() else None
                content = None if place is None else members.extractfile(member)
                if place is not None and content is not None:
                    path = made / place
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(_moved(content.read(), path.suffix))
        shutil.copy(config, made / "app-config.js")
        if not target.is_dir():
            made.rename(target)


def _place(member: PurePosixPath) -> PurePosixPath | None:
    """Return where a file of the archive goes, None where it is left out."""
    if member == _LICENCE:
        return PurePosixPath(member.name)
    if not member.is_relative_to(_INSIDE) or ".." in member.parts:
        return None
    place = member.relative_to(_INSIDE)
    return None if place.suffix in _LEFT_OUT or place.name == _SERVICE_WORKER else place


def _moved(content: bytes, suffix: str) -> bytes:
    for root in _ROOT.get(suffix, ()):
        content = root.sub(BASE.encode(), content)
    return content


def _key(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
