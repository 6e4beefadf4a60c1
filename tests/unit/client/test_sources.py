"""Telling DICOM files from others by their first bytes."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from app.client.plan import BatchSize, Extent, measure, plan
from app.client.sources import FileMeta, Skipped, read_file_meta

UIDS = st.from_regex(r"1(\.[1-9][0-9]{0,8}){1,6}", fullmatch=True)


@given(UIDS, st.binary(max_size=300))
def test_file_meta_written_by_others_is_read(uid: str, private: bytes) -> None:
    """PS3.10 §7.1: the UIDs are found, whatever else the group holds."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("1.2.3")
    meta.PrivateInformationCreatorUID = UID("1.2.3")
    meta.PrivateInformation = private
    written = DicomBytesIO()
    write_file_meta_info(written, meta)

    head = b"\0" * 128 + b"DICM" + written.getvalue()
    assert read_file_meta(head) == FileMeta(CTImageStorage, uid)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_failure(tail: bytes) -> None:
    meta = read_file_meta(b"\0" * 128 + b"DICM" + tail)

    assert isinstance(meta.sop_instance_uid, str)


def test_batches_keep_to_count_and_bytes(write_instance: Callable[..., Path]) -> None:
    """A file larger than the limit goes alone; none is forgotten."""
    sizes = [10, 10, 10, 50_000, 10, 10_000, 10_000]
    files = [write_instance(f"{n}.dcm", size=size) for n, size in enumerate(sizes)]
    steps = list(plan(files, set(), BatchSize(most_files=2, most_bytes=20_000)))

    names = [[prepared.source.path.name[0] for prepared in step.batch] for step in steps]
    assert names == [["0", "1"], ["2"], ["3"], ["4", "5"], ["6"]]


def test_file_that_may_not_be_read_is_told_as_a_trouble(
    write_instance: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_instance("a.dcm")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    (step,) = plan([path], set())

    assert step.batch == ()
    assert step.skipped[0].reason == "cannot be read (PermissionError)"
    assert not step.skipped[0].harmless


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    """A named pipe must not be opened: it would wait for a writer forever."""
    os.mkfifo(tmp_path / "pipe")
    (step,) = plan([tmp_path / "pipe"], set())

    assert step.skipped == (Skipped(str(tmp_path / "pipe"), "not a regular file"),)


def test_encrypted_member_is_told_as_a_trouble(
    write_instance: Callable[..., Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as zipped:
        zipped.write(write_instance("a.dcm"), "a.dcm")
    content = bytearray((tmp_path / "in.zip").read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # APPNOTE 4.4.4: general purpose bit 0
    (tmp_path / "in.zip").write_bytes(content)
    (step,) = plan([tmp_path / "in.zip"], set())

    assert [(each.reason, each.harmless) for each in step.skipped] == [("encrypted", False)]


def test_extent_is_told_while_it_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.client.plan.COUNT_SHOWN_EVERY", 2)
    for n in range(5):
        (tmp_path / str(n)).write_bytes(b"abc")

    assert list(measure([tmp_path])) == [Extent(2, 6), Extent(4, 12), Extent(5, 15)]
