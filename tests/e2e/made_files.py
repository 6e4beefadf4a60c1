"""DICOM files of kinds that no package brings along: what others show or say, in another form.

Strategy: pictures are those of pydicom's test files, encoded by the codecs' own libraries; the videos are
twelve frames of a moving pattern that FFmpeg encoded; segmentations, parametric maps, presentation states and
reports are made by highdicom; texts are encoded by pydicom.
"""

import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, VideoEndoscopicImageStorage

from app.dicom.transfer_syntax import transfer_syntax
from tests.e2e.made_objects import made_objects
from tests.e2e.real_files import RealFile

PACKAGE = "made"
STREAMS = Path(__file__).with_name("streams")
ROOT = "1.2.840.10008.1.2."
DEPTH = 12  # bits that hold every sample of the picture
FRAMES, SIDE = 12, 64  # of the videos

# who is called how, in each character set that no file of a package is in (PS3.3 §C.12.1.1.2)
NAMES = {
    "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "ISO_IR 101": "Wałęsa^Łukasz",
    "ISO_IR 109": "Ĉapek^Ĝosta",
    "ISO_IR 110": "Ķēniņš^Ģirts",
    "ISO_IR 148": "Çağlar^Ğül",
    "ISO_IR 166": "ใจดี^สมชาย",
    "GBK": "王^小东",
    "\\ISO 2022 IR 100": "Buc^Jérôme",
    "\\ISO 2022 IR 101": "Wałęsa^Łukasz",
    "\\ISO 2022 IR 109": "Ĉapek^Ĝosta",
    "\\ISO 2022 IR 110": "Ķēniņš^Ģirts",
    "\\ISO 2022 IR 126": "Διονυσιος",
    "\\ISO 2022 IR 127": "قباني^لنزار",
    "\\ISO 2022 IR 138": "שרון^דבורה",
    "\\ISO 2022 IR 144": "Люкceмбypг",  # noqa: RUF001 - Cyrillic is meant
    "\\ISO 2022 IR 148": "Çağlar^Ğül",
    "\\ISO 2022 IR 166": "ใจดี^สมชาย",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159": "Yamada^Tarou=山田^太郎=やまだ^丂",
}


def made_files(folder: Path) -> Iterator[RealFile]:
    """Write every made file and yield it."""
    for name, data_set in (*_pictures(), *_videos(), *_texts(), *made_objects()):
        path = folder / f"{name}.dcm"
        path.write_bytes(_written(data_set))
        yield RealFile(PACKAGE, path)


def _written(data_set: Dataset) -> bytes:
    """Return the file; pydicom writes no transfer syntax that it does not know, so another stands in."""
    syntax = str(data_set.file_meta.TransferSyntaxUID)
    known = _WRITTEN_AS.get(syntax, syntax)
    data_set.file_meta.TransferSyntaxUID = UID(known)
    written = io.BytesIO()
    data_set.save_as(written, enforce_file_format=True)
    return written.getvalue().replace(_padded(known), _padded(syntax), 1)


def _padded(uid: str) -> bytes:
    return uid.encode() + bytes(len(uid) % 2)


def _example(name: str) -> Dataset:
    return dcmread(str(get_testdata_file(name)))


def _pictures() -> Iterator[tuple[str, Dataset]]:
    gray = _example("MR_small.dcm").pixel_array.astype(np.uint16)
    color = _example("examples_rgb_color.dcm").pixel_array
    for (of_gray, of_color), uids in _CODECS.items():
        for number in uids:
            name = transfer_syntax(ROOT + number).name
            if of_gray is not None:
                yield f"{name}, gray", _encoded("MR_small.dcm", ROOT + number, of_gray(gray))
            if of_color is not None:
                picture = _encoded("examples_rgb_color.dcm", ROOT + number, of_color(color))
                picture.PhotometricInterpretation = _COLOR_SPACES.get(number, "RGB")
                yield f"{name}, color", picture


def _encoded(example: str, syntax: str, *streams: bytes) -> Dataset:
    data_set = _example(example)
    if data_set.SamplesPerPixel == 1:
        data_set.BitsStored, data_set.HighBit, data_set.PixelRepresentation = DEPTH, DEPTH - 1, 0
    data_set.PlanarConfiguration = 0
    data_set.PixelData = encapsulate(list(streams))
    data_set["PixelData"].is_undefined_length = True
    data_set["PixelData"].VR = "OB"
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    return data_set


def _deflated(samples: Any) -> bytes:
    deflator = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = deflator.compress(samples.tobytes()) + deflator.flush()
    return data + bytes(len(data) % 2)


def _lossless(samples: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(samples, lossless=True, predictor=6, bitspersample=DEPTH))


def _lossy_high_throughput(samples: Any) -> bytes:
    return bytes(imagecodecs.htj2k_encode(samples, level=0.01, reversible=False))


def _high_throughput(samples: Any) -> bytes:
    return bytes(imagecodecs.htj2k_encode(samples, reversible=True, tlm=True))


def _recompressed(samples: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode_jpeg(imagecodecs.jpeg8_encode(samples, level=90)))


def _lossless_xl(samples: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(samples, lossless=True, usecontainer=False))


def _lossy_xl(samples: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(samples, distance=1.0, usecontainer=False))


def _as_they_are(samples: Any) -> bytes:
    return bytes(samples.tobytes())


Codec = Callable[[Any], bytes]
# the codecs of gray and of color, and the transfer syntaxes (PS3.5 §A.4) that their streams are in
_CODECS: dict[tuple[Codec | None, Codec | None], tuple[str, ...]] = {
    (_as_they_are, _as_they_are): ("1.98",),
    (_deflated, _deflated): ("8.1",),
    (_lossless, None): ("4.57",),
    (_high_throughput, _high_throughput): ("4.201", "4.202"),
    (_lossy_high_throughput, _lossy_high_throughput): ("4.203",),
    (_lossless_xl, _lossless_xl): ("4.110",),
    (None, _recompressed): ("4.111",),
    (_lossy_xl, _lossy_xl): ("4.112",),
}
_WRITTEN_AS = {
    f"{ROOT}8.1": f"{ROOT}1.98",
    **{f"{ROOT}4.{number}": f"{ROOT}4.201" for number in (110, 111, 112)},
}
_COLOR_SPACES = {
    "4.201": "YBR_RCT",
    "4.202": "YBR_RCT",
    "4.203": "YBR_ICT",
    "4.111": "YBR_FULL",
    "4.112": "XYB",
}
_VIDEOS = {"4.100": "mpeg2.m2v", "4.102": "h264.mp4", "4.107": "h265.hevc"}


def _videos() -> Iterator[tuple[str, Dataset]]:
    for number, stream in _VIDEOS.items():
        video = _encoded("examples_rgb_color.dcm", ROOT + number, (STREAMS / stream).read_bytes())
        video.SOPClassUID = video.file_meta.MediaStorageSOPClassUID = VideoEndoscopicImageStorage
        video.Modality = "ES"
        video.Rows = video.Columns = SIDE
        video.NumberOfFrames = FRAMES
        video.PhotometricInterpretation = "YBR_PARTIAL_420"
        name = transfer_syntax(ROOT + number).name.partition("/")[0].partition(" ")[0]
        yield f"{name} video", video


def _texts() -> Iterator[tuple[str, Dataset]]:
    for terms, name in NAMES.items():
        data_set = _example("MR_small.dcm")
        data_set.SpecificCharacterSet = terms.split("\\") if "\\" in terms else terms
        data_set.PatientName = name
        yield f"name in {terms.strip(chr(92)).replace(chr(92), ' and ')}", data_set
