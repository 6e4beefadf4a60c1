"""Packages of npm without Node: which one, down to its last byte, and from which registry.

A registry serves a package's archive at `{registry}/{name}/-/{name without scope}-{version}.tgz`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packageurl import PackageURL
from packageurl.contrib.purl2url import get_download_url

from app.errors import ConfigurationError

_LINE = re.compile(
    r"(?P<name>(?:@[\w.-]+/)?[\w.-]+)@(?P<version>[\w.+-]+) (?P<sha256>[0-9a-f]{64}) (?P<size>[1-9]\d*)"
)
_ENTRY = re.compile(r"^\s*(?P<key>[@\w:.-]+)\s*=\s*(?P<value>\S+)\s*$", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)\}")
_OF_THIS_MACHINE = ("/usr/local/etc/npmrc", "/usr/etc/npmrc", "/etc/npmrc")


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """The archive of one version of a package."""

    name: str
    version: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """Return the name of its archive."""
        return f"{self.name.rpartition('/')[2]}-{self.version}.tgz"

    @property
    def path(self) -> str:
        """Return its place below the root of any registry."""
        return f"{self.name}/-/{self.filename}"


def read_packages(path: Path) -> tuple[NpmPackage, ...]:
    """Return the packages that a lock file lists; a line that is none is an error, not skipped."""
    packages = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigurationError(f"{path}, line {number}: expected name@version sha256 size.")
        packages.append(
            NpmPackage(match["name"], match["version"], match["sha256"], int(match["size"]))
        )
    return tuple(packages)


def registry_of(
    package: NpmPackage, *, given: str | None, environment: Mapping[str, str], home: Path
) -> str:
    """Return the registry to ask: the given one, else what npm is configured with, else npm's own."""
    scope, slash, _ = package.name.rpartition("/")
    keys = ([f"{scope}:registry"] if slash else []) + ["registry"]
    configured = [given] if given else []
    for key in keys:
        configured += _configured(key, environment, home)
    return next(iter(configured), None) or _public(package)


def _configured(key: str, environment: Mapping[str, str], home: Path) -> Iterator[str]:
    """Yield what npm's environment and its files say of a key, in npm's order."""
    wanted = f"npm_config_{key}"
    yield from (value for name, value in environment.items() if name.lower() == wanted and value)
    own = environment.get("npm_config_userconfig") or environment.get("NPM_CONFIG_USERCONFIG")
    for path in (Path(own) if own else home / ".npmrc", *map(Path, _OF_THIS_MACHINE)):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            continue
        for entry in _ENTRY.finditer(text):
            if entry["key"] == key:
                plain = entry["value"].strip("\"'")
                yield _VARIABLE.sub(lambda found: environment.get(found["name"], ""), plain)


def _public(package: NpmPackage) -> str:
    """Return the registry that a package URL of type npm means when it names none."""
    scope, _, name = package.name.rpartition("/")
    purl = PackageURL("npm", scope or None, name, package.version)
    url: str = get_download_url(str(purl))  # type: ignore[no-untyped-call]
    return url.removesuffix("/" + package.path)
