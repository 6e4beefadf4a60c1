"""Writes `jars.lock` beside each `pom.xml`: every jar that it needs, with SHA-256 and size."""

import hashlib
import sys
from pathlib import Path

import platformdirs
from jgo.maven import POM, MavenContext, Model
from rich.console import Console

HEADER = """\
# Every jar that pom.xml asks for. Made by scripts/lock-jars; do not edit.
# group:artifact:version[:classifier] sha256 size
"""


def locked_lines(pom: Path, context: MavenContext) -> list[str]:
    """Return a line for each jar that is needed at run time, in order."""
    dependencies, _ = Model(POM(pom), context).dependencies()
    lines = []
    for dependency in dependencies:
        if dependency.scope not in ("compile", "runtime") or dependency.type == "pom":
            continue
        jar = dependency.artifact.resolve()
        names = [dependency.groupId, dependency.artifactId, dependency.version]
        if dependency.classifier:
            names.append(dependency.classifier)
        with jar.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        lines.append(f"{':'.join(names)} {digest} {jar.stat().st_size}\n")
    return sorted(lines)


def main(folders: list[str]) -> None:
    """Lock each folder; what was downloaded before is used again."""
    console = Console()
    context = MavenContext(repo_cache=platformdirs.user_cache_path("coregister") / "resolver")
    for folder in map(Path, folders):
        with console.status(f"Resolving {folder}"):
            lines = locked_lines(folder / "pom.xml", context)
        (folder / "jars.lock").write_text(HEADER + "".join(lines), encoding="utf-8")
        size = sum(int(line.split()[2]) for line in lines)
        console.print(f"{folder}/jars.lock: {len(lines)} jars, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
