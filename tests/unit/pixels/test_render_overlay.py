"""Overlay planes, by hand and against pydicom (PS3.3 §C.9.2)."""

from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from app.pixels.render_overlay import overlay_of

BITS = np.array([[1, 0, 0], [0, 1, 1]], np.uint8)
CELLS = np.zeros((2, 3), np.uint16)


def overlaid(bits: np.ndarray = BITS, group: int = 0x6000, **more: Any) -> Dataset:
    origin, kind = more.get("origin", [1, 1]), more.get("kind", "G")
    dataset = Dataset()
    plane = bits.reshape(-1, *bits.shape[-2:])
    dataset.add_new((group, 0x0010), "US", plane.shape[1])
    dataset.add_new((group, 0x0011), "US", plane.shape[2])
    if "first" in more:
        dataset.add_new((group, 0x0015), "IS", len(plane))
        dataset.add_new((group, 0x0051), "US", more["first"])
    dataset.add_new((group, 0x0040), "CS", kind)
    dataset.add_new((group, 0x0050), "SS", origin)
    data = np.packbits(bits.ravel(), bitorder="little").tobytes()
    dataset.add_new((group, 0x3000), "OW", data + bytes(len(data) % 2))
    return dataset


def drawn(dataset: Dataset, index: int = 0, shape: tuple[int, int] = (2, 3)) -> list[list[int]]:
    mask = overlay_of(dataset, index, np.zeros(shape, np.uint16))
    assert mask is not None
    rows: list[list[int]] = mask.astype(int).tolist()
    return rows


def test_bits_are_drawn_where_they_are() -> None:
    assert drawn(overlaid()) == BITS.tolist()


def test_an_overlay_begins_at_its_origin() -> None:
    assert drawn(overlaid(origin=[2, 2]), shape=(3, 4)) == [
        [0, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 1],
    ]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [([0, 0], [[1, 1], [0, 0]]), ([2, 2], [[0, 0], [0, 1]]), ([9, 9], [[0, 0], [0, 0]])],
)
def test_what_lies_outside_is_cut_off(origin: list[int], expected: list[list[int]]) -> None:
    assert drawn(overlaid(origin=origin), shape=(2, 2)) == expected


def test_planes_of_several_groups_are_drawn_together() -> None:
    dataset = overlaid()
    dataset.update(overlaid(1 - BITS, group=0x601E))

    assert drawn(dataset) == [[1, 1, 1], [1, 1, 1]]


def test_a_region_of_interest_is_not_drawn() -> None:
    assert overlay_of(overlaid(kind="R"), 0, CELLS) is None


def test_an_overlay_of_several_frames_shows_each_its_plane() -> None:
    """Planes of 6 bits follow each other without a gap."""
    dataset = overlaid(np.stack([BITS, 1 - BITS]), first=2)

    assert overlay_of(dataset, 0, CELLS) is None
    assert drawn(dataset, 1) == BITS.tolist()
    assert drawn(dataset, 2) == (1 - BITS).tolist()
    assert overlay_of(dataset, 3, CELLS) is None


def test_an_overlay_that_is_cut_short_is_not_drawn() -> None:
    dataset = overlaid()
    dataset[0x6000, 0x0010].value = 40

    assert overlay_of(dataset, 0, CELLS) is None


@pytest.mark.parametrize(
    ("position", "is_drawn"), [(12, True), (15, True), (11, False), (16, False)]
)
def test_an_overlay_in_a_free_bit_of_the_cells_is_drawn(position: int, *, is_drawn: bool) -> None:
    """12 bits are stored, up to bit 11."""
    dataset = overlaid()
    del dataset[0x6000, 0x3000]
    dataset.add_new((0x6000, 0x0102), "US", position)
    dataset.HighBit, dataset.BitsStored = 11, 12
    cells = (BITS.astype(np.uint32) << position | 0x0AAA & ~(1 << position)).astype(np.uint16)

    found = overlay_of(dataset, 0, cells)

    assert (found is not None) is is_drawn
    if found is not None:
        assert found.astype(int).tolist() == BITS.tolist()


def test_a_file_has_the_overlay_that_pydicom_reads() -> None:
    dataset = dcmread(str(get_testdata_file("examples_overlay.dcm")))
    shape = (dataset.Rows, dataset.Columns)
    expected = np.zeros(shape, bool)
    for group in {tag.group for tag in dataset.keys() if 0x6000 <= tag.group <= 0x601E}:  # noqa: SIM118
        if dataset[group, 0x0040].value == "G":
            plane = dataset.overlay_array(group).astype(bool)
            expected[: plane.shape[0], : plane.shape[1]] |= plane[: shape[0], : shape[1]]

    found = overlay_of(dataset, 0, dataset.pixel_array)

    assert found is not None
    assert found.any()
    assert (found == expected).all()
