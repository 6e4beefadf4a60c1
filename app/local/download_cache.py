"""Brings locked files to this machine: several at once, resumable, checked, placed atomically.

Strategy: what is in the cache was checked before it got there, so a start without missing files
reads no byte of them and needs no network. A file on its way is a `.part` file; whatever of it is
there is kept through errors and interruptions, and the rest is asked for with `Range`. Only a file
whose length and SHA-256 are the locked ones is renamed to its place.
"""

import hashlib
import os
import shutil
import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import Protocol

import certifi
import httpx

from app.errors import DownloadFailed, NoRoom
from app.limits import MIB
from app.local.locks import exclusive

AT_ONCE = 6
ATTEMPTS = 4
PAUSE_SECONDS = 1.0  # doubled after each attempt
TIMEOUT_SECONDS = 30.0
SPARE_BYTES = 64 * MIB

Advance = Callable[[int], None]


class LockedFile(Protocol):
    """A file of a repository, known down to its last byte."""

    @property
    def filename(self) -> str:
        """Return the name of its file."""

    @property
    def path(self) -> str:
        """Return its place below the root of any repository of its kind."""

    @property
    def sha256(self) -> str:
        """Return the digest of its bytes."""

    @property
    def size(self) -> int:
        """Return the number of its bytes."""


class DownloadCache:
    """A folder of files, laid out like the repository that they come from."""

    def __init__(
        self, folder: Path, *, repository_setting: str, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        """Keep files in `folder`; wait `pause_seconds` before a failed download's second attempt.

        `repository_setting` is the variable that names another repository, for error texts.
        """
        self._folder = folder
        self._repository_setting = repository_setting
        self._pause_seconds = pause_seconds

    def path(self, wanted: LockedFile) -> Path:
        """Return where the file is, or will be."""
        return self._folder / wanted.path

    def missing(self, files: Iterable[LockedFile]) -> tuple[LockedFile, ...]:
        """Return the files that have to be downloaded, each once."""
        return tuple(dict.fromkeys(wanted for wanted in files if not self._has(wanted)))

    def already(self, files: Iterable[LockedFile]) -> int:
        """Return how many bytes of these files an earlier, interrupted download left."""
        return sum(
            min(part.stat().st_size, wanted.size)
            for wanted in files
            if (part := self._part(wanted)).exists()
        )

    def fetch(self, files: Sequence[LockedFile], *, repository: str, advance: Advance) -> None:
        """Download these files from the repository at this URL.

        `advance` is called with the number of bytes that came, negative for those that go again.
        """
        stop = Event()
        with ExitStack() as stack:
            stack.enter_context(exclusive(self._folder / ".lock"))  # one `.part`, one writer
            files = self.missing(files)  # somebody else may have brought them while this waited
            self._require_room(files)
            client = stack.enter_context(
                httpx.Client(
                    verify=_trust(), timeout=TIMEOUT_SECONDS, follow_redirects=True,
                    limits=httpx.Limits(max_connections=AT_ONCE),
                )
            )  # fmt: skip
            pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE, thread_name_prefix="download"))
            stack.callback(stop.set)  # also when the person at the keyboard has had enough
            downloads = _Downloads(client, repository.rstrip("/"), advance, stop)
            largest_first = sorted(files, key=lambda wanted: -wanted.size)
            under_way = [
                pool.submit(self._fetch_one, wanted, downloads) for wanted in largest_first
            ]
            stack.callback(lambda: [each.cancel() for each in under_way])
            done, _ = wait(under_way, return_when=FIRST_EXCEPTION)
            for each in done:
                each.result()

    def _has(self, wanted: LockedFile) -> bool:
        try:
            return self.path(wanted).stat().st_size == wanted.size
        except FileNotFoundError:
            return False

    def _part(self, wanted: LockedFile) -> Path:
        path = self.path(wanted)
        return path.with_name(path.name + ".part")

    def _require_room(self, files: Sequence[LockedFile]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        needed = sum(wanted.size for wanted in files) - self.already(files) + SPARE_BYTES
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise NoRoom(
                f"The downloads need {needed // MIB} MiB in {self._folder}, which has "
                f"{free // MIB} MiB left. Make room, or set COREGISTER_CACHE to another folder."
            )

    def _fetch_one(self, wanted: LockedFile, downloads: "_Downloads") -> None:
        part = self._part(wanted)
        part.parent.mkdir(parents=True, exist_ok=True)
        pause = self._pause_seconds
        for attempt in range(1, ATTEMPTS + 1):
            try:
                downloads.receive(wanted, part)
                break
            except (httpx.HTTPError, DownloadFailed) as error:
                if attempt == ATTEMPTS or downloads.stop.is_set() or _is_final(error):
                    raise self._explained(wanted, downloads.repository, error) from error
            except OSError as error:
                raise NoRoom(
                    f"{part.parent} cannot be written: {error.strerror}. What is there is kept; "
                    "the next run goes on from it."
                ) from error
            downloads.stop.wait(pause)
            pause *= 2
        if not downloads.stop.is_set():
            part.replace(self.path(wanted))

    def _explained(self, wanted: LockedFile, repository: str, error: Exception) -> DownloadFailed:
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx.HTTPStatusError):
            reason = f"it answered {error.response.status_code}"
        return DownloadFailed(
            f"{wanted.filename} could not be downloaded from {repository}: {reason}. What came is "
            f"kept; the next run goes on from it. {self._repository_setting} names another repository."
        )


@dataclass(frozen=True, slots=True)
class _Downloads:
    """What all downloads of one call share."""

    client: httpx.Client
    repository: str
    advance: Advance
    stop: Event

    def receive(self, wanted: LockedFile, part: Path) -> None:
        """Bring `part` to its full length and check it; what is wrong is removed."""
        have = part.stat().st_size if part.exists() else 0
        if have < wanted.size:
            self._append(wanted, part, have)
        if self.stop.is_set():
            return
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != wanted.sha256:
            self.advance(-part.stat().st_size)
            part.unlink()
            raise DownloadFailed("what came is not the file that was locked (its SHA-256 differs)")

    def _append(self, wanted: LockedFile, part: Path, have: int) -> None:
        headers = {"Accept-Encoding": "identity"}  # the locked bytes, as they are
        if have:
            headers["Range"] = f"bytes={have}-"
        url = f"{self.repository}/{wanted.path}"
        with self.client.stream("GET", url, headers=headers) as answer:
            answer.raise_for_status()
            resumed = answer.status_code == HTTPStatus.PARTIAL_CONTENT
            if not resumed:
                self.advance(-have)
            with part.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_raw():
                    file.write(chunk)
                    self.advance(len(chunk))
                    if self.stop.is_set():
                        return
                file.flush()
                os.fsync(file.fileno())


def _trust() -> ssl.SSLContext:
    """Trust what this machine trusts, and what every browser does: not every Python knows both."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _is_final(error: Exception) -> bool:
    return (
        isinstance(error, httpx.HTTPStatusError)
        and error.response.is_client_error
        and error.response.status_code != HTTPStatus.TOO_MANY_REQUESTS
    )
