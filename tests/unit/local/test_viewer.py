"""The viewer's archive becomes a folder that can be served below /viewer/."""

import hashlib
import io
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from app.local import viewer
from app.local.npm import NpmPackage
from app.local.viewer import provide_viewer, unpack
from app.settings import LocalSettings

PAGE = b"""<link href="/app.css"><script>window.PUBLIC_URL = '/';</script>
<script src="/app.js"></script><meta content="/a.png"><a href="//other.example/"></a>"""
FILES = {
    "package/LICENSE": b"MIT",
    "package/package.json": b"{}",
    "package/dist/index.html": PAGE,
    "package/dist/app.js": b"""__webpack_require__.p = "/"; x = '/data/'""",
    "package/dist/app.js.map": b"map",
    "package/dist/app.css": b"@font-face{src:url(/a.woff2)} b{background:url(data:x)}",
    "package/dist/manifest.json": b'{"icons": [{"src": "/assets/a.png"}], "start_url": "/"}',
    "package/dist/assets/a.png": b'\x89PNG href="/',
    "package/dist/app-config.js": b"theirs",
    "package/dist/sw.js": b"worker",
    "package/dist/../../../escaped.js": b"out",
    "elsewhere/dist/a.js": b"other",
}


def an_archive(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("package/dist/link.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = tmp_path / "ours.js"
    config.write_bytes(b"ours")
    unpack(an_archive(tmp_path / "app.tgz"), config, tmp_path / "made" / "viewer")
    return tmp_path / "made" / "viewer"


def test_what_is_served_is_there_and_nothing_else(folder: Path) -> None:
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}

    assert there == {
        "LICENSE", "index.html", "app.js", "app.css", "manifest.json", "assets/a.png", "app-config.js"
    }  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == ["viewer"]


def test_addresses_are_moved_below_the_base(folder: Path) -> None:
    assert (folder / "index.html").read_bytes() == (
        PAGE.replace(b'="/a', b'="/viewer/a').replace(b"= '/'", b"= '/viewer/'")
    )
    assert (folder / "app.js").read_bytes() == (
        b"""__webpack_require__.p = "/viewer/"; x = '/data/'"""
    )
    assert b"url(/viewer/a.woff2)" in (folder / "app.css").read_bytes()
    assert b"url(data:x)" in (folder / "app.css").read_bytes()
    assert (folder / "manifest.json").read_bytes() == (
        b'{"icons": [{"src": "/viewer/assets/a.png"}], "start_url": "/viewer/"}'
    )
    assert (folder / "assets/a.png").read_bytes() == FILES["package/dist/assets/a.png"]


def test_configuration_is_ours(folder: Path) -> None:
    assert (folder / "app-config.js").read_bytes() == b"ours"


def test_second_start_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first takes what an interrupted run has left, the second nothing at all."""
    data = an_archive(tmp_path / "app.tgz").read_bytes()
    package = NpmPackage("@scope/app", "1.0.0", hashlib.sha256(data).hexdigest(), len(data))
    settings = LocalSettings(cache=tmp_path / "cache", npm_registry="http://127.0.0.1:9")
    archive = settings.cache / "npm" / package.path
    archive.parent.mkdir(parents=True)
    archive.write_bytes(data)
    monkeypatch.setattr(viewer, "read_packages", lambda _: (package,))
    quiet = Console(file=io.StringIO())

    made = provide_viewer(settings, quiet)
    assert (made / "index.html").is_file()
    assert not archive.exists()

    monkeypatch.setattr(viewer, "tarfile", SimpleNamespace())
    assert provide_viewer(settings, quiet) == made
