"""Compiles the two Java launchers, once for each state of their sources and jars."""

import hashlib
import os
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from app.errors import StartFailed
from app.local.java import Java
from app.local.java_command import JAVA_ENVIRONMENT
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
    """Return a jar of the launcher's classes; `compiler` is a jar that needs no JDK.

    It is a jar and no folder because a class-data archive covers jars only.
    """
    jar = cache / "launchers" / f"{launcher.name}-{launcher.key}.jar"
    if not jar.exists():
        jar.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=jar.parent) as folder:
            classes = Path(folder) / "classes"
            _compile(launcher, java=java, compiler=compiler, classes=classes)
            made = Path(folder) / "made.jar"
            with zipfile.ZipFile(made, "w") as archive:
                for file in sorted(classes.rglob("*.class")):
                    archive.write(file, file.relative_to(classes))
            made.replace(jar)
    return jar


def _compile(launcher: Launcher, *, java: Java, compiler: Path, classes: Path) -> None:
    classes.mkdir()
    arguments = classes.with_name("arguments")
    arguments.write_text(_argument_file(launcher, classes), encoding="utf-8")
    result = subprocess.run(  # noqa: S603  our own runtime, our own sources
        [str(java.executable), "-jar", str(compiler), f"@{arguments}"],
        capture_output=True, text=True, env={**os.environ, **JAVA_ENVIRONMENT},
        timeout=COMPILE_SECONDS, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise StartFailed(
            f"The {launcher.name} launcher does not compile:\n{result.stdout}{result.stderr}"
        )


def _argument_file(launcher: Launcher, classes: Path) -> str:
    """Write arguments to a file: 250 jars are too many for some command lines."""
    lines = [
        "-21", "-nowarn", "-proc:none", "-encoding UTF-8",
        f'-d "{classes}"',
        f'-classpath "{":".join(map(str, launcher.classpath))}"',
        *(f'"{source}"' for source in launcher.sources),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
