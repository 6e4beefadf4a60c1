"""The region of an image that is shown, and its size (PS3.18 §8.3.5.1.3)."""

from math import ceil, floor

from PIL import Image

from app.errors import BadQuery
from app.pixels.render_options import Viewport

_HORIZONTALLY, _VERTICALLY = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM


def in_viewport(image: Image.Image, viewport: Viewport, pixel_aspect: float) -> Image.Image:
    """Return the region of a viewport, flipped and scaled to fit within it. Raises BadQuery.

    `pixel_aspect` is how much taller than wide a pixel is; those of the result are square.
    """
    left, top, right, bottom = _region(viewport, image.size)
    tall = (bottom - top) * pixel_aspect
    scale = min(viewport.width / (right - left), viewport.height / tall)
    if not viewport.enlarges:
        scale = min(scale, 1.0)
    size = (max(1, round((right - left) * scale)), max(1, round(tall * scale)))
    shrinks = size[0] < right - left or size[1] < bottom - top
    resample = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    # cut out first: pixels beside the region must not shine into it
    outer = (floor(left), floor(top), ceil(right), ceil(bottom))
    box = (left - outer[0], top - outer[1], right - outer[0], bottom - outer[1])
    scaled = image.crop(outer).resize(size, resample, box=box)
    if viewport.flip_horizontally:
        scaled = scaled.transpose(_HORIZONTALLY)
    return scaled.transpose(_VERTICALLY) if viewport.flip_vertically else scaled


def _region(viewport: Viewport, size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    left, top = viewport.left, viewport.top
    right = width if viewport.region_width is None else left + viewport.region_width
    bottom = height if viewport.region_height is None else top + viewport.region_height
    if not (left < right <= width and top < bottom <= height):
        raise BadQuery(
            f"The region of viewport is not within the image of {width} x {height} pixels."
        )
    return left, top, right, bottom
