"""What is done with an object that goes out in another transfer syntax: the tasks of worker processes.

Strategy: each frame is a task, so that time and memory are bounded by frames, not by objects; the data set
around the pixel data is another. What the frames became says which attributes have to change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.dicom.element_header import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, actual_encoding
from app.dicom.file_meta import read_file_meta
from app.dicom.pixel_description import PixelDescription, describe_pixels
from app.dicom.reading import Element
from app.dicom.rewriting import Changes, NestedPixels, Rewriter, element, file_meta_with
from app.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_encapsulated,
)
from app.pixels.decode import can_decode, decode_frame
from app.pixels.encode import EncodedFrame, can_encode, encode_frame

_PHOTOMETRIC_INTERPRETATION, _PLANAR_CONFIGURATION = 0x00280004, 0x00280006
_LOSSY, _LOSSY_RATIO, _LOSSY_METHOD = 0x00282110, 0x00282112, 0x00282114
_OFFSET_TABLES = (0x7FE00001, 0x7FE00002, 0x7FE00003)  # extended, and what goes with them
# what these compress is lossy in any case; others say it in their attributes
_ALWAYS_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55))
_ENCODINGS = {
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT_LITTLE,
    EXPLICIT_VR_BIG_ENDIAN: EXPLICIT_BIG,
}


def can_transcode(stored: str, wanted: str) -> bool:
    """Tell whether objects in one transfer syntax can go out in another, as far as the two say."""
    return stored == wanted or (can_decode(stored) and can_encode(wanted))


def transcode_frame(
    data: bytes, stored: str, wanted: str, description: PixelDescription
) -> EncodedFrame:
    """Return a frame in another transfer syntax. Raises Undecodable, Unencodable."""
    decoded = decode_frame(data, stored, description)
    return encode_frame(decoded.samples, decoded.photometric_interpretation, wanted, description)


def pixel_vr(description: PixelDescription, wanted: str) -> str:
    """Return the VR of pixel data in Explicit VR (PS3.5 §A.2, §A.4)."""
    return "OB" if is_encapsulated(wanted) or description.bits_allocated <= 8 else "OW"  # noqa: PLR2004


def pixel_changes(
    frame: EncodedFrame,
    stored: str,
    description: PixelDescription,
    attributes: Mapping[str, Any],
    *,
    compressed_bytes: int,
) -> dict[int, bytes | None]:
    """Return the attributes that have to change with the pixel data (PS3.5 §8.2, PS3.3 §C.7.6.3.1)."""
    changes: dict[int, bytes | None] = dict.fromkeys(_OFFSET_TABLES)
    photometric = frame.photometric_interpretation
    if photometric != description.photometric_interpretation:
        changes[_PHOTOMETRIC_INTERPRETATION] = element(
            _PHOTOMETRIC_INTERPRETATION, "CS", photometric.encode("ascii")
        )
    planar = frame.planar_configuration
    if description.samples_per_pixel > 1 and planar != description.planar_configuration:
        value = planar.to_bytes(2, "little")
        changes[_PLANAR_CONFIGURATION] = element(_PLANAR_CONFIGURATION, "US", value)
    if stored in _ALWAYS_LOSSY and attributes.get("00282110", {}).get("Value") != ["01"]:
        changes[_LOSSY] = element(_LOSSY, "CS", b"01")
        changes[_LOSSY_METHOD] = element(_LOSSY_METHOD, "CS", b"ISO_10918_1")
        ratio = description.decoded_bytes * description.number_of_frames / max(compressed_bytes, 1)
        changes[_LOSSY_RATIO] = element(_LOSSY_RATIO, "DS", f"{ratio:.4g}".encode("ascii"))
    return changes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """An object without its pixel data, in Explicit VR Little Endian."""

    file_meta: bytes
    before: bytes
    after: bytes


def rewrite_surroundings(
    before: bytes, after: bytes, stored: str, wanted: str, changes: Changes, frame_bytes: int
) -> Surroundings:
    """Return what stands before the value of the pixel data, without their header, and what stands after.

    `before` begins with the preamble. Raises BadInstance, Undecodable where an icon cannot be decoded.
    """
    meta = read_file_meta(before)
    at = meta.data_set_at
    encoding = actual_encoding(before, at, _ENCODINGS.get(stored, EXPLICIT_LITTLE))
    unwrap = _Icons(stored, frame_bytes).native if is_encapsulated(stored) else None
    return Surroundings(
        file_meta_with(before, at, wanted),
        Rewriter(before, unwrap).data_set(at, encoding, changes),
        Rewriter(after, unwrap).data_set(0, encoding, {}),
    )


class _Icons:
    """Pixel data within items, which may be encapsulated only where the image is, and alike (PS3.5 §A.4)."""

    def __init__(self, stored: str, frame_bytes: int) -> None:
        self._stored = stored
        self._frame_bytes = frame_bytes

    def native(self, attributes: Mapping[str, Element], fragments: Sequence[bytes]) -> NestedPixels:
        description = describe_pixels(attributes, frame_bytes=self._frame_bytes)
        data = b"".join(fragments[1:])  # after the offset table
        frame = transcode_frame(data, self._stored, EXPLICIT_VR_LITTLE_ENDIAN, description)
        changes = pixel_changes(frame, "", description, attributes, compressed_bytes=0)
        return NestedPixels(frame.data, pixel_vr(description, EXPLICIT_VR_LITTLE_ENDIAN), changes)
