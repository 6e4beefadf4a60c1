"""What a compressed image says of itself: its transfer syntax and its Image Pixel attributes (PS3.5 Annex A.4).

Strategy: JPEG and JPEG-LS are read up to their first scan (ISO/IEC 10918-1 Annex B, 14495-1 Annex C), JPEG 2000
up to its coding style (15444-1 Annex A). Whatever else the bytes are, nothing is said.
"""

from dataclasses import dataclass
from struct import error as struct_error
from struct import unpack_from

from app.dicom.element_header import Buffer

_ROOT = "1.2.840.10008.1.2.4."
_START_OF_IMAGE, _START_OF_CODESTREAM = b"\xff\xd8", b"\xff\x4f"
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_ADOBE = b"Adobe"
_TEMPORARY, _FIRST_RESTART, _LAST_RESTART = 0x01, 0xD0, 0xD7  # markers without a segment
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_JPEG_LS, _LOSSLESS, _SCAN, _APP14, _FILL = 0xF7, 0xC3, 0xDA, 0xEE, 0xFF
_PROCESSES = {0xC0: "50", 0xC1: "51", 0xC2: "55"}
_SIZ, _CAP, _COD, _TILE = 0x51, 0x50, 0x52, 0x90
_RGB_NAMES = (ord("R"), ord("G"), ord("B"))
_COLOR = 3  # samples


@dataclass(frozen=True, slots=True)
class Codestream:
    """The description of one compressed image."""

    transfer_syntax_uid: str
    rows: int
    columns: int
    samples_per_pixel: int
    bits_stored: int
    signed: bool
    photometric_interpretation: str | None  # None where no colour model of DICOM fits


def describe(data: Buffer) -> Codestream | None:
    """Return what a codestream says of itself, or None where it cannot be read."""
    start = bytes(data[:2])
    try:
        if start == _START_OF_IMAGE:
            return _jpeg(data)
        if start == _START_OF_CODESTREAM:
            return _jpeg_2000(data)
    except (struct_error, IndexError):
        return None
    return None


def codestream_of_jp2(data: memoryview) -> memoryview:
    """Return the codestream within a JP2 file, which DICOM has without the boxes around (PS3.5 §A.4.4)."""
    if bytes(data[: len(_JP2_SIGNATURE)]) != _JP2_SIGNATURE:
        return data
    position = 0
    while len(data) - position >= 8:  # noqa: PLR2004 - length and type
        length, kind = unpack_from(">I4s", data, position)
        head = 8
        if length == 1 and len(data) - position >= 16:  # noqa: PLR2004 - and a long length
            (length,) = unpack_from(">Q", data, position + 8)
            head = 16
        end = len(data) if length == 0 else min(position + length, len(data))
        if kind == b"jp2c":
            return data[position + head : end]
        if end < position + head:
            break
        position = end
    return data


def _jpeg(data: Buffer) -> Codestream | None:
    position, frame, transform = 2, None, None
    while True:
        marker = data[position + 1]
        if data[position] != _FILL:
            return None
        if marker == _FILL:
            position += 1
            continue
        if marker == _TEMPORARY or _FIRST_RESTART <= marker <= _LAST_RESTART:
            position += 2
            continue
        (length,) = unpack_from(">H", data, position + 2)
        if marker in _FRAMES:
            frame = marker, position + 4
        elif marker == _APP14 and bytes(data[position + 4 : position + 9]) == _ADOBE:
            transform = data[position + 15]
        elif marker == _SCAN:
            break
        position += 2 + length
    if frame is None:
        return None
    scan = position + 4
    selection = data[scan + 1 + 2 * data[scan]]  # Ss: the predictor, or NEAR of JPEG-LS
    return _jpeg_frame(data, *frame, selection, transform)


def _jpeg_frame(
    data: Buffer, marker: int, at: int, selection: int, transform: int | None
) -> Codestream | None:
    precision, rows, columns, samples = unpack_from(">BHHB", data, at)
    if marker == _JPEG_LS:
        syntax = "81" if selection else "80"
    elif marker == _LOSSLESS:
        syntax = "70" if selection == 1 else "57"
    elif marker in _PROCESSES:
        syntax = _PROCESSES[marker]
    else:
        return None
    components = [tuple(data[at + 6 + 3 * n : at + 8 + 3 * n]) for n in range(samples)]
    names = tuple(name for name, _ in components)
    if samples != _COLOR:
        photometric = "MONOCHROME2" if samples == 1 else None
    elif marker in _PROCESSES and transform != 0 and names != _RGB_NAMES:
        photometric = "YBR_FULL" if components[0][1] == components[1][1] else "YBR_FULL_422"
    else:
        photometric = "RGB"
    return Codestream(_ROOT + syntax, rows, columns, samples, precision, False, photometric)


def _jpeg_2000(data: Buffer) -> Codestream | None:
    position, high_throughput = 2, False
    size: tuple[int, int, int, int] | None = None
    while data[position] == _FILL and data[position + 1] != _TILE:
        marker = data[position + 1]
        (length,) = unpack_from(">H", data, position + 2)
        if marker == _SIZ:
            width, height, left, top = unpack_from(">IIII", data, position + 6)
            samples, depth = unpack_from(">HB", data, position + 38)
            size = height - top, width - left, samples, depth
        elif marker == _CAP:
            high_throughput = True
        elif marker == _COD and size is not None:
            mixed, reversible = data[position + 8], data[position + 13] == 1
            return _jpeg_2000_image(size, bool(mixed), reversible, high_throughput)
        position += 2 + length
    return None


def _jpeg_2000_image(
    size: tuple[int, int, int, int], mixed: bool, reversible: bool, high_throughput: bool
) -> Codestream:
    rows, columns, samples, depth = size
    if high_throughput:
        syntax = "201" if reversible else "203"
    else:
        syntax = "90" if reversible else "91"
    if samples != _COLOR:
        photometric = "MONOCHROME2" if samples == 1 else None
    elif mixed:
        photometric = "YBR_RCT" if reversible else "YBR_ICT"
    else:
        photometric = "RGB"
    bits, signed = (depth & 0x7F) + 1, depth > 0x7F  # noqa: PLR2004 - the highest bit
    return Codestream(_ROOT + syntax, rows, columns, samples, bits, signed, photometric)
