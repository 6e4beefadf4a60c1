"""Regions, flips and sizes (PS3.18 §8.3.5.1.3)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.errors import BadQuery
from app.pixels.render_geometry import in_viewport
from app.pixels.render_options import Viewport

QUARTERS = np.repeat(np.repeat([[0, 80], [160, 240]], 20, axis=0), 20, axis=1).astype(np.uint8)


def shown(viewport: Viewport, aspect: float = 1.0) -> np.ndarray:
    return np.asarray(in_viewport(Image.fromarray(QUARTERS), viewport, aspect))


def corners(viewport: Viewport) -> list[int]:
    found = shown(viewport)
    return [int(found[y, x]) for y in (2, -3) for x in (2, -3)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((40, 40), (40, 40)), ((80, 40), (40, 40)), ((20, 90), (20, 20)), ((400, 100), (100, 100))],
)
def test_an_image_is_scaled_to_fit_and_keeps_its_shape(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert shown(Viewport(*size)).shape == expected[::-1]


@pytest.mark.parametrize(("aspect", "expected"), [(2.0, (50, 100)), (0.5, (100, 50))])
def test_pixels_that_are_not_square_become_so(aspect: float, expected: tuple[int, int]) -> None:
    assert shown(Viewport(100, 100), aspect).shape == expected[::-1]


def test_a_region_is_cut_out() -> None:
    found = shown(Viewport(10, 10, left=22, top=22, region_width=10, region_height=10))

    assert (found == 240).all()


def test_a_region_without_a_size_ends_where_the_image_ends() -> None:
    assert (shown(Viewport(8, 8, left=24, top=24)) == 240).all()
    assert shown(Viewport(100, 100, top=20)).shape == (50, 100)


@pytest.mark.parametrize(
    ("across", "down", "expected"),
    [
        (False, False, [0, 80, 160, 240]),
        (True, False, [80, 0, 240, 160]),
        (False, True, [160, 240, 0, 80]),
        (True, True, [240, 160, 80, 0]),
    ],
)
def test_flips_turn_the_image_round(*, across: bool, down: bool, expected: list[int]) -> None:
    viewport = Viewport(40, 40, flip_horizontally=across, flip_vertically=down)

    assert corners(viewport) == expected


def test_a_small_image_can_be_left_as_small_as_it_is() -> None:
    assert shown(Viewport(200, 200, enlarges=False)).shape == (40, 40)
    assert shown(Viewport(20, 200, enlarges=False)).shape == (20, 20)


@pytest.mark.parametrize(
    "viewport",
    [
        Viewport(9, 9, left=40),
        Viewport(9, 9, top=41),
        Viewport(9, 9, left=30, region_width=11),
        Viewport(9, 9, region_height=40.5),
    ],
)
def test_a_region_beyond_the_image_is_refused(viewport: Viewport) -> None:
    with pytest.raises(BadQuery, match="viewport"):
        shown(viewport)


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    aspect=st.floats(0.01, 100),
    left=st.integers(0, 39),
    top=st.integers(0, 39),
)
def test_what_is_shown_fits_and_touches_the_viewport(
    width: int, height: int, aspect: float, left: int, top: int
) -> None:
    rows, columns = shown(Viewport(width, height, left=left, top=top), aspect).shape

    assert 1 <= columns <= width
    assert 1 <= rows <= height
    assert columns == width or rows == height
