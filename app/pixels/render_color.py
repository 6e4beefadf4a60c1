"""Stored values of three samples, or of a palette, made into red, green and blue (PS3.3 §C.7.6.3.1.2)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from app.errors import NotAcceptable
from app.pixels.render_display import palette_of

Samples = npt.NDArray[Any]
Levels = npt.NDArray[np.uint8]

PALETTE = "PALETTE COLOR"
AS_IS = frozenset({"RGB", "YBR_ICT", "YBR_RCT"})  # decoders undo the transform of the last two
FULL_RANGE = frozenset({"YBR_FULL", "YBR_FULL_422"})
PARTIAL_RANGE = frozenset({"YBR_PARTIAL_422", "YBR_PARTIAL_420"})

# the inverse of the equations of PS3.3 §C.7.6.3.1.2, as JFIF has them
_FROM_FULL = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
_FROM_PARTIAL = _FROM_FULL * np.array([255 / 219, 255 / 224, 255 / 224])


def rgb_of(stored: Samples, photometric: str, dataset: Dataset) -> Levels:
    """Return red, green and blue from 0 to 255. Raises NotAcceptable."""
    if photometric == PALETTE:
        return _from_palette(stored, dataset)
    if stored.ndim != 3 or stored.shape[2] < 3:  # noqa: PLR2004 - rows, columns, three samples
        raise NotAcceptable("The image says that it has colours, but not three samples a pixel.")
    levels = in_8_bits(stored[..., :3], _bits_stored(dataset, stored))
    if photometric in AS_IS:
        return levels
    if photometric in FULL_RANGE:
        return _from_luminance(levels, _FROM_FULL, black=0)
    if photometric in PARTIAL_RANGE:
        return _from_luminance(levels, _FROM_PARTIAL, black=16)
    raise NotAcceptable("The photometric interpretation of the image is none that is rendered.")


def in_8_bits(stored: Samples, bits: int) -> Levels:
    """Return values of so many bits in 8 bits."""
    if stored.dtype == np.uint8 and bits == 8:  # noqa: PLR2004 - what it shall become
        return stored
    largest = (1 << bits) - 1
    scaled = np.clip(stored.astype(np.float64), 0, largest) * (255.0 / largest)
    return np.floor(scaled + 0.5).astype(np.uint8)


def _bits_stored(dataset: Dataset, stored: Samples) -> int:
    whole = stored.dtype.itemsize * 8
    bits = dataset.get("BitsStored") or whole
    return int(bits) if 1 <= bits <= whole else whole


def _from_luminance(levels: Levels, matrix: npt.NDArray[np.float64], *, black: int) -> Levels:
    values = levels.astype(np.float32) - np.array([black, 128, 128], np.float32)
    rgb = values @ matrix.T.astype(np.float32)
    shown: Levels = np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)
    return shown


def _from_palette(stored: Samples, dataset: Dataset) -> Levels:
    channels = []
    for table in palette_of(dataset):
        # entries that say 16 bits, but of which none has more than 8, are meant as 8
        bits = 8 if table.bits > 8 and table.entries.max() <= 255 else table.bits  # noqa: PLR2004
        channels.append(in_8_bits(table.entries, bits)[table.places_of(stored)])
    return np.stack(channels, axis=-1)
