"""Colours, by hand and against pydicom (PS3.3 §C.7.6.3.1.2)."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_palette_files, get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space

from app.errors import NotAcceptable
from app.pixels.render_color import in_8_bits, rgb_of


def image(bits: int = 8) -> Dataset:
    dataset = Dataset()
    dataset.BitsStored, dataset.PixelRepresentation = bits, 0
    return dataset


def pixel(*samples: int, dtype: type = np.uint8) -> np.ndarray:
    return np.array([[samples]], dtype)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_RCT", "YBR_ICT"])
def test_what_decoders_make_of_rgb_stays(photometric: str) -> None:
    assert rgb_of(pixel(1, 2, 3), photometric, image()).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ("ybr", "rgb"),
    [
        ((0, 128, 128), (0, 0, 0)),
        ((255, 128, 128), (255, 255, 255)),
        ((76, 85, 255), (254, 0, 0)),  # 76 + 1.402 * 127 = 254.05
        ((150, 44, 21), (0, 255, 1)),  # 150 + 1.772 * -84 = 1.15
        ((29, 255, 107), (0, 0, 254)),
    ],
)
def test_full_range_luminance_has_the_colours_computed_by_hand(
    ybr: tuple[int, ...], rgb: tuple[int, ...]
) -> None:
    assert rgb_of(pixel(*ybr), "YBR_FULL", image())[0, 0].tolist() == list(rgb)
    assert rgb_of(pixel(*ybr), "YBR_FULL_422", image())[0, 0].tolist() == list(rgb)


@pytest.mark.parametrize(
    ("ybr", "rgb"),
    [((16, 128, 128), (0, 0, 0)), ((235, 128, 128), (255, 255, 255)), ((81, 90, 240), (254, 0, 0))],
)
def test_partial_range_luminance_has_the_colours_computed_by_hand(
    ybr: tuple[int, ...], rgb: tuple[int, ...]
) -> None:
    assert rgb_of(pixel(*ybr), "YBR_PARTIAL_422", image())[0, 0].tolist() == list(rgb)


def test_every_luminance_is_within_one_level_of_pydicom() -> None:
    rng = np.random.default_rng(7)
    stored = rng.integers(0, 256, (64, 64, 3), np.uint8)

    expected = convert_color_space(stored, "YBR_FULL", "RGB").astype(int)

    assert np.abs(rgb_of(stored, "YBR_FULL", image()) - expected).max() <= 1


@pytest.mark.parametrize(
    ("value", "bits", "level"),
    [(65535, 16, 255), (32768, 16, 128), (0, 16, 0), (4095, 12, 255), (2048, 12, 128), (1, 1, 255)],
)
def test_samples_of_any_number_of_bits_become_8(value: int, bits: int, level: int) -> None:
    assert in_8_bits(np.array([value], np.uint16), bits).tolist() == [level]


def test_a_fourth_sample_is_left_out() -> None:
    assert rgb_of(pixel(1, 2, 3, 4), "RGB", image()).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("photometric", ["CMYK", "HSV", "XYZ"])
def test_an_unknown_photometric_interpretation_is_refused(photometric: str) -> None:
    with pytest.raises(NotAcceptable):
        rgb_of(pixel(1, 2, 3), photometric, image())


def test_colours_of_one_sample_are_refused() -> None:
    with pytest.raises(NotAcceptable):
        rgb_of(np.zeros((2, 2), np.uint8), "RGB", image())


@pytest.mark.parametrize("signed", [False, True])
def test_a_palette_gives_what_pydicom_gives(*, signed: bool) -> None:
    dataset = dcmread(str(get_testdata_file("examples_palette.dcm")))
    stored = dataset.pixel_array
    if signed:
        stored = stored.astype(np.int16)

    expected = apply_color_lut(stored, dataset)
    expected = expected if expected.dtype == np.uint8 else in_8_bits(expected, 16)

    assert (rgb_of(stored, "PALETTE COLOR", dataset) == expected).all()


@pytest.mark.parametrize(
    "path", get_palette_files("*.dcm"), ids=lambda path: path.rpartition("/")[2]
)
def test_the_well_known_palettes_give_what_pydicom_gives(path: str) -> None:
    """Among them are segmented ones."""
    palette = dcmread(path)
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)

    found = rgb_of(stored, "PALETTE COLOR", palette).astype(int)

    assert np.abs(found - apply_color_lut(stored, palette)).max() <= 1


def test_a_palette_that_begins_above_zero_is_not_wrapped() -> None:
    dataset = image()
    for color, data in (("Red", [5, 6]), ("Green", [7, 8]), ("Blue", [9, 10])):
        setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [2, 300, 8])
        setattr(dataset, f"{color}PaletteColorLookupTableData", np.array(data, "<u2").tobytes())
    stored = np.array([[0, 300, 301, 600]], np.uint16)

    found = rgb_of(stored, "PALETTE COLOR", dataset)

    assert found.tolist() == [[[5, 7, 9], [5, 7, 9], [6, 8, 10], [6, 8, 10]]]


def test_a_palette_without_its_tables_is_refused() -> None:
    with pytest.raises(NotAcceptable):
        rgb_of(np.zeros((2, 2), np.uint8), "PALETTE COLOR", image())
