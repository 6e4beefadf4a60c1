"""Colour spaces, against their defining equations (IEC 61966-2-1, Adobe RGB (1998), ISO 22028-2)."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from app.pixels.render_icc import converted, profile_bytes, profile_of
from app.pixels.render_options import IccProfile

SPACES = [IccProfile.SRGB, IccProfile.ADOBE_RGB, IccProfile.ROMM_RGB]
# from the primaries and the white point D65 of sRGB, adapted to D50 (Bradford)
SRGB_TO_XYZ = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
ADOBE_TO_XYZ = np.array(
    [
        [0.6097559, 0.2052401, 0.1492240],
        [0.3111242, 0.6256560, 0.0632197],
        [0.0194811, 0.0608902, 0.7448387],
    ]
)
ROMM_TO_XYZ = np.array(
    [
        [0.7976749, 0.1351917, 0.0313534],
        [0.2880402, 0.7118741, 0.0000857],
        [0.0, 0.0, 0.8252100],
    ]
)
COLOURS = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (128, 64, 200),
    (30, 30, 30),
]


def linear(levels: tuple[int, ...]) -> np.ndarray:
    values = np.array(levels) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def in_adobe_rgb(colour: tuple[int, ...]) -> np.ndarray:
    values = np.linalg.solve(ADOBE_TO_XYZ, SRGB_TO_XYZ @ linear(colour)).clip(0, 1)
    return values ** (256 / 563) * 255


def in_romm_rgb(colour: tuple[int, ...]) -> np.ndarray:
    values = np.linalg.solve(ROMM_TO_XYZ, SRGB_TO_XYZ @ linear(colour)).clip(0, 1)
    return np.where(values < 1 / 512, values * 16, values ** (1 / 1.8)) * 255


def shown(colour: tuple[int, ...], wanted: IccProfile, source: bytes | None = None) -> np.ndarray:
    image = Image.new("RGB", (1, 1), colour)
    pixels = np.array(converted(image, source, profile_bytes(wanted, source)), float)
    return pixels.reshape(3)


@pytest.mark.parametrize("colour", COLOURS)
def test_adobe_rgb_is_what_its_equations_give(colour: tuple[int, ...]) -> None:
    assert np.abs(shown(colour, IccProfile.ADOBE_RGB) - in_adobe_rgb(colour)).max() <= 1.5


@pytest.mark.parametrize("colour", COLOURS)
def test_romm_rgb_is_what_its_equations_give(colour: tuple[int, ...]) -> None:
    assert np.abs(shown(colour, IccProfile.ROMM_RGB) - in_romm_rgb(colour)).max() <= 1.5


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("space", [IccProfile.ADOBE_RGB, IccProfile.ROMM_RGB])
def test_there_and_back_is_where_it_began(space: IccProfile, colour: tuple[int, ...]) -> None:
    there = tuple(int(value) for value in shown(colour, space))

    back = shown(there, IccProfile.SRGB, profile_bytes(space, None))

    assert np.abs(back - colour).max() <= 8  # steps of 8 bits are coarse in a wide space


def test_what_has_no_profile_is_srgb_already() -> None:
    assert shown((128, 64, 200), IccProfile.SRGB).tolist() == [128, 64, 200]


@pytest.mark.parametrize("space", SPACES)
def test_a_profile_says_what_it_is(space: IccProfile) -> None:
    opened = ImageCms.ImageCmsProfile(BytesIO(profile_bytes(space, None)))

    assert opened.profile.xcolor_space.strip() == "RGB"
    assert opened.profile.device_class == "mntr"
    assert "RGB" in ImageCms.getProfileDescription(opened)


def test_yes_keeps_the_profile_of_the_data_set() -> None:
    adobe = profile_bytes(IccProfile.ADOBE_RGB, None)

    assert profile_bytes(IccProfile.YES, adobe) == adobe
    assert b"sRGB" in profile_bytes(IccProfile.YES, None).replace(b"\0", b"")


def test_the_profile_of_a_data_set_is_found() -> None:
    adobe = profile_bytes(IccProfile.ADOBE_RGB, None)
    dataset, path = Dataset(), Dataset()
    path.ICCProfile = adobe
    dataset.OpticalPathSequence = [path]

    assert profile_of(dataset) == adobe
    dataset.ICCProfile = profile_bytes(IccProfile.ROMM_RGB, None)
    assert profile_of(dataset) == dataset.ICCProfile


@pytest.mark.parametrize(
    "profile",
    [b"no profile at all", b"", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()],
)
def test_what_is_no_profile_of_rgb_does_not_count(profile: bytes) -> None:
    dataset = Dataset()
    dataset.ICCProfile = profile

    assert profile_of(dataset) is None
