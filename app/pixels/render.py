"""Frames rendered as a file: what a worker process is asked for (PS3.18 §10.4.1.1.3).

Strategy: stored values become grey levels or colours; overlays are drawn; the region is cut out and scaled;
text is written; the colours are brought to the wanted space; the file is made. Only the first and the last
step always happen.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from app.pixels.render_annotation import annotate
from app.pixels.render_color import Levels, rgb_of
from app.pixels.render_display import display_of, number_of, numbers_of, pixel_aspect_of
from app.pixels.render_encode import GIF, animated, encoded
from app.pixels.render_geometry import in_viewport
from app.pixels.render_grayscale import grey_levels, whole_range
from app.pixels.render_icc import converted, profile_bytes, profile_of
from app.pixels.render_options import IccProfile, RenderOptions, Window
from app.pixels.render_overlay import overlay_of
from app.pixels.render_source import ImageSource, StoredFrame, corrected_by, read_source

Range = tuple[float, float]

_GRAYSCALE = frozenset({"MONOCHROME1", "MONOCHROME2"})
_MILLISECONDS = 100.0  # for each frame of an animation that says nothing about time
_LEAST_MILLISECONDS = 20.0  # viewers of GIF take less for a mistake
_WHITE = np.uint8(255)


def render(source: ImageSource, options: RenderOptions) -> bytes:
    """Return frames as a file: the first, or all of them where the file can be an animation.

    Raises NotAcceptable, BadQuery.
    """
    dataset, frames = read_source(source)
    if options.annotations:
        dataset = corrected_by(dataset, source.corrected)
    if options.media_type == GIF:
        shared = _shared_range(dataset, frames)
        images = [_image(dataset, frame, options, shared) for frame in frames]
        return animated(images, [_milliseconds(dataset, frame.index) for frame in frames])
    image = _image(dataset, frames[0], options, None)
    image, icc_profile = _in_color_space(image, profile_of(dataset), options.icc_profile)
    return encoded(image, options.media_type, quality=options.quality, icc_profile=icc_profile)


def _image(
    dataset: Dataset, frame: StoredFrame, options: RenderOptions, shared: Range | None
) -> Image.Image:
    window = None
    if frame.photometric in _GRAYSCALE:
        display = display_of(dataset, frame.index)
        if options.window is not None:
            display = replace(display, voi=options.window)
        if shared is not None:
            display = replace(display, extent=shared)
        window = display.voi if isinstance(display.voi, Window) else None
        levels = grey_levels(frame.values, display)
    else:
        levels = rgb_of(frame.values, frame.photometric, dataset)
    if options.overlays:
        levels = _overlaid(levels, dataset, frame)
    image = Image.fromarray(np.ascontiguousarray(levels))
    if options.viewport is not None:
        image = in_viewport(image, options.viewport, pixel_aspect_of(dataset, frame.index))
    if options.annotations:
        annotate(image, dataset, options.annotations, window)
    return image


def _overlaid(levels: Levels, dataset: Dataset, frame: StoredFrame) -> Levels:
    mask = overlay_of(dataset, frame.index, frame.cells)
    if mask is None:
        return levels
    return np.where(mask.reshape(*mask.shape, *[1] * (levels.ndim - 2)), _WHITE, levels)


def _shared_range(dataset: Dataset, frames: Sequence[StoredFrame]) -> Range | None:
    """Return the range of all frames together, so that an animation does not flicker."""
    if any(frame.photometric not in _GRAYSCALE for frame in frames):
        return None
    ranges = [whole_range(frame.values, display_of(dataset, frame.index)) for frame in frames]
    return min(least for least, _ in ranges), max(largest for _, largest in ranges)


def _milliseconds(dataset: Dataset, index: int) -> int:
    """Return for how long a frame is shown (PS3.3 §C.7.6.5)."""
    vector = numbers_of(dataset, "FrameTimeVector")
    time = number_of(dataset, "FrameTime")
    rate = number_of(dataset, "RecommendedDisplayFrameRate") or number_of(dataset, "CineRate")
    if index + 1 < len(vector):
        time = vector[index + 1]  # each is the time since the frame before
    elif rate is not None and rate > 0:
        time = 1000 / rate
    return round(max(time or _MILLISECONDS, _LEAST_MILLISECONDS))


def _in_color_space(
    image: Image.Image, source: bytes | None, wanted: IccProfile | None
) -> tuple[Image.Image, bytes | None]:
    """Return an image in the colour space that is wanted, and the profile to put into it."""
    if wanted is IccProfile.NO:
        return image, None
    if image.mode != "RGB":
        if wanted is None:
            return image, None
        image, source = image.convert("RGB"), None  # a profile of grey levels is none of colours
    if wanted is None:
        return image, source
    profile = profile_bytes(wanted, source)
    if wanted is not IccProfile.YES:
        image = converted(image, source, profile)
    return image, profile
