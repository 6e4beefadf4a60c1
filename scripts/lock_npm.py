"""Writes a line of `packages.lock`: a package of npm with the SHA-256 and size of its archive."""

import hashlib
import os
import sys
from pathlib import Path

import httpx

from app.local.npm import NpmPackage, registry_of
from app.settings import LocalSettings


def locked_line(name: str, version: str) -> str:
    """Return the line of a version, from what the configured registry sends."""
    package = NpmPackage(name, version, sha256="", size=0)
    registry = registry_of(
        package, given=LocalSettings().npm_registry, environment=os.environ, home=Path.home()
    )
    answer = httpx.get(f"{registry.rstrip('/')}/{package.path}", follow_redirects=True, timeout=120)
    data = answer.raise_for_status().content
    return f"{name}@{version} {hashlib.sha256(data).hexdigest()} {len(data)}\n"


def main(lock: Path, wanted: str) -> None:
    """Replace what the lock says of the package; its comments stay."""
    name, _, version = wanted.rpartition("@")
    lines = lock.read_text("utf-8").splitlines(keepends=True) if lock.exists() else []
    kept = [line for line in lines if not line.startswith(f"{name}@")]
    lock.write_text("".join([*kept, locked_line(name, version)]), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
