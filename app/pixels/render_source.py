"""What a worker needs to render frames: the object up to its pixel data, and the frames as stored."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any

from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from app.dicom.pixel_description import YBR_FULL, YBR_PARTIAL_422, PixelDescription
from app.dicom.transfer_syntax import is_encapsulated
from app.pixels.decode import decode_frame, stored_values

_PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Frames of one instance, and everything that stands before them in its object."""

    head: (
        bytes  # preamble, File Meta and data set; of a deflated object the inflated data set alone
    )
    deflated: bool
    transfer_syntax_uid: str
    description: PixelDescription
    numbers: tuple[int, ...]  # of the frames, which count from 1
    frames: tuple[bytes, ...]
    # what is shown otherwise than the object says: elements of the DICOM JSON Model, None for one that is not
    corrected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """The stored values of a frame: rows, columns and, if there are several, samples."""

    index: int  # from 0
    values: NDArray[Any]
    photometric: str
    cells: NDArray[Any]  # with what else is in them beside the stored bits


def read_source(source: ImageSource) -> tuple[Dataset, Sequence[StoredFrame]]:
    """Return the data set without its pixel data, and the frames. Raises Undecodable."""
    frames = [
        _stored(source, number - 1, data)
        for number, data in zip(source.numbers, source.frames, strict=True)
    ]
    return _read_head(source.head, deflated=source.deflated), frames


def corrected_by(dataset: Dataset, corrected: Mapping[str, Any]) -> Dataset:
    """Return a data set as it is to be shown."""
    if not corrected:
        return dataset
    shown = deepcopy(dataset)
    for tag, element in corrected.items():
        if int(tag, 16) in shown:
            del shown[int(tag, 16)]
        if element is not None:
            shown.update(Dataset.from_json({tag: element}))
    return shown


# the frames of one object come one after the other, and some objects have thousands
@lru_cache(maxsize=1)
def _read_head(head: bytes, *, deflated: bool) -> Dataset:
    file = BytesIO(head)
    if deflated:  # Explicit VR Little Endian (PS3.5 §A.5)
        return read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_ends)
    return dcmread(file, stop_before_pixels=True)


def _ends(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in _PIXEL_DATA


def _stored(source: ImageSource, index: int, data: bytes) -> StoredFrame:
    decoded = decode_frame(data, source.transfer_syntax_uid, source.description)
    photometric = decoded.photometric_interpretation
    declared = source.description.photometric_interpretation
    if (
        declared == YBR_PARTIAL_422
        and photometric == YBR_FULL
        and not is_encapsulated(source.transfer_syntax_uid)
    ):
        photometric = declared  # every pixel has its chrominance now, but the range is the same
    values = stored_values(decoded.samples, source.description)
    return StoredFrame(index, values, photometric, decoded.samples)
