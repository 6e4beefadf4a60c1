"""The attributes that say what pixel data mean (PS3.3 §C.7.6.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import Undecodable

RGB, PALETTE_COLOR = "RGB", "PALETTE COLOR"
YBR_FULL, YBR_FULL_422, YBR_PARTIAL_422 = "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422"
YBR_RCT, YBR_ICT = "YBR_RCT", "YBR_ICT"
HALF_CHROMA = frozenset({YBR_FULL_422, YBR_PARTIAL_422})

_FLOAT_PIXEL_DATA, _DOUBLE_FLOAT_PIXEL_DATA = "7FE00008", "7FE00009"
_COLOR_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """How the samples of each frame are to be understood."""

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    planar_configuration: int  # 1: one plane a sample
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    is_float: bool = False  # Float or Double Float Pixel Data
    number_of_frames: int = 1
    vr: str = "OW"  # of the pixel data as stored

    @property
    def shape(self) -> tuple[int, ...]:
        """Return rows, columns and, if there are several, samples of a decoded frame."""
        size = (self.rows, self.columns)
        return size if self.samples_per_pixel == 1 else (*size, self.samples_per_pixel)

    @property
    def dtype(self) -> str:
        """Return the type of a decoded sample, in the byte order of Explicit VR Little Endian."""
        kind = "f" if self.is_float else "i" if self.signed else "u"
        return f"<{kind}{max(self.bits_allocated // 8, 1)}"

    @property
    def samples(self) -> int:
        """Return the number of samples of a frame."""
        return self.rows * self.columns * self.samples_per_pixel

    @property
    def is_half_chroma(self) -> bool:
        """Tell whether two pixels of native data share their chrominance (PS3.3 §C.7.6.3.1.2)."""
        return (
            self.photometric_interpretation in HALF_CHROMA
            and self.samples_per_pixel == _COLOR_SAMPLES
        )

    @property
    def decoded_bytes(self) -> int:
        """Return the size of a decoded frame."""
        return self.samples * max(self.bits_allocated // 8, 1)


def describe_pixels(attributes: Mapping[str, Any], *, frame_bytes: int) -> PixelDescription:
    """Return the description that a data set or item in DICOM JSON gives.

    Raises Undecodable where attributes are missing or contradict each other, or where a frame is larger than
    `frame_bytes`.
    """
    is_float = _FLOAT_PIXEL_DATA in attributes or _DOUBLE_FLOAT_PIXEL_DATA in attributes
    bits = _number(attributes, "00280100", "Bits Allocated")
    stored = _number(attributes, "00280101", "Bits Stored", default=bits)
    description = PixelDescription(
        rows=_number(attributes, "00280010", "Rows"),
        columns=_number(attributes, "00280011", "Columns"),
        samples_per_pixel=_number(attributes, "00280002", "Samples per Pixel", default=1),
        photometric_interpretation=_text(attributes, "00280004") or "MONOCHROME2",
        planar_configuration=_number(attributes, "00280006", "Planar Configuration", default=0),
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=_number(attributes, "00280102", "High Bit", default=stored - 1),
        signed=_number(attributes, "00280103", "Pixel Representation", default=0) == 1,
        is_float=is_float,
        number_of_frames=_number(attributes, "00280008", "Number of Frames", default=1) or 1,
        vr=attributes.get("7FE00010", {}).get("vr", "OW"),
    )
    _check(description, frame_bytes)
    return description


def _check(description: PixelDescription, frame_bytes: int) -> None:
    bits, stored = description.bits_allocated, description.bits_stored
    allowed = (32, 64) if description.is_float else (1, 8, 16, 32)
    if bits not in allowed:
        raise Undecodable("The pixel data have Bits Allocated (0028,0100) that no codec knows.")
    if not 1 <= stored <= description.high_bit + 1 <= bits:
        raise Undecodable("Bits Stored (0028,0101) and High Bit (0028,0102) do not fit.")
    if not description.rows or not description.columns:
        raise Undecodable("Rows (0028,0010) or Columns (0028,0011) are zero.")
    if description.samples_per_pixel not in (1, 3, 4):
        raise Undecodable("The pixel data have Samples per Pixel (0028,0002) that no codec knows.")
    if description.decoded_bytes > frame_bytes:
        raise Undecodable("A frame is larger than the limit frame_bytes.")


def _number(attributes: Mapping[str, Any], tag: str, name: str, default: int | None = None) -> int:
    values = attributes.get(tag, {}).get("Value")
    value = values[0] if values else default
    if not isinstance(value, int) or value < 0:
        raise Undecodable(f"{name} ({tag[:4]},{tag[4:]}) is missing or no number.")
    return value


def _text(attributes: Mapping[str, Any], tag: str) -> str:
    values = attributes.get(tag, {}).get("Value")
    return values[0].strip() if values and isinstance(values[0], str) else ""
