"""The image files of other packages, read through the gate, and frames cut out of them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydicom

from app.dicom.instance import InstanceRecord
from app.dicom.part10 import inflate, read_instance
from app.dicom.pixel_description import PixelDescription, describe_pixels
from app.errors import CoregisterError
from app.limits import Limits
from app.pixels.decode import DecodedFrame, decode_frame

LIMITS = Limits()
_FOLDERS = (Path(pydicom.__file__).parent / "data",)
_NO_OBJECTS = {".txt", ".json", ".dump", ".gz", ".icc", ".py", ".pyc"}


@dataclass(frozen=True)
class Image:
    """A file with frames."""

    path: Path
    data: bytes
    record: InstanceRecord

    @property
    def syntax(self) -> str:
        return self.record.transfer_syntax_uid

    @property
    def description(self) -> PixelDescription:
        return describe_pixels(self.record.attributes, frame_bytes=LIMITS.frame_bytes)

    def frame(self, number: int) -> bytes:
        """Return the bytes of a frame, counted from 1."""
        data = bytes(inflate(self.data, LIMITS)) if self.record.deflated else self.data
        assert self.record.pixels is not None
        parts = self.record.pixels.frames[number - 1]
        return b"".join(data[part.offset : part.offset + part.length] for part in parts)

    @property
    def count(self) -> int:
        assert self.record.pixels is not None
        return len(self.record.pixels.frames)

    def decoded(self, number: int = 1) -> DecodedFrame:
        return decode_frame(self.frame(number), self.syntax, self.description)


def image_of(data: bytes, path: Path = Path()) -> Image:
    """Return an object as an image."""
    return Image(path, data, read_instance(data, LIMITS))


@cache
def images(*, most_bytes: int = 2**40) -> tuple[Image, ...]:
    """Return every image among the files of pydicom and, where it is installed, pydicom-data."""
    return tuple(image for path in _files() if (image := _image(path, most_bytes)) is not None)


def _files() -> list[Path]:
    folders = list(_FOLDERS)
    try:
        import data_store  # noqa: PLC0415 - of pydicom-data
    except ImportError:
        pass
    else:
        folders.append(Path(data_store.__file__).parent)
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def _image(path: Path, most_bytes: int) -> Image | None:
    if path.suffix in _NO_OBJECTS or path.stat().st_size > most_bytes:
        return None
    try:
        image = image_of(path.read_bytes(), path)
    except CoregisterError:
        return None
    return image if image.record.pixels is not None else None
