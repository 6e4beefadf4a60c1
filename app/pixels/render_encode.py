"""Rendered images as files of the media types of PS3.18 §8.7.4."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from types import MappingProxyType
from typing import Any

from PIL import Image

GIF, JPEG, PNG, JPEG_2000 = "image/gif", "image/jpeg", "image/png", "image/jp2"
MEDIA_TYPES = (JPEG, PNG, GIF, JPEG_2000)
QUALITY = 90  # of 100, where nothing is asked for
_FULL_CHROMA_FROM = 90
_LEAST_DECIBEL, _MOST_DECIBEL = 25.0, 60.0  # of JPEG 2000, for quality 1 and 99

_FORMATS: Mapping[str, str] = MappingProxyType(
    {JPEG: "JPEG", PNG: "PNG", GIF: "GIF", JPEG_2000: "JPEG2000"}
)


def encoded(
    image: Image.Image, media_type: str, *, quality: int | None, icc_profile: bytes | None
) -> bytes:
    """Return one image as a file; the profile goes into it where its format has a place for one."""
    options: dict[str, Any] = {}
    match media_type:
        case "image/jpeg":
            best = QUALITY if quality is None else quality
            chroma = "4:4:4" if best >= _FULL_CHROMA_FROM else "4:2:0"
            options = {"quality": best, "subsampling": chroma, "optimize": False}
        case "image/jp2" if quality is not None and quality < 100:  # noqa: PLR2004 - the best
            span = _MOST_DECIBEL - _LEAST_DECIBEL
            decibel = _LEAST_DECIBEL + span * (quality - 1) / 98
            options = {"irreversible": True, "quality_mode": "dB", "quality_layers": [decibel]}
    if icc_profile is not None and media_type in (JPEG, PNG):
        options["icc_profile"] = icc_profile
    return _saved(image, media_type, options)


def animated(images: Sequence[Image.Image], milliseconds: Sequence[int]) -> bytes:
    """Return images as an animated GIF; each is shown for its time."""
    if len(images) == 1:
        return _saved(images[0], GIF, {})
    options = {
        "save_all": True,
        "append_images": list(images[1:]),
        "duration": list(milliseconds),
        "loop": 0,
    }
    return _saved(images[0], GIF, options)


def _saved(image: Image.Image, media_type: str, options: Mapping[str, Any]) -> bytes:
    file = BytesIO()
    image.save(file, _FORMATS[media_type], **options)
    return file.getvalue()
