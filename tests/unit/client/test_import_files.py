"""`coregister import`: what is sent, what is told, and how it is gone on with."""

import io
import json
import os
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
import pytest
from rich.console import Console
from starlette.responses import Response

from app.client import import_files
from tests.unit.client.conftest import Archive

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setattr(platformdirs, "user_state_path", lambda _: folder)
    return folder / "imports"


class Import:
    """Runs an import and keeps what it printed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.printed = ""

    def __call__(
        self, *paths: Path, jobs: int = 2, restart: bool = False, report: Path | None = None
    ) -> int:
        console = Console(file=io.StringIO(), width=200)
        code = import_files.run(
            list(paths),
            base_url=self.url,
            jobs=jobs,
            restart=restart,
            console=console,
            report=report,
        )
        assert isinstance(console.file, io.StringIO)
        self.printed = console.file.getvalue()
        return code


def test_folder_with_everything_good_is_stored_and_leaves_no_journal(
    archive: Archive, write_instance: Write, tmp_path: Path, state: Path
) -> None:
    for n in range(120):
        write_instance(f"in/{n % 3}/{n:03}")
    run = Import(archive.url)

    assert run(tmp_path / "in", jobs=3) == 0
    assert len(archive.stored) == 120
    assert "120  stored" in run.printed
    assert max(archive.requests) > 1
    assert list(state.iterdir()) == []


def test_what_is_no_dicom_is_left_out_and_told(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    """A README or a DICOMDIR among the images is no failure."""
    write_instance("in/a.dcm")
    (tmp_path / "in/README.txt").write_text("words")
    head = b"\2\0\2\0UI\x14\0" + b"1.2.840.10008.1.3.10"
    (tmp_path / "in/DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + head)
    run = Import(archive.url)

    assert run(tmp_path / "in") == 0
    assert archive.requests == [1]
    assert "1  not sent: not a DICOM file" in run.printed
    assert "README.txt" in run.printed
    assert "1  not sent: a DICOMDIR" in run.printed


def test_refused_files_are_grouped_by_reason_and_named(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    for n in range(8):
        write_instance(f"in/{n}.dcm", uid=f"1.2.{n}")
        if n:
            archive.refuse[f"1.2.{n}"] = 0x0120
    report = tmp_path / "report.jsonl"
    run = Import(archive.url)

    assert run(tmp_path / "in", report=report) == 1
    assert "1  stored" in run.printed
    assert "7  refused: 0120 an attribute is missing" in run.printed
    assert "and 2 more" in run.printed
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(lines) == 8
    assert {line["sop_instance_uid"] for line in lines if not line["stored"]} == set(archive.refuse)


def test_second_run_sends_only_what_was_not_acknowledged(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    """After the cause of a refusal is gone, only the refused file travels again."""
    write_instance("in/bad.dcm", uid="1.2.1")
    write_instance("in/good.dcm", uid="1.2.2")
    archive.refuse["1.2.1"] = 0x0110
    run = Import(archive.url)
    assert run(tmp_path / "in") == 1
    archive.refuse.clear()
    archive.requests.clear()

    assert run(tmp_path / "in") == 0
    assert archive.requests == [1]
    assert "1  already there" in run.printed
    assert set(archive.stored) == {"1.2.1", "1.2.2"}


def test_restart_sends_everything_again(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    for n in range(3):
        write_instance(f"in/{n}.dcm", uid=f"1.2.{n}")
    archive.refuse["1.2.0"] = 0x0110
    run = Import(archive.url)
    run(tmp_path / "in")
    archive.requests.clear()

    assert run(tmp_path / "in", restart=True) == 1
    assert sum(archive.requests) == 3


def test_changed_file_is_sent_again(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    """The journal knows a file by path, size and time: another content is another file."""
    write_instance("in/bad.dcm", uid="1.2.1")
    path = write_instance("in/good.dcm", uid="1.2.2")
    archive.refuse["1.2.1"] = 0x0110
    run = Import(archive.url)
    run(tmp_path / "in")
    os.utime(path, ns=(0, 1))
    archive.requests.clear()

    run(tmp_path / "in")
    assert sum(archive.requests) == 2


def test_journal_cut_off_in_a_line_is_read_as_far_as_it_goes(
    archive: Archive, write_instance: Write, tmp_path: Path, state: Path
) -> None:
    """Power was cut while a line was written: that file is sent again, the next lines are whole."""
    for n in range(4):
        write_instance(f"in/{n}.dcm", uid=f"1.2.{n}")
    archive.refuse["1.2.0"] = 0x0110
    run = Import(archive.url)
    run(tmp_path / "in")
    (journal,) = state.iterdir()
    journal.write_bytes(journal.read_bytes()[:-10])
    archive.requests.clear()

    run(tmp_path / "in")
    assert sum(archive.requests) == 2  # the refused one, and the one whose line is torn
    archive.requests.clear()
    run(tmp_path / "in")
    assert sum(archive.requests) == 1


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let this process be interrupted: where pytest runs in several, all but the first ignore that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_run_says_how_to_go_on_and_goes_on(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    """Ctrl-C after the first request: what was acknowledged is not sent again."""
    for n in range(150):
        write_instance(f"in/{n:03}.dcm")
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        archive.after_store = lambda: None
        signal.pthread_kill(main, signal.SIGINT)

    def count_down() -> None:
        archive.after_store = interrupt

    archive.after_store = count_down
    run = Import(archive.url)
    assert run(tmp_path / "in", jobs=1) == 130
    assert "Interrupted" in run.printed
    assert "The same command goes on from here" in run.printed
    assert 50 <= len(archive.stored) < 150
    archive.requests.clear()

    assert run(tmp_path / "in", jobs=1) == 0
    assert len(archive.stored) == 150
    assert sum(archive.requests) <= 100
    assert "50 files were acknowledged before" in run.printed


def test_server_that_is_not_up_is_told_with_what_to_do(
    write_instance: Write, tmp_path: Path, state: Path
) -> None:
    write_instance("in/a.dcm")
    run = Import("http://127.0.0.1:9/dicom-web")

    assert run(tmp_path / "in") == 2
    assert "Nobody answers at http://127.0.0.1:9/dicom-web" in run.printed
    assert "coregister up" in run.printed
    assert list(state.iterdir()) == []


def test_server_that_stops_midway_leaves_a_journal_to_go_on_with(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    for n in range(60):
        write_instance(f"in/{n:03}.dcm")
    archive.after_store = lambda: archive.answers.append(Response(status_code=403))
    run = Import(archive.url)

    assert run(tmp_path / "in", jobs=1) == 2
    assert "answered with 403" in run.printed
    assert "50  stored" in run.printed
    archive.after_store = lambda: None
    archive.requests.clear()
    assert run(tmp_path / "in", jobs=1) == 0
    assert sum(archive.requests) == 10


def test_missing_and_unreadable_paths_make_the_run_fail(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    good = write_instance("a.dcm")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK nothing")
    run = Import(archive.url)

    assert run(good, tmp_path / "nowhere", broken) == 1
    assert len(archive.stored) == 1
    assert "there is no such file" in run.printed
    assert "cannot be read as .zip (BadZipFile)" in run.printed


def test_members_of_a_zip_are_sent_whatever_they_are_called(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    """Nothing is unpacked, so a name that leads out of the folder does no harm."""
    files = [write_instance(f"in/{n}.dcm", size=100_000) for n in range(3)]
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in files:
            zipped.write(path, f"../../{path.name}")
        zipped.writestr("notes.txt", "words")
    run = Import(archive.url)

    assert run(tmp_path / "in.zip") == 0
    assert sorted(archive.stored.values()) == sorted(path.read_bytes() for path in files)
    assert "in.zip!notes.txt" in run.printed


def test_damaged_member_is_refused_and_the_rest_is_stored(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    """The checksum of a member is wrong: it must not be stored as if it were right."""
    files = [write_instance(f"in/{n}.dcm", size=50_000) for n in range(2)]
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_STORED) as zipped:
        for path in files:
            zipped.write(path, path.name)
    content = bytearray((tmp_path / "in.zip").read_bytes())
    content[40_000] ^= 1
    (tmp_path / "in.zip").write_bytes(content)
    run = Import(archive.url)

    assert run(tmp_path / "in.zip") == 1
    assert list(archive.stored.values()) == [files[1].read_bytes()]
    assert "cannot be read (BadZipFile)" in run.printed


def test_folder_that_links_to_itself_ends(
    archive: Archive, write_instance: Write, tmp_path: Path
) -> None:
    write_instance("in/a.dcm")
    (tmp_path / "in/again").symlink_to(tmp_path / "in", target_is_directory=True)

    assert Import(archive.url)(tmp_path / "in") == 0
    assert sum(archive.requests) == 1
