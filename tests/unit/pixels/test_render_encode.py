"""Files of rendered images (PS3.18 §8.7.4)."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageSequence

from app.pixels.render_encode import MEDIA_TYPES, animated, encoded
from app.pixels.render_icc import profile_bytes
from app.pixels.render_options import IccProfile

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (40, 60), np.uint8)
SMOOTH = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
LOSSLESS = ["image/png", "image/gif", "image/jp2"]


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def frames_of(image: Image.Image) -> list[tuple[int, int]]:
    """How long each frame of an animation is shown, and the level of a pixel in it."""
    return [
        (frame.info["duration"], int(np.asarray(frame.convert("L"))[4, 4]))
        for frame in ImageSequence.Iterator(image)
    ]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_media_type_is_a_file_of_its_kind(media_type: str, mode: str) -> None:
    image = Image.fromarray(SMOOTH).convert(mode)

    found = opened(encoded(image, media_type, quality=None, icc_profile=None))

    assert Image.MIME[found.format or ""] == media_type
    assert found.size == (60, 40)
    assert np.abs(np.asarray(found.convert("L"), int) - SMOOTH).max() <= 4


@pytest.mark.parametrize("media_type", LOSSLESS)
def test_grey_levels_are_kept_where_the_format_can(media_type: str) -> None:
    data = encoded(Image.fromarray(NOISE), media_type, quality=None, icc_profile=None)

    assert (np.asarray(opened(data).convert("L")) == NOISE).all()


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/jp2"])
def test_less_quality_is_a_smaller_file_that_is_further_off(media_type: str) -> None:
    image = Image.fromarray(NOISE)
    sizes, errors = [], []
    for quality in (1, 50, 100):
        data = encoded(image, media_type, quality=quality, icc_profile=None)
        sizes.append(len(data))
        errors.append(np.abs(np.asarray(opened(data), int) - NOISE).mean())

    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
def test_a_profile_is_put_into_the_file(media_type: str) -> None:
    profile = profile_bytes(IccProfile.ADOBE_RGB, None)
    image = Image.fromarray(SMOOTH).convert("RGB")

    found = opened(encoded(image, media_type, quality=None, icc_profile=profile))

    assert found.info["icc_profile"] == profile
    assert "icc_profile" not in opened(encoded(image, media_type, quality=9, icc_profile=None)).info


def test_an_animation_shows_each_image_for_its_time() -> None:
    images = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (0, 100, 200)]

    found = opened(animated(images, [40, 80, 120]))

    assert frames_of(found) == [(40, 0), (80, 100), (120, 200)]
    assert found.info["loop"] == 0


def test_frames_that_are_alike_stay_frames_in_time() -> None:
    images = [Image.fromarray(np.full((8, 8), 50, np.uint8))] * 3

    found = opened(animated(images, [40, 40, 40]))

    assert sum(milliseconds for milliseconds, _ in frames_of(found)) == 120
