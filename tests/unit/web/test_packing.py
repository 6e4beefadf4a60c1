"""Instances are put together without a byte changed, in one piece or in many."""

import subprocess
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.retrieve import Located
from app.web.packing import Archive, Packing, Parts

FILES = st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 5)), max_size=8)


def pack(packing: Packing, files: list[tuple[bytes, int]]) -> bytes:
    """Put files together, each in one piece or, with a number, in so many."""
    packed = b""
    for number, (data, pieces) in enumerate(files, start=1):
        located = Located("1.2", "1.3", f"1.4.{number}", "1.2.840.10008.1.2", "", len(data))
        if not pieces:
            packed += b"".join(packing.whole(located, data))
            continue
        packed += packing.begin(located)
        size = len(data) // pieces + 1
        for start in range(0, len(data), size):
            packed += packing.piece(data[start : start + size])
        packed += packing.end()
    return packed + packing.close()


@given(FILES)
def test_an_archive_can_be_read_by_others(files: list[tuple[bytes, int]]) -> None:
    with ZipFile(BytesIO(pack(Archive(), files))) as archive:
        assert archive.testzip() is None
        found = [(name, archive.read(name)) for name in archive.namelist()]

    assert found == [
        (f"1.2/1.3/1.4.{number}.dcm", data) for number, (data, _) in enumerate(files, start=1)
    ]


def test_an_archive_is_not_compressed() -> None:
    data = bytes(100_000)

    assert len(pack(Archive(), [(data, 0), (data, 3)])) > 2 * len(data)


def test_the_parts_have_their_length() -> None:
    packing = Parts()
    packed = pack(packing, [(b"abc", 0), (b"defgh", 2)])

    boundary = packing.content_type.rpartition("boundary=")[2].encode()
    first, second = packed.split(b"\r\n--" + boundary)[1:3]
    assert b"Content-Length: 3\r\n" in first
    assert first.endswith(b"\r\n\r\nabc")
    assert b"Content-Length: 5\r\n" in second
    assert second.endswith(b"\r\n\r\ndefgh")


def test_an_archive_passes_the_test_of_unzip(tmp_path: Path) -> None:
    path = tmp_path / "study.zip"
    path.write_bytes(pack(Archive(), [(b"a" * 70_000, 0), (b"b" * 200_000, 4), (b"", 0)]))
    try:
        tested = subprocess.run(["unzip", "-t", path], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unzip is not installed")

    assert tested.returncode == 0, tested.stdout
