"""Text of other people's files in every character set, as pydicom decodes it (PS3.3 §C.12.1.1.2)."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_charset_files
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from app.dicom.part10 import read_instance
from app.limits import Limits

FILES = sorted(Path(str(path)) for path in get_charset_files("*.dcm"))
TEXT_VRS = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def part10(path: Path) -> bytes:
    """Return the file with what it lacks to be stored; its text stays the bytes that it was."""
    dataset = pydicom.dcmread(path, force=True)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        if not dataset.get(keyword):
            setattr(dataset, keyword, "1.2.3")
    if "PatientID" not in dataset:
        dataset.PatientID = "1"
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    implicit = dataset.original_encoding[0]
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def differences(dataset: Dataset, attributes: dict[str, Any], path: str = "") -> list[str]:
    """Return where text differs, in sequences too."""
    found = []
    for element in dataset:
        key = f"{element.tag:08X}"
        values = attributes.get(key, {}).get("Value", [])
        if element.VR == "SQ":
            for item, inner in zip(element.value, values, strict=True):
                found += differences(item, inner, f"{path}{key}.")
        elif element.VR in TEXT_VRS or element.VR == "PN":
            ours = [_name(value) if element.VR == "PN" else value for value in values]
            if ours != _texts(element):
                found.append(f"{path}{key}")
    return found


def _texts(element: Any) -> list[str]:
    several = element.value if element.VM > 1 else [element.value] if element.value else []
    return ["=".join(g.strip() for g in str(value).strip().split("=")) for value in several]


def _name(value: dict[str, str]) -> str:
    return "=".join(value.get(group, "") for group in GROUPS).rstrip("=")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, about its own files
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_text_is_what_pydicom_reads(path: Path) -> None:
    data = part10(path)

    record = read_instance(data, Limits())

    assert differences(pydicom.dcmread(BytesIO(data)), dict(record.attributes)) == []
    assert [each.tag for each in record.findings if "decoded" in each.message] == []


def test_there_are_files_for_every_kind_of_character_set() -> None:
    stems = {path.stem for path in FILES}

    assert {"chrH32", "chrI2", "chrX1", "chrX2", "chrSQEncoding", "chrSQEncoding1"} <= stems
