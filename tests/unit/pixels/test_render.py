"""Whole objects rendered, as a worker process does it."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ParametricMapStorage,
    SegmentationStorage,
)

from app.dicom.part10 import inflate, read_instance
from app.dicom.pixel_description import describe_pixels
from app.errors import BadQuery, NotAcceptable
from app.limits import Limits
from app.pixels.render import render
from app.pixels.render_options import (
    Annotation,
    IccProfile,
    RenderOptions,
    Viewport,
    VoiFunction,
    Window,
)
from app.pixels.render_source import ImageSource
from tests.corpus import SIDE, make_instance

LIMITS = Limits()
PNG = RenderOptions("image/png")
RAMP = np.arange(SIDE * SIDE, dtype="<u2").reshape(SIDE, SIDE) * 16
NATIVE = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def source_of(data: bytes, numbers: Sequence[int] = (1,)) -> ImageSource:
    record = read_instance(data, LIMITS)
    assert record.pixels is not None
    whole = bytes(inflate(data, LIMITS)) if record.deflated else data
    layout = record.pixels.frames
    return ImageSource(
        head=whole[: layout[0][0].offset],
        deflated=record.deflated,
        transfer_syntax_uid=record.transfer_syntax_uid,
        description=describe_pixels(record.attributes, frame_bytes=LIMITS.frame_bytes),
        numbers=tuple(numbers),
        frames=tuple(
            b"".join(whole[part.offset : part.offset + part.length] for part in layout[number - 1])
            for number in numbers
        ),
    )


def opened(data: bytes, options: RenderOptions = PNG, numbers: Sequence[int] = (1,)) -> Image.Image:
    return Image.open(BytesIO(render(source_of(data, numbers), options)))


def levels(data: bytes, options: RenderOptions = PNG, number: int = 1) -> np.ndarray:
    return np.asarray(opened(data, options, [number]))


def ramp(**more: Any) -> bytes:
    return make_instance(PixelData=RAMP.tobytes(), **more)


@pytest.mark.parametrize("syntax", NATIVE)
def test_the_ramp_is_shown_in_every_encoding_of_the_data_set(syntax: str) -> None:
    """0 to 4080 in steps of 16: each step is one grey level."""
    assert (levels(ramp(transfer_syntax=syntax)) == RAMP // 16).all()


def test_rescale_and_window_are_applied() -> None:
    data = ramp(RescaleSlope="2", RescaleIntercept="-1000", WindowCenter="1000", WindowWidth="2000")
    values = RAMP.astype(float) * 2 - 1000
    shown = ((values - 999.5) / 1999 + 0.5).clip(0, 1)

    assert (levels(data) == np.floor(shown * 255 + 0.5)).all()


def test_the_window_of_the_request_goes_before_that_of_the_data_set() -> None:
    data = ramp(WindowCenter="1", WindowWidth="1")
    options = RenderOptions("image/png", window=Window(2048, 4096, VoiFunction.LINEAR_EXACT))

    assert (levels(data, options) == np.floor(RAMP / 4096 * 255 + 0.5)).all()


def test_monochrome_1_is_white_at_its_least() -> None:
    data = ramp(PhotometricInterpretation="MONOCHROME1")

    assert (levels(data) == 255 - RAMP // 16).all()


def test_signed_values_within_fewer_bits_keep_their_sign() -> None:
    """12 bits stored: FFFH is -1, and what is above bit 11 is no part of the value."""
    cells = np.tile(np.array([0xF800, 0x0FFF, 0x0000, 0x07FF], "<u2"), SIDE * SIDE // 4)
    data = make_instance(PixelRepresentation=1, PixelData=cells.tobytes())

    assert levels(data)[0, :4].tolist() == [0, 127, 128, 255]  # -2048, -1, 0, 2047


def test_a_high_bit_above_the_stored_bits_is_obeyed() -> None:
    cells = (RAMP << 4).astype("<u2")
    data = make_instance(HighBit=15, PixelData=cells.tobytes())

    assert (levels(data) == RAMP // 16).all()


def test_each_frame_is_shown_with_its_own_rescale_and_window() -> None:
    frames = [RAMP, RAMP]
    groups = [
        {
            "PixelValueTransformationSequence": [
                {"RescaleSlope": slope, "RescaleIntercept": "0", "RescaleType": "US"}
            ],
            "FrameVOILUTSequence": [{"WindowCenter": center, "WindowWidth": "4081"}],
        }
        for slope, center in (("1", "2041"), ("2", "2041"))
    ]
    data = make_instance(
        NumberOfFrames="2",
        PixelData=b"".join(frame.tobytes() for frame in frames),
        PerFrameFunctionalGroupsSequence=groups,
    )

    assert (levels(data, number=1) == np.floor(RAMP / 4080 * 255 + 0.5)).all()
    assert (levels(data, number=2) == np.floor((RAMP * 2 / 4080).clip(0, 1) * 255 + 0.5)).all()


def test_float_pixel_data_of_a_parametric_map_are_shown() -> None:
    values = np.linspace(-0.5, 0.5, SIDE * SIDE, dtype="<f4")
    data = make_instance(
        SOPClassUID=ParametricMapStorage, BitsAllocated=32, BitsStored=None, HighBit=None,
        PixelRepresentation=None, PixelData=None, FloatPixelData=values.tobytes(),
    )  # fmt: skip

    expected = np.floor((values.astype(float) + 0.5) * 255 + 0.5).reshape(SIDE, SIDE)
    assert (levels(data) == expected).all()


def test_a_binary_segmentation_is_black_and_white_even_where_all_is_one() -> None:
    bits = np.zeros((2, SIDE, SIDE), np.uint8)
    bits[0, 3, 4:9], bits[1] = 1, 1
    data = make_instance(
        SOPClassUID=SegmentationStorage, SegmentationType="BINARY", NumberOfFrames="2",
        BitsAllocated=1, BitsStored=1, HighBit=0,
        PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes(),
    )  # fmt: skip

    assert (levels(data, number=1) == bits[0] * 255).all()
    assert (levels(data, number=2) == 255).all()


def test_a_fractional_segmentation_is_shown_by_its_own_maximum() -> None:
    values = np.tile(np.array([0, 50, 100, 200], np.uint8), SIDE * SIDE // 4)
    data = make_instance(
        SOPClassUID=SegmentationStorage, SegmentationType="FRACTIONAL", MaximumFractionalValue=200,
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=values.tobytes(),
    )  # fmt: skip

    assert levels(data)[0, :4].tolist() == [0, 64, 128, 255]


def test_planes_of_colour_are_put_together() -> None:
    planes = np.stack([np.full((SIDE, SIDE), level, np.uint8) for level in (10, 20, 30)])
    data = make_instance(
        SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=1,
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=planes.tobytes(),
    )  # fmt: skip

    assert levels(data)[5, 5].tolist() == [10, 20, 30]


def test_native_pixels_of_half_the_chrominance_keep_their_partial_range() -> None:
    pairs = np.tile(np.array([16, 235, 128, 128], np.uint8), SIDE * SIDE // 2)
    data = make_instance(
        SamplesPerPixel=3, PhotometricInterpretation="YBR_PARTIAL_422", PlanarConfiguration=0,
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=pairs.tobytes(),
    )  # fmt: skip

    assert levels(data)[0, :2].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_an_overlay_is_drawn_in_white_unless_it_is_not_wanted() -> None:
    data = Path(str(get_testdata_file("examples_overlay.dcm"))).read_bytes()

    plain, drawn = levels(data, RenderOptions("image/png", overlays=False)), levels(data)

    changed = plain != drawn
    assert changed.any()
    assert (drawn[changed] == 255).all()


def test_a_viewport_is_filled_as_the_shape_of_the_pixels_asks() -> None:
    data = ramp(PixelSpacing=["1", "2"])
    options = RenderOptions("image/png", viewport=Viewport(100, 100))

    assert opened(data, options).size == (100, 50)
    assert opened(data).size == (SIDE, SIDE)


def test_a_region_beyond_the_image_is_a_bad_query() -> None:
    options = RenderOptions("image/png", viewport=Viewport(9, 9, left=SIDE))

    with pytest.raises(BadQuery, match="viewport"):
        render(source_of(ramp()), options)


def test_an_animation_has_all_frames_and_one_range_for_them() -> None:
    frames = [np.full((SIDE, SIDE), level, "<u2") for level in (0, 1000, 4000)]
    data = make_instance(
        NumberOfFrames="3", FrameTime="50", PixelData=b"".join(each.tobytes() for each in frames)
    )

    found = opened(data, RenderOptions("image/gif"), [1, 2, 3])

    shown = [
        (frame.info["duration"], int(np.asarray(frame.convert("L"))[1, 1]))
        for frame in ImageSequence.Iterator(found)
    ]
    assert shown == [(50, 0), (50, 64), (50, 255)]


@pytest.mark.parametrize(
    ("attributes", "milliseconds"),
    [
        ({}, 100),
        ({"FrameTime": "33.3"}, 30),  # GIF counts in hundredths of a second
        ({"FrameTimeVector": ["0", "40", "90"]}, 40),
        ({"CineRate": "10"}, 100),
        ({"RecommendedDisplayFrameRate": "25", "CineRate": "10"}, 40),
        ({"FrameTime": "1"}, 20),
    ],
)
def test_an_animation_runs_as_fast_as_the_data_set_says(
    attributes: dict[str, Any], milliseconds: int
) -> None:
    pixels = RAMP.tobytes() + RAMP[::-1].tobytes() + RAMP.T.tobytes()
    data = make_instance(NumberOfFrames="3", PixelData=pixels, **attributes)

    assert opened(data, RenderOptions("image/gif"), [1, 2, 3]).info["duration"] == milliseconds


@pytest.mark.parametrize(
    ("wanted", "mode", "has_profile"),
    [
        (None, "L", False),
        (IccProfile.NO, "L", False),
        (IccProfile.YES, "RGB", True),
        (IccProfile.SRGB, "RGB", True),
        (IccProfile.ADOBE_RGB, "RGB", True),
        (IccProfile.ROMM_RGB, "RGB", True),
    ],
)
def test_grey_levels_get_a_profile_as_colours(
    wanted: IccProfile | None, mode: str, *, has_profile: bool
) -> None:
    found = opened(ramp(), RenderOptions("image/png", icc_profile=wanted))

    assert (found.mode, "icc_profile" in found.info) == (mode, has_profile)


def test_the_profile_of_the_data_set_stays_in_the_image_by_default() -> None:
    source = dcmread(str(get_testdata_file("examples_rgb_color.dcm")))
    adobe = opened(ramp(), RenderOptions("image/png", icc_profile=IccProfile.ADOBE_RGB)).info
    source.ICCProfile = adobe["icc_profile"]
    file = BytesIO()
    source.save_as(file)
    data = file.getvalue()

    kept = opened(data)
    none = opened(data, RenderOptions("image/png", icc_profile=IccProfile.NO))
    srgb = opened(data, RenderOptions("image/png", icc_profile=IccProfile.SRGB))

    assert kept.info["icc_profile"] == adobe["icc_profile"]
    assert "icc_profile" not in none.info
    assert (np.asarray(kept) == np.asarray(none)).all()
    assert (np.asarray(kept) != np.asarray(srgb)).any()


def test_text_is_written_after_scaling() -> None:
    options = RenderOptions(
        "image/png", viewport=Viewport(300, 300), annotations=(Annotation.PATIENT,)
    )
    plain = RenderOptions("image/png", viewport=Viewport(300, 300))

    assert (levels(ramp(), options) != levels(ramp(), plain)).any()


def test_a_palette_that_is_missing_is_not_acceptable() -> None:
    data = make_instance(PhotometricInterpretation="PALETTE COLOR")

    with pytest.raises(NotAcceptable, match="palette"):
        render(source_of(data), PNG)


def test_a_file_is_shown_as_pydicom_decodes_it() -> None:
    path = Path(str(get_testdata_file("CT_small.dcm")))
    dataset = dcmread(path)
    values = apply_modality_lut(dataset.pixel_array, dataset)
    low = values[dataset.pixel_array != dataset.PixelPaddingValue].min()

    found = levels(path.read_bytes())

    shown = ((values - low) / (values.max() - low)).clip(0, 1)
    assert (found == np.floor(shown * 255 + 0.5)).all()
