"""npm's dicomweb-client, downloaded as its lock file says and unpacked."""

import os
import tarfile
from pathlib import Path

from app.local.download_cache import DownloadCache
from app.local.npm import read_packages, registry_of
from app.settings import LocalSettings

LOCK = Path(__file__).with_name("packages.lock")
BUNDLE = "build/dicomweb-client.js"
TEST_FILES = "testData"


def npm_client(folder: Path) -> Path:
    """Return where the package lies below a folder; it is downloaded once for this machine."""
    settings = LocalSettings()
    (package,) = read_packages(LOCK)
    cache = DownloadCache(settings.cache / "npm", repository_setting="COREGISTER_NPM_REGISTRY")
    registry = registry_of(
        package, given=settings.npm_registry, environment=os.environ, home=Path.home()
    )
    cache.fetch([package], repository=registry, advance=lambda _: None)
    with tarfile.open(cache.path(package)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"
