"""Long Java command lines, made short."""

from collections.abc import Sequence
from pathlib import Path

from app.local.java import Java

# Without it, a machine whose locale is plain C cannot open a file with an umlaut in its path.
JAVA_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


def java_command(java: Java, arguments: Sequence[str], *, file: Path) -> tuple[str, ...]:
    """Return a short command: hundreds of jars stand in `file` instead of the process list."""
    quoted = (argument.replace("\\", "\\\\").replace('"', '\\"') for argument in arguments)
    file.write_text("".join(f'"{argument}"\n' for argument in quoted), encoding="utf-8")
    return (str(java.executable), f"@{file}")
