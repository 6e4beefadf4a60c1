"""Telling DICOM files from others by their first bytes."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from app.client.plan import BatchSize, plan
from app.client.sources import FileMeta, read_file_meta

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
