"""DICOM files that others made, as they lie in packages."""

import importlib.util
import io
import secrets
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid

PLACES = (  # what a distribution is called, the package that it installs, the folder in there
    ("pydicom", "pydicom", "data"),
    ("pydicom-data", "data_store", "data"),
    ("pynetdicom", "pynetdicom", "tests/dicom_files"),
)
HEAD = 132  # bytes of preamble and prefix
FIXED_META = 144  # the same, and the group length of the File Meta Information
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
IDENTIFIERS = (*UIDS, "SOPClassUID", "PatientID")
LEAST_UID = 16  # what is shorter may be a part of another UID
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True)
class RealFile:
    """A file and the package that it came with."""

    package: str
    path: Path

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.name


def installed_folders() -> Iterator[tuple[str, Path]]:
    """Yield the packages that are installed with test files, and where those are."""
    for distribution, package, folder in PLACES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        yield distribution, Path(spec.submodule_search_locations[0], folder)


def real_files(folders: Iterable[tuple[str, Path]]) -> Iterator[RealFile]:
    """Yield every Part 10 file of these packages, in order."""
    for package, folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and _is_part10(path):
                yield RealFile(package, path)


def _is_part10(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(HEAD).endswith(b"DICM")


def as_sent(path: Path) -> bytes:
    """Return a file under UIDs that nobody has used.

    So it can be sent again and again to servers that keep what they get. Many test files lack identifiers:
    they get some. All others are changed in nothing but the digits of their UIDs.
    """
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom thinks of its own test files
        data_set = dcmread(io.BytesIO(data), force=True)
        storable = "DirectoryRecordSequence" not in data_set
        if "TransferSyntaxUID" not in data_set.file_meta or not storable:
            return data
        whole = all(data_set.get(keyword) for keyword in IDENTIFIERS)
        if whole and all(len(data_set[keyword].value) >= LEAST_UID for keyword in UIDS):
            return with_new_uids(data)
        return _completed(data_set)


def _completed(data_set: Dataset) -> bytes:
    for _ in data_set.iterall():
        pass  # reads every element: those of a file that is not in the VR encoding that it says have none yet
    for keyword in UIDS:
        setattr(data_set, keyword, generate_uid())
    data_set.SOPClassUID = data_set.get("SOPClassUID") or SECONDARY_CAPTURE
    data_set.PatientID = data_set.get("PatientID") or "TEST-FILE"
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    written = io.BytesIO()
    data_set.save_as(written)
    return written.getvalue()


def with_new_uids(data: bytes) -> bytes:
    """Return the same file under UIDs that are as long as the old ones; nothing else is touched."""
    data_set = dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
    deflated = data_set.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    head, body = _split(data) if deflated else (b"", data)
    for keyword in UIDS:
        old = str(data_set[keyword].value)
        assert len(old) >= LEAST_UID
        new = f"{old[:-12]}{secrets.randbelow(9 * 10**11) + 10**11}".encode()
        head, body = (part.replace(old.encode(), new) for part in (head, body))
    if not deflated:
        return body
    deflator = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return head + deflator.compress(body) + deflator.flush()


def _split(data: bytes) -> tuple[bytes, bytes]:
    end = FIXED_META + int.from_bytes(data[FIXED_META - 4 : FIXED_META], "little")
    return data[:end], zlib.decompress(data[end:], -zlib.MAX_WBITS)
