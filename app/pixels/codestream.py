"""What the head of a codestream says of its image, read before a codec allocates room for it.

Strategy: codecs believe the size in the codestream. Here it is read first, so that one that contradicts the
attributes of the object is refused before anything is allocated.
"""

from dataclasses import dataclass
from struct import Struct

from app.errors import Undecodable

_JPEG_START, _JPEG_2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_JP2_BOX = b"\x00\x00\x00\x0cjP  "
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # SOF0-15, SOF55
_LOSSLESS_FRAME, _APP14, _START_OF_SCAN = 0xC3, 0xEE, 0xDA
_FILL = 0xFF
_FRAME = Struct(">BHHB")  # precision, lines, samples a line, components
_SIZE = Struct(">HHIIIIIIIIH")  # Lsiz to Csiz
_COLOR_COMPONENTS = 3


@dataclass(frozen=True, slots=True)
class Codestream:
    """The head of a codestream."""

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False
    marker: int = 0  # of the frame header of JPEG
    component_ids: bytes = b""  # of JPEG
    adobe_transform: int | None = None  # of JPEG: 0 is no transformation, 1 YCbCr
    color_transformed: bool = False  # of JPEG 2000: the first three components are RCT or ICT
    reversible: bool = False  # of JPEG 2000: the wavelet loses nothing

    @property
    def is_lossless_jpeg(self) -> bool:
        """Tell whether it is a JPEG of Process 14."""
        return self.marker == _LOSSLESS_FRAME


def read_jpeg(data: bytes) -> Codestream:
    """Return the head of JPEG or JPEG-LS (ISO/IEC 10918-1 §B.2.2, 14495-1 §C.2.2). Raises Undecodable."""
    if not data.startswith(_JPEG_START):
        raise Undecodable("A frame does not begin with a JPEG codestream.")
    position, adobe = 2, None
    while position + 4 <= len(data):
        if data[position] != _FILL:
            break
        marker = data[position + 1]
        if marker == _FILL:
            position += 1
            continue
        position += 2
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + length]
        if marker in _FRAME_HEADERS and len(body) >= _FRAME.size:
            precision, rows, columns, components = _FRAME.unpack_from(body)
            ids = body[_FRAME.size :: 3][:components]
            adobe = adobe if adobe is not None else _adobe_after(data, position + length)
            return Codestream(
                rows, columns, components, precision,
                marker=marker, component_ids=ids, adobe_transform=adobe,
            )  # fmt: skip
        if marker == _APP14:
            adobe = _adobe_transform(body)
        position += max(length, 2)
    raise Undecodable("A JPEG codestream has no frame header.")


def _adobe_after(data: bytes, position: int) -> int | None:
    """Return the transform of an Adobe segment between frame header and scan."""
    while position + 4 <= len(data) and data[position] == _FILL:
        marker, length = (
            data[position + 1],
            int.from_bytes(data[position + 2 : position + 4], "big"),
        )
        if marker == _START_OF_SCAN:
            return None
        if marker == _APP14:
            return _adobe_transform(data[position + 4 : position + 2 + length])
        position += 2 + max(length, 2)
    return None


def _adobe_transform(body: bytes) -> int | None:
    return body[11] if body.startswith(b"Adobe") and len(body) > 11 else None  # noqa: PLR2004


def read_jpeg_2000(data: bytes) -> Codestream:
    """Return the head of JPEG 2000 or HTJ2K, bare or in JP2 (ISO/IEC 15444-1 §A.5.1). Raises Undecodable."""
    start = data.find(_JPEG_2000_START) if data.startswith(_JP2_BOX) else 0
    if start < 0 or data[start : start + 4] != _JPEG_2000_START:
        raise Undecodable("A frame does not begin with a JPEG 2000 codestream.")
    position = start + 4
    if len(data) < position + _SIZE.size + 3:
        raise Undecodable("A JPEG 2000 codestream ends within its header.")
    length, _, right, bottom, left, top, _, _, _, _, components = _SIZE.unpack_from(data, position)
    depth = data[position + _SIZE.size]
    transformed, reversible = _coding_style(data, position + length)
    return Codestream(
        bottom - top, right - left, components, (depth & 0x7F) + 1,
        signed=bool(depth & 0x80), color_transformed=transformed, reversible=reversible,
    )  # fmt: skip


def _coding_style(data: bytes, position: int) -> tuple[bool, bool]:
    """Return whether components are transformed, and whether the wavelet is reversible (§A.6.1)."""
    while position + 4 <= len(data) and data[position] == _FILL:
        marker, length = (
            data[position + 1],
            int.from_bytes(data[position + 2 : position + 4], "big"),
        )
        if marker == 0x52 and position + 14 <= len(data):  # noqa: PLR2004 - COD
            return bool(data[position + 8]), bool(data[position + 13])
        if marker == 0x90:  # noqa: PLR2004 - SOT: the main header is over
            break
        position += 2 + max(length, 2)
    return False, False
