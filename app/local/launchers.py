"""Compiles the two Java launchers, once for each state of their sources and jars."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import StartFailed
from app.local.java import Java
from app.resources import data_path

COMPILE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Launcher:
    """A folder of sources under docker/ and the jars that they are compiled against."""

    name: str
    classpath: tuple[Path, ...]

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return every source file, in order."""
        folders = (data_path("docker", self.name), data_path("docker", "lifeline"))
        return tuple(sorted(file for folder in folders for file in folder.glob("*.java")))

    @property
    def key(self) -> str:
        """Return what changes whenever the classes have to be made anew."""
        digest = hashlib.sha256()
        for file in (*self.sources, data_path("docker", self.name, "jars.lock")):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


def compiled(launcher: Launcher, *, java: Java, compiler: Path, cache: Path) -> Path:
    """Return the folder with the launcher's classes; `compiler` is a jar that needs no JDK."""
    target = cache / "launchers" / f"{launcher.name}-{launcher.key}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{launcher.name}-"))
    try:
        _compile(launcher, java=java, compiler=compiler, made=made)
        if not target.is_dir():  # another process may have been faster
            made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def _compile(launcher: Launcher, *, java: Java, compiler: Path, made: Path) -> None:
    arguments = made / "arguments"
    arguments.write_text(_argument_file(launcher, made), encoding="utf-8")
    result = subprocess.run(  # noqa: S603  our own runtime, our own sources
        [str(java.executable), "-Xshare:auto", "-jar", str(compiler), f"@{arguments}"],
        capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False,
    )  # fmt: skip
    arguments.unlink()
    if result.returncode != 0:
        raise StartFailed(
            f"The {launcher.name} launcher does not compile:\n{result.stdout}{result.stderr}"
        )


def _argument_file(launcher: Launcher, made: Path) -> str:
    """Write arguments to a file: 250 jars are too many for some command lines."""
    lines: Sequence[str] = [
        "-21", "-nowarn", "-proc:none", "-encoding UTF-8",
        f'-d "{made}"',
        f'-classpath "{":".join(map(str, launcher.classpath))}"',
        *(f'"{source}"' for source in launcher.sources),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
