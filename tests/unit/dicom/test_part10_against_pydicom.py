"""Our DICOM JSON and pydicom's, over every file that pydicom brings along.

What is compared is the meaning: padding, empty values (`""`, null, no Value) and the spelling of a number are
brought to one form first. Known differences, where PS3.5 and PS3.18 side with us or leave it open:

- Pixel data are always a BulkDataURI here.
- Group lengths are left out here (PS3.18 §F.2.2).
- InlineBinary of big-endian objects is little-endian here (PS3.18 §F.2.7); pydicom leaves it as it is.
"""

import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest

from app.dicom.file_meta import read_file_meta
from app.dicom.part10 import _data_set
from app.errors import CoregisterError, MissingAttribute, NotDicom, Truncated
from app.limits import Limits

ROOT = Path(pydicom.__file__).parent / "data"
FILES = sorted(
    path
    for path in [*ROOT.glob("test_files/**/*"), *ROOT.glob("charset_files/*.dcm")]
    if path.is_file() and path.suffix not in {".txt", ".json", ".dump", ".gz", ".icc"}
)
EVERYTHING_INLINE = Limits(inline_bytes=2**30, inline_text_bytes=2**30)
PIXEL_DATA = "7FE00010"
REFUSED: dict[str, type[CoregisterError]] = {
    "ExplVR_BigEndNoMeta.dcm": NotDicom,
    "ExplVR_LitEndNoMeta.dcm": NotDicom,
    "no_meta.dcm": NotDicom,
    "rtstruct.dcm": NotDicom,
    "README": NotDicom,
    "MR_truncated.dcm": Truncated,
    "rtplan_truncated.dcm": Truncated,
    "DICOMDIR-nooffset": Truncated,
    "meta_missing_tsyntax.dcm": MissingAttribute,
}
PYDICOM_FAILS = {"badVR.dcm"}  # an IS of "1A"


def test_there_are_files_to_compare() -> None:
    assert len(FILES) > 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_attributes_are_those_that_pydicom_reads(path: Path) -> None:
    data = path.read_bytes()
    if path.name in REFUSED:
        with pytest.raises(REFUSED[path.name]):
            _attributes(data)
        return
    ours = _attributes(data)
    if path.name in PYDICOM_FAILS:
        return

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pydicom.dcmread(path, force=True).to_json_dict(bulk_data_threshold=2**30)

    assert _comparable(ours) == _comparable(theirs)


def _attributes(data: bytes) -> dict[str, Any]:
    """Read without the gate's demands: many of these files lack the identifiers."""
    return _data_set(data, read_file_meta(data), EVERYTHING_INLINE)[0]


def _comparable(dataset: dict[str, Any]) -> dict[str, Any]:
    return {
        tag: (str(element["vr"]), _comparable_value(tag, element))
        for tag, element in dataset.items()
        if not tag.endswith("0000")
    }


def _comparable_value(tag: str, element: dict[str, Any]) -> Any:
    if tag == PIXEL_DATA:
        return None
    if "InlineBinary" in element:
        return element["InlineBinary"]
    values = element.get("Value") or []
    if element["vr"] == "SQ":
        return [_comparable(item) for item in values]
    plain = [_without_padding(value) for value in values]
    return [] if plain == [None] else plain


def _without_padding(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip(" \0") or None
    if isinstance(value, dict):
        return {script: name.strip() for script, name in value.items() if name.strip()} or None
    return value
