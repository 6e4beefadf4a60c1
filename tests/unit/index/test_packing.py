"""What is only kept is small, and comes back as it was."""

from hypothesis import given
from hypothesis import strategies as st

from app.dicom.instance import ByteRange, PixelLayout
from app.index.packing import (
    pack,
    pack_bulk,
    pack_pixels,
    unpack,
    unpack_bulk,
    unpack_pixels,
)

RANGES = st.builds(ByteRange, st.integers(0, 2**40), st.integers(0, 2**40))
LAYOUTS = st.builds(
    PixelLayout,
    st.booleans(),
    st.lists(st.lists(RANGES, max_size=4).map(tuple), max_size=6).map(tuple),
)


@given(st.binary())
def test_bytes_come_back(value: bytes) -> None:
    assert unpack(pack(value)) == value


@given(LAYOUTS)
def test_pixel_layout_comes_back(layout: PixelLayout) -> None:
    assert unpack_pixels(pack_pixels(layout)) == layout


@given(st.dictionaries(st.text(), RANGES))
def test_bulk_places_come_back(bulk: dict[str, ByteRange]) -> None:
    assert unpack_bulk(pack_bulk(bulk)) == bulk


def test_five_thousand_native_frames_take_little_room() -> None:
    size = 512 * 512 * 2
    frames = tuple((ByteRange(2048 + number * size, size),) for number in range(5_000))

    assert len(pack_pixels(PixelLayout(encapsulated=False, frames=frames))) < 1_000


def test_five_thousand_encapsulated_frames_take_little_room() -> None:
    places = []
    end = 3000
    for number in range(5_000):
        length = 20_000 + number * 7919 % 4096
        places.append((ByteRange(end + 8, length),))
        end += 8 + length

    packed = pack_pixels(PixelLayout(encapsulated=True, frames=tuple(places)))

    assert len(packed) < 5_000 * 6
