"""Which jars a server consists of: the lock files, read."""

import re
from dataclasses import dataclass
from pathlib import Path

from app.errors import ConfigurationError

_LINE = re.compile(
    r"(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+)(?::(?P<classifier>[\w.-]+))?"
    r" (?P<sha256>[0-9a-f]{64}) (?P<size>[1-9]\d*)"
)


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar of the Maven repository, known down to its last byte."""

    group: str
    artifact: str
    version: str
    classifier: str | None
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """Return the name of its file."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{suffix}.jar"

    @property
    def path(self) -> str:
        """Return its place below the root of any Maven repository."""
        folder = self.group.replace(".", "/")
        return f"{folder}/{self.artifact}/{self.version}/{self.filename}"


def read_lock(path: Path) -> tuple[Jar, ...]:
    """Return the jars that a lock file lists."""
    return parse_lock(path.read_text(encoding="utf-8"), name=str(path))


def parse_lock(text: str, *, name: str) -> tuple[Jar, ...]:
    """Return the jars that the text lists; a line that is none is an error, not skipped."""
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigurationError(
                f"{name}, line {number}: expected group:artifact:version[:classifier] sha256 size."
            )
        group, artifact, version, classifier, sha256, size = match.groups()
        jars.append(Jar(group, artifact, version, classifier, sha256, int(size)))
    return tuple(jars)
