"""Downloads: several at once, gone on with after an interruption, never placed unchecked."""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.errors import DownloadFailed, NoRoom
from app.local import download_cache
from app.local.download_cache import DownloadCache
from app.local.jars import Jar

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@dataclass
class Repository:
    """A Maven repository on this machine that can be told to misbehave."""

    files: dict[str, bytes]
    url: str = ""
    cut_after: list[int] = field(default_factory=list)  # the next answers end after so many bytes
    statuses: list[int] = field(default_factory=list)  # the next answers are these errors
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one GET."""
        asked = handler.headers["Range"]
        self.requests.append((handler.path, asked))
        content = self.files.get(handler.path.lstrip("/"))
        if self.statuses or content is None:
            handler.send_error(self.statuses.pop(0) if self.statuses else 404)
            return
        status = 200
        if asked and self.ranges and (match := re.fullmatch(r"bytes=(\d+)-", asked)):
            status, content = 206, content[int(match.group(1)) :]
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: self.cut_after.pop(0)] if self.cut_after else content)
        handler.close_connection = True


@pytest.fixture
def repository() -> Iterator[Repository]:
    """Serve two files."""
    served = Repository({a_jar().path: CONTENT, a_jar("other").path: CONTENT[::-1]})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def a_jar(artifact: str = "thing", content: bytes | None = None) -> Jar:
    """Return a jar of the repository above."""
    content = content or (CONTENT if artifact == "thing" else CONTENT[::-1])
    digest = hashlib.sha256(content).hexdigest()
    return Jar("org.example", artifact, "1.0", None, digest, len(content))


@pytest.fixture
def cache(tmp_path: Path) -> DownloadCache:
    return DownloadCache(
        tmp_path / "jars",
        repository_setting="COREGISTER_MAVEN_REPOSITORY",
        pause_seconds=0,
    )


def fetch(cache: DownloadCache, repository: Repository, *jars: Jar) -> int:
    """Fetch, and return the bytes that the progress bar was told of."""
    told: list[int] = []
    cache.fetch(jars, repository=repository.url, advance=told.append)
    return sum(told)


def part(cache: DownloadCache, jar: Jar) -> Path:
    return cache.path(jar).with_name(jar.filename + ".part")


def leave_part(cache: DownloadCache, jar: Jar, content: bytes) -> None:
    """Leave what an interrupted run would leave."""
    part(cache, jar).parent.mkdir(parents=True)
    part(cache, jar).write_bytes(content)


def test_missing_jars_come_whole_and_are_not_missing_any_more(
    cache: DownloadCache, repository: Repository
) -> None:
    jars = (a_jar(), a_jar("other"))
    assert cache.missing(jars) == jars

    told = fetch(cache, repository, *jars)

    assert cache.missing(jars) == ()
    assert cache.path(jars[0]).read_bytes() == CONTENT
    assert cache.path(jars[1]).read_bytes() == CONTENT[::-1]
    assert told == 2 * len(CONTENT)
    assert not part(cache, jars[0]).exists()


def test_jar_that_is_there_is_not_asked_for_again(
    cache: DownloadCache, repository: Repository
) -> None:
    fetch(cache, repository, a_jar())
    repository.requests.clear()

    fetch(cache, repository, a_jar())

    assert repository.requests == []


def test_interrupted_run_is_gone_on_with(cache: DownloadCache, repository: Repository) -> None:
    leave_part(cache, a_jar(), CONTENT[:1000])
    assert cache.already([a_jar()]) == 1000

    told = fetch(cache, repository, a_jar())

    assert cache.path(a_jar()).read_bytes() == CONTENT
    assert repository.requests == [(f"/{a_jar().path}", "bytes=1000-")]
    assert told == len(CONTENT) - 1000


def test_connection_that_breaks_is_gone_on_with(
    cache: DownloadCache, repository: Repository
) -> None:
    repository.cut_after = [70_000, 100_000]

    told = fetch(cache, repository, a_jar())

    assert cache.path(a_jar()).read_bytes() == CONTENT
    assert [asked for _, asked in repository.requests] == [None, "bytes=70000-", "bytes=170000-"]
    assert told == len(CONTENT)


def test_server_without_ranges_starts_over(cache: DownloadCache, repository: Repository) -> None:
    repository.ranges = False
    leave_part(cache, a_jar(), b"x" * 1000)

    told = fetch(cache, repository, a_jar())

    assert cache.path(a_jar()).read_bytes() == CONTENT
    assert told == len(CONTENT) - 1000


def test_part_with_wrong_bytes_is_thrown_away_and_comes_anew(
    cache: DownloadCache, repository: Repository
) -> None:
    leave_part(cache, a_jar(), b"x" * 1000)

    fetch(cache, repository, a_jar())

    assert cache.path(a_jar()).read_bytes() == CONTENT


def test_file_that_is_not_the_locked_one_is_never_placed(
    cache: DownloadCache, repository: Repository
) -> None:
    wrong = a_jar(content=b"!" * len(CONTENT))

    with pytest.raises(DownloadFailed, match=r"thing-1\.0\.jar.*SHA-256"):
        fetch(cache, repository, wrong)

    assert not cache.path(wrong).exists()
    assert not part(cache, wrong).exists()


def test_missing_file_is_said_at_once_with_the_setting_that_helps(
    cache: DownloadCache, repository: Repository
) -> None:
    repository.files.clear()

    with pytest.raises(DownloadFailed, match=r"404.*COREGISTER_MAVEN_REPOSITORY"):
        fetch(cache, repository, a_jar())

    assert len(repository.requests) == 1


def test_server_in_trouble_is_asked_again(cache: DownloadCache, repository: Repository) -> None:
    repository.statuses = [503, 429]

    fetch(cache, repository, a_jar())

    assert cache.path(a_jar()).read_bytes() == CONTENT


def test_no_repository_fails_in_words_and_keeps_what_came(cache: DownloadCache) -> None:
    leave_part(cache, a_jar(), CONTENT[:1000])

    with pytest.raises(DownloadFailed, match="the next run goes on"):
        cache.fetch([a_jar()], repository="http://127.0.0.1:9", advance=lambda _: None)

    assert part(cache, a_jar()).read_bytes() == CONTENT[:1000]


def test_full_disk_is_said_before_anything_is_asked_for(
    cache: DownloadCache, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=1024))
    monkeypatch.setattr(download_cache, "shutil", full)

    with pytest.raises(NoRoom, match="COREGISTER_CACHE"):
        fetch(cache, repository, a_jar())

    assert repository.requests == []
