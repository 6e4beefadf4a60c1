"""Remembers which files of an import were acknowledged, so that it can be gone on with.

One file per import (server and paths), one JSON line per acknowledged file. A line that was cut off
when the process died is ignored: its file is sent again, which does no harm.
"""

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from app.client.sources import Source

DIGEST_BYTES = 16


class Journal:
    """The acknowledged files of one import."""

    def __init__(self, folder: Path, *, base_url: str, paths: list[Path], restart: bool) -> None:
        """Open the journal of this import, or begin it; `restart` forgets what was there."""
        about = {"server": base_url, "paths": sorted({str(path.resolve()) for path in paths})}
        name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]
        self.path = folder / f"{name}.jsonl"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if restart:
            self.path.unlink(missing_ok=True)
        self._known = self._read()
        self.resumed = len(self._known)
        self._file: TextIO = self.path.open("a", encoding="utf-8")
        self.path.chmod(0o600)  # file names may tell whose images they are

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; what it says stays."""
        self._file.close()
        if not self._known:
            self.path.unlink(missing_ok=True)

    def __contains__(self, source: Source) -> bool:
        """Return whether this very file, unchanged since, was acknowledged."""
        return _digest(_line(source)) in self._known

    def add(self, source: Source) -> None:
        """Note that the server has the file."""
        line = _line(source)
        self._known.add(_digest(line))
        self._file.write("\n" + line)
        self._file.flush()

    def forget(self) -> None:
        """Remove the journal: there is nothing left to go on with."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _read(self) -> set[bytes]:
        try:
            with self.path.open(encoding="utf-8") as lines:
                return {_digest(line.rstrip("\n")) for line in lines if line.strip()}
        except FileNotFoundError:
            return set()


def _line(source: Source) -> str:
    path = os.path.abspath(source.path)  # noqa: PTH100 - resolve() asks the disk for every folder
    return json.dumps([path, source.member, source.size, source.modified_ns])


def _digest(line: str) -> bytes:
    return hashlib.blake2b(line.encode(), digest_size=DIGEST_BYTES).digest()
