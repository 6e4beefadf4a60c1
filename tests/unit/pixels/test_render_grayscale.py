"""Grey levels, against the formulas of PS3.3 §C.11 computed one by one, and against pydicom."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing

from app.pixels.render_display import GrayscaleDisplay, Rescale, display_of
from app.pixels.render_grayscale import grey_levels, in_window, modality_values, whole_range
from app.pixels.render_lut import LookUpTable
from app.pixels.render_options import VoiFunction, Window

FILES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "rtdose_1frame.dcm",
    "examples_overlay.dcm",
]
finite = st.floats(-1e5, 1e5, allow_nan=False)
halves = st.integers(-40_000, 40_000).map(lambda n: n / 2)


def linear(x: float, center: float, width: float) -> Fraction:
    """PS3.3 §C.11.2.1.2.1, with ymin 0 and ymax 1, in exact numbers."""
    value, c, w = Fraction(x), Fraction(center), Fraction(width)
    half = Fraction(1, 2)
    if value <= c - half - (w - 1) / 2:
        return Fraction(0)
    if value > c - half + (w - 1) / 2:
        return Fraction(1)
    return (value - (c - half)) / (w - 1) + half


def linear_exact(x: float, center: float, width: float) -> Fraction:
    """PS3.3 §C.11.2.1.3.2."""
    value, c, w = Fraction(x), Fraction(center), Fraction(width)
    if value <= c - w / 2:
        return Fraction(0)
    return Fraction(1) if value > c + w / 2 else (value - c) / w + Fraction(1, 2)


@given(x=halves, center=halves, width=st.integers(1, 60_000))
def test_a_linear_window_is_the_formula_of_the_standard(
    x: float, center: float, width: int
) -> None:
    found = in_window(np.array([x]), Window(center, width))[0]

    assert found == pytest.approx(float(linear(x, center, width)), abs=1e-9)


@given(x=halves, center=halves, width=st.integers(1, 60_000).map(lambda n: n / 4))
def test_an_exact_linear_window_is_the_formula_of_the_standard(
    x: float, center: float, width: float
) -> None:
    found = in_window(np.array([x]), Window(center, width, VoiFunction.LINEAR_EXACT))[0]

    assert found == pytest.approx(float(linear_exact(x, center, width)), abs=1e-9)


@given(x=finite, center=finite, width=st.floats(0.01, 1e5))
def test_a_sigmoid_window_is_the_formula_of_the_standard(
    x: float, center: float, width: float
) -> None:
    exponent = -4 * (x - center) / width
    assume(abs(exponent) < 500)

    found = in_window(np.array([x]), Window(center, width, VoiFunction.SIGMOID))[0]

    assert found == pytest.approx(1 / (1 + math.exp(exponent)), abs=1e-12)


@given(
    values=st.lists(finite, min_size=2, max_size=30),
    center=finite,
    width=st.floats(1, 1e5),
    function=st.sampled_from(VoiFunction),
)
def test_a_brighter_value_is_never_shown_darker(
    values: list[float], center: float, width: float, function: VoiFunction
) -> None:
    shown = in_window(np.array(sorted(values)), Window(center, width, function))

    assert (np.diff(shown) >= 0).all()
    assert ((shown >= 0) & (shown <= 1)).all()


@pytest.mark.parametrize(
    ("x", "level"),
    [(-160, 0), (-159, 1), (39, 127), (40, 128), (239, 255), (240, 255), (1000, 255), (-1000, 0)],
)
def test_a_soft_tissue_window_has_the_levels_computed_by_hand(x: int, level: int) -> None:
    """40/400: (x - 39.5) / 399 + 0.5, times 255."""
    stored = np.array([[x + 1024]], np.uint16)
    display = GrayscaleDisplay(Rescale(1, -1024), Window(40, 400))

    assert grey_levels(stored, display)[0, 0] == level


def test_a_width_of_one_is_a_threshold() -> None:
    stored = np.array([[99, 100, 101]], np.int16)

    assert grey_levels(stored, GrayscaleDisplay(voi=Window(100, 1))).tolist() == [[0, 255, 255]]


def test_inversion_turns_every_level_round() -> None:
    stored = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    window = Window(2000, 1000)
    plain = grey_levels(stored, GrayscaleDisplay(voi=window))
    inverse = grey_levels(stored, GrayscaleDisplay(voi=window, inverse=True))

    assert (np.abs(plain.astype(int) + inverse - 255) <= 1).all()
    assert (inverse[0, 0], inverse[-1, -1]) == (255, 0)


def test_without_a_window_the_least_is_black_and_the_largest_white() -> None:
    stored = np.array([[-5, 0, 5]], np.int16)

    assert grey_levels(stored, GrayscaleDisplay()).tolist() == [[0, 128, 255]]


def test_padding_has_no_part_in_the_range() -> None:
    stored = np.array([[-2000, -1990, 0, 100, 200]], np.int16)
    display = GrayscaleDisplay(padding=(-2000, -1990))

    assert grey_levels(stored, display).tolist() == [[0, 0, 0, 128, 255]]


def test_an_image_of_padding_alone_is_shown_all_the_same() -> None:
    stored = np.full((2, 2), 7, np.int16)

    assert grey_levels(stored, GrayscaleDisplay(padding=(7, 7))).tolist() == [[0, 0], [0, 0]]


def test_a_negative_slope_keeps_the_order_of_the_rescaled_values() -> None:
    stored = np.array([[0, 1, 2]], np.uint8)
    display = GrayscaleDisplay(Rescale(-2, 10))

    assert whole_range(stored, display) == (6, 10)
    assert grey_levels(stored, display).tolist() == [[255, 128, 0]]


def test_float_pixels_are_shown_and_what_is_no_number_is_black() -> None:
    stored = np.array([[0.0, 0.25, 0.5, np.nan, 1.0, np.inf]], np.float32)

    assert grey_levels(stored, GrayscaleDisplay()).tolist() == [[0, 64, 128, 0, 255, 255]]


def test_a_fixed_range_goes_before_the_values_that_occur() -> None:
    stored = np.ones((2, 2), np.uint8)

    assert grey_levels(stored, GrayscaleDisplay(extent=(0, 1))).tolist() == [[255, 255]] * 2


def test_a_look_up_table_as_modality_and_one_as_voi_follow_each_other() -> None:
    modality = LookUpTable(10, np.array([100, 200, 300], np.uint16), 16)
    voi = LookUpTable(100, np.arange(0, 256, dtype=np.uint16)[:201], 8)
    stored = np.array([[0, 10, 11, 12, 99]], np.int16)

    found = grey_levels(stored, GrayscaleDisplay(modality, voi))

    assert found.tolist() == [[0, 0, 100, 200, 200]]


def test_values_of_many_bits_are_shown_without_a_table_of_them_all() -> None:
    stored = np.array([[0, 2**31, 2**32 - 1]], np.uint32)

    assert grey_levels(stored, GrayscaleDisplay()).tolist() == [[0, 128, 255]]


@given(
    data=st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=60),
    slope=st.sampled_from([1.0, 2.5, -1.0]),
    center=st.integers(-2000, 2000),
    width=st.integers(2, 5000),
)
def test_looking_up_gives_what_computing_each_pixel_gives(
    data: list[int], slope: float, center: int, width: int
) -> None:
    display = GrayscaleDisplay(Rescale(slope, -3), Window(center, width))
    few = np.array([data], np.int16)
    many = np.resize(few, (300, 300))  # enough pixels for the table to be worth it

    alone = np.array([[grey_levels(np.array([[v]]), display)[0, 0] for v in data]])

    assert (grey_levels(few, display) == alone).all()
    assert (grey_levels(many, display) == np.resize(alone, (300, 300))).all()


@pytest.mark.parametrize("name", FILES)
def test_files_have_the_levels_that_pydicom_computes(name: str) -> None:
    dataset = dcmread(str(get_testdata_file(name)))
    stored = dataset.pixel_array
    window = Window(60, 300)
    display = GrayscaleDisplay(display_of(dataset, 0).modality, window)
    windowed = Dataset()
    windowed.update(dataset)
    windowed.file_meta = dataset.file_meta
    windowed.WindowCenter, windowed.WindowWidth = window.center, window.width

    expected = apply_windowing(apply_modality_lut(stored, dataset), windowed)
    span = _output_range(dataset)
    levels = np.floor((expected - span[0]) / (span[1] - span[0]) * 255 + 0.5)

    assert (grey_levels(stored, display) == levels).all()


def _output_range(dataset: Dataset) -> tuple[float, float]:
    """The range that pydicom windows to: that of the stored bits, rescaled."""
    bits = dataset.BitsStored
    low, high = (
        (0, 2**bits - 1)
        if not dataset.PixelRepresentation
        else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    return low * slope + intercept, high * slope + intercept


def test_a_voi_lut_gives_what_pydicom_computes() -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [256, 10, 12], [n * 16 for n in range(256)]
    dataset = Dataset()
    dataset.PixelRepresentation, dataset.BitsStored = 0, 8
    dataset.VOILUTSequence = [item]
    stored = np.arange(300, dtype=np.uint16).reshape(10, 30)

    expected = np.floor(apply_voi_lut(stored, dataset) / 4095 * 255 + 0.5)

    assert (grey_levels(stored, display_of(dataset, 0)) == expected).all()


def test_a_rescale_gives_what_pydicom_computes() -> None:
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    stored = dataset.pixel_array

    found = modality_values(stored, display_of(dataset, 0).modality)

    assert (found == apply_modality_lut(stored, dataset)).all()
