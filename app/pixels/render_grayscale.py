"""Stored values of one sample made into grey levels (PS3.3 §C.11.1 to §C.11.6, PS3.4 §N.2).

Strategy: Modality LUT, VOI LUT and inversion are a function of the stored value alone. Where stored values are
integers, it is computed once for each value that can occur, and the frame is looked up in that.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from app.pixels.render_display import GrayscaleDisplay, Rescale
from app.pixels.render_lut import LookUpTable
from app.pixels.render_options import VoiFunction, Window

Samples = npt.NDArray[Any]
Values = npt.NDArray[np.float64]
Levels = npt.NDArray[np.uint8]

MOST_LOOKED_UP = 1 << 16  # stored values; a frame of 32 bits may span more


def grey_levels(stored: Samples, display: GrayscaleDisplay) -> Levels:
    """Return a grey level from 0 to 255 for each stored value."""
    voi = display.voi if display.voi is not None else whole_range(stored, display)
    if not np.issubdtype(stored.dtype, np.integer) or stored.size == 0:
        return _levels(stored, display, voi)
    least, largest = int(stored.min()), int(stored.max())
    if largest - least >= min(MOST_LOOKED_UP, stored.size):
        return _levels(stored, display, voi)
    table = _levels(np.arange(least, largest + 1), display, voi)
    found: Levels = table[stored.astype(np.int64) - least]
    return found


def modality_values(stored: Samples, modality: Rescale | LookUpTable) -> Values:
    """Return the values that windows are given in (PS3.3 §C.11.1)."""
    if isinstance(modality, LookUpTable):
        return modality.of(stored).astype(np.float64)
    return stored.astype(np.float64) * modality.slope + modality.intercept


def in_window(values: Values, window: Window) -> Values:
    """Return where each value lies between black (0) and white (1) (PS3.3 §C.11.2.1.2, §C.11.2.1.3)."""
    center, width = window.center, window.width
    match window.function:
        case VoiFunction.SIGMOID:
            # beyond +-700 the exponential would overflow, and the result is 0 or 1 all the same
            exponent = np.clip(-4.0 * (values - center) / width, -700, 700)
            return 1.0 / (1.0 + np.exp(exponent))
        case VoiFunction.LINEAR_EXACT:
            return np.clip((values - center) / width + 0.5, 0.0, 1.0)
        case VoiFunction.LINEAR if width == 1:
            return (values > center - 0.5).astype(np.float64)
        case VoiFunction.LINEAR:
            return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _levels(
    stored: Samples, display: GrayscaleDisplay, voi: Window | LookUpTable | tuple[float, float]
) -> Levels:
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity of float pixel data
        values = modality_values(stored, display.modality)
        match voi:
            case Window():
                shown = in_window(values, voi)
            case LookUpTable():
                whole = np.nan_to_num(np.rint(values))
                shown = np.minimum(voi.of(whole) / voi.largest, 1.0)
            case (least, largest):
                span = largest - least
                shown = np.clip((values - least) / (span if span > 0 else 1.0), 0.0, 1.0)
        if display.inverse:
            shown = 1.0 - shown
        return np.floor(np.nan_to_num(shown) * 255.0 + 0.5).astype(np.uint8)


def whole_range(stored: Samples, display: GrayscaleDisplay) -> tuple[float, float]:
    """Return the smallest and the largest value of what is no padding."""
    if display.extent is not None:
        least, largest = display.extent
        return least, largest
    shown = stored[np.isfinite(stored)]
    if display.padding is not None:
        low, high = display.padding
        kept = shown[(shown < low) | (shown > high)]
        shown = kept if kept.size else shown
    if not shown.size:
        return 0.0, 1.0
    if isinstance(display.modality, LookUpTable):
        values = modality_values(shown, display.modality)
        return float(values.min()), float(values.max())
    # a rescale keeps or turns round the order, so that the ends are enough
    ends = modality_values(np.array([shown.min(), shown.max()]), display.modality)
    return float(ends.min()), float(ends.max())
