"""How many frames an instance has."""

from collections.abc import Mapping
from typing import Any

from app.dicom.instance import PixelLayout
from app.index.comparable import number_of
from app.index.order_key import first_value

_NUMBER_OF_FRAMES = "00280008"


def number_of_frames(attributes: Mapping[str, Any], pixels: PixelLayout | None) -> int:
    """Return how many frames an instance has, as it says or as its pixel data tell."""
    number = number_of(first_value(attributes, _NUMBER_OF_FRAMES))
    if number is not None and number >= 1:
        return int(number)
    return len(pixels.frames) if pixels is not None else 0
