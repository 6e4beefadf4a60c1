"""The graphics of an image's overlay planes (PS3.3 §C.9.2)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from app.pixels.render_display import is_little_endian, number_of, numbers_of, value_of

Mask = npt.NDArray[np.bool_]
Cells = npt.NDArray[Any]

_GROUPS = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _FRAMES, _TYPE, _ORIGIN = 0x10, 0x11, 0x15, 0x40, 0x50
_FIRST_FRAME, _BIT_POSITION, _DATA = 0x51, 0x102, 0x3000
_GRAPHICS = "G"  # the other kind, R, is a region to measure in


def overlay_of(dataset: Dataset, index: int, cells: Cells) -> Mask | None:
    """Return where overlays draw onto the frame at `index`, or None where they do not.

    `cells` are the pixel cells of the frame, in which old objects keep overlays beside the stored bits.
    """
    found: Mask | None = None
    for group in _GROUPS:
        if value_of(dataset, group << 16 | _TYPE) != _GRAPHICS:
            continue
        plane = _plane(dataset, group << 16, index)
        if plane is None:
            plane = _embedded(dataset, group << 16, cells)
        if plane is None:
            continue
        if found is None:
            found = np.zeros(cells.shape[:2], np.bool_)
        match numbers_of(dataset, group << 16 | _ORIGIN):
            case [row, column]:
                _draw(found, plane, int(row) - 1, int(column) - 1)
            case _:
                _draw(found, plane, 0, 0)
    return found


def _plane(dataset: Dataset, group: int, index: int) -> Mask | None:
    """Return the bits of an overlay for a frame."""
    data = value_of(dataset, group | _DATA)
    if not isinstance(data, bytes):
        return None
    rows, columns = (int(number_of(dataset, group | each) or 0) for each in (_ROWS, _COLUMNS))
    number = _number_of_plane(dataset, group, index)
    size = rows * columns
    if number is None or size <= 0 or len(data) * 8 < (number + 1) * size:
        return None
    if not is_little_endian(dataset):
        data = np.frombuffer(data[: len(data) & ~1], ">u2").astype("<u2").tobytes()
    start = number * size
    octets = np.frombuffer(data, np.uint8)[start // 8 : (start + size + 7) // 8]
    bits = np.unpackbits(octets, bitorder="little")[start % 8 : start % 8 + size]
    return bits.reshape(rows, columns).astype(np.bool_)


def _embedded(dataset: Dataset, group: int, cells: Cells) -> Mask | None:
    """Return an overlay that is kept in a bit of each pixel cell (PS3.3 §C.9.2.1.1, retired)."""
    position = number_of(dataset, group | _BIT_POSITION)
    high, stored = number_of(dataset, "HighBit"), number_of(dataset, "BitsStored")
    if position is None or high is None or stored is None or value_of(dataset, group | _DATA):
        return None
    is_free = 0 <= position < cells.dtype.itemsize * 8 and not high - stored < position <= high
    if not is_free or cells.ndim != 2 or not np.issubdtype(cells.dtype, np.integer):  # noqa: PLR2004
        return None
    return (cells >> int(position) & 1).astype(np.bool_)


def _number_of_plane(dataset: Dataset, group: int, index: int) -> int | None:
    """Return which plane of an overlay a frame shows (PS3.3 §C.9.2.1.4)."""
    frames = number_of(dataset, group | _FRAMES)
    if frames is None:
        return 0  # one plane, which every frame shows
    number = index - int((number_of(dataset, group | _FIRST_FRAME) or 1) - 1)
    return number if 0 <= number < frames else None


def _draw(onto: Mask, plane: Mask, top: int, left: int) -> None:
    """Put a plane, of which parts may lie outside, onto the frame."""
    rows, columns = onto.shape
    first_row, first_column = max(top, 0), max(left, 0)
    last_row = min(top + plane.shape[0], rows)
    last_column = min(left + plane.shape[1], columns)
    if first_row < last_row and first_column < last_column:
        onto[first_row:last_row, first_column:last_column] |= plane[
            first_row - top : last_row - top, first_column - left : last_column - left
        ]
