"""What a data set says about showing a frame (PS3.3 §C.7.6.16.2, §C.11)."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from app.errors import NotAcceptable
from app.pixels.render_display import (
    Rescale,
    display_of,
    macro_of,
    number_of,
    numbers_of,
    pixel_aspect_of,
    value_of,
)
from app.pixels.render_lut import LookUpTable
from app.pixels.render_options import VoiFunction, Window


def data_set(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def transformed(slope: float) -> Dataset:
    return data_set(
        PixelValueTransformationSequence=[data_set(RescaleSlope=slope, RescaleIntercept=0)]
    )


def windowed(center: float, **more: Any) -> Dataset:
    item = data_set(WindowCenter=center, WindowWidth=10, **more)
    return data_set(FrameVOILUTSequence=[item])


def test_nothing_said_is_the_whole_range() -> None:
    display = display_of(Dataset(), 0)

    assert (display.modality, display.voi, display.inverse) == (Rescale(), None, False)


def test_the_first_of_several_windows_counts() -> None:
    dataset = data_set(WindowCenter=[40, 500], WindowWidth=[400, 2000])

    assert display_of(dataset, 0).voi == Window(40, 400)


@pytest.mark.parametrize(
    ("named", "function"),
    [
        ("SIGMOID", VoiFunction.SIGMOID),
        ("LINEAR_EXACT", VoiFunction.LINEAR_EXACT),
        ("OTHER", VoiFunction.LINEAR),
        ("", VoiFunction.LINEAR),
    ],
)
def test_a_window_has_its_function(named: str, function: VoiFunction) -> None:
    dataset = data_set(WindowCenter=40, WindowWidth=400, VOILUTFunction=named)

    assert display_of(dataset, 0).voi == Window(40, 400, function)


@pytest.mark.parametrize(
    ("width", "function"), [(0, "LINEAR"), (0.5, "LINEAR"), (-3, "LINEAR_EXACT"), (0, "SIGMOID")]
)
def test_a_window_that_its_function_is_not_defined_for_does_not_count(
    width: float, function: str
) -> None:
    dataset = data_set(WindowCenter=40, WindowWidth=width, VOILUTFunction=function)

    assert display_of(dataset, 0).voi is None


def test_a_voi_lut_goes_before_a_window() -> None:
    lut = data_set(LUTDescriptor=[2, 0, 8], LUTData=[0, 255])
    dataset = data_set(WindowCenter=40, WindowWidth=400, VOILUTSequence=[lut])

    assert isinstance(display_of(dataset, 0).voi, LookUpTable)


def test_a_modality_lut_goes_before_a_rescale() -> None:
    lut = data_set(LUTDescriptor=[2, 0, 16], LUTData=[5, 6], ModalityLUTType="HU")
    modality = display_of(data_set(ModalityLUTSequence=[lut], RescaleSlope=2), 0).modality

    assert isinstance(modality, LookUpTable)
    assert modality.of(np.array([0, 1])).tolist() == [5, 6]


def test_an_incomplete_look_up_table_is_refused() -> None:
    with pytest.raises(NotAcceptable):
        display_of(data_set(VOILUTSequence=[data_set(LUTData=[5, 6])]), 0)


def test_each_frame_has_its_own_functional_groups() -> None:
    dataset = data_set(
        PerFrameFunctionalGroupsSequence=[transformed(2), transformed(3)],
        SharedFunctionalGroupsSequence=[windowed(77)],
        RescaleSlope=9,
        WindowCenter=1,
        WindowWidth=1,
    )

    first, second = display_of(dataset, 0), display_of(dataset, 1)

    assert (first.modality, second.modality) == (Rescale(2, 0), Rescale(3, 0))
    assert first.voi == second.voi == Window(77, 10)


def test_a_frames_own_group_goes_before_the_shared_one() -> None:
    dataset = data_set(
        PerFrameFunctionalGroupsSequence=[windowed(5, VOILUTFunction="SIGMOID")],
        SharedFunctionalGroupsSequence=[windowed(77)],
    )

    assert display_of(dataset, 0).voi == Window(5, 10, VoiFunction.SIGMOID)
    assert display_of(dataset, 1).voi == Window(77, 10)
    assert macro_of(dataset, 0, "PixelMeasuresSequence") is None


@pytest.mark.parametrize(
    ("photometric", "shape", "inverse"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
    ],
)
def test_inversion_happens_once(photometric: str, shape: str | None, *, inverse: bool) -> None:
    dataset = data_set(PhotometricInterpretation=photometric)
    if shape is not None:
        dataset.PresentationLUTShape = shape

    assert display_of(dataset, 0).inverse is inverse


@pytest.mark.parametrize(
    ("attributes", "extent"),
    [
        ({"BitsAllocated": 1}, (0, 1)),
        ({"SOPClassUID": SegmentationStorage, "SegmentationType": "BINARY", "BitsAllocated": 8}, (0, 1)),
        (
            {
                "SOPClassUID": SegmentationStorage,
                "SegmentationType": "FRACTIONAL",
                "MaximumFractionalValue": 200,
            },
            (0, 200),
        ),
        ({"SOPClassUID": SegmentationStorage, "SegmentationType": "LABELMAP"}, None),
        ({"BitsAllocated": 8}, None),
    ],
)  # fmt: skip
def test_a_segmentation_has_a_range_of_its_own(
    attributes: dict[str, Any], extent: tuple[float, float] | None
) -> None:
    assert display_of(data_set(**attributes), 0).extent == extent


@pytest.mark.parametrize(
    ("attributes", "padding"),
    [
        ({"PixelRepresentation": 0, "PixelPaddingValue": 4095}, (4095, 4095)),
        ({"PixelRepresentation": 0, "PixelPaddingValue": 9, "PixelPaddingRangeLimit": 3}, (3, 9)),
        ({"PixelRepresentation": 1, "PixelPaddingValue": -2000}, (-2000, -2000)),
        ({"FloatPixelPaddingValue": -1.5}, (-1.5, -1.5)),
        ({}, None),
    ],
)
def test_padding_is_a_range(
    attributes: dict[str, Any], padding: tuple[float, float] | None
) -> None:
    assert display_of(data_set(**attributes), 0).padding == padding


def test_padding_without_its_sign_is_given_it() -> None:
    dataset = data_set(PixelRepresentation=1)
    dataset.add_new("PixelPaddingValue", "US", 63536)

    assert display_of(dataset, 0).padding == (-2000, -2000)


@pytest.mark.parametrize(
    ("attributes", "aspect"),
    [
        ({}, 1),
        ({"PixelAspectRatio": [2, 1]}, 2),
        ({"PixelSpacing": [0.5, 1]}, 0.5),
        ({"ImagerPixelSpacing": [3, 2]}, 1.5),
        ({"PixelAspectRatio": [1, 1], "PixelSpacing": [9, 3]}, 1),
        ({"PixelSpacing": [0, 1]}, 1),
        ({"PixelSpacing": [1]}, 1),
        (
            {
                "SharedFunctionalGroupsSequence": [
                    data_set(PixelMeasuresSequence=[data_set(PixelSpacing=[4, 2])])
                ]
            },
            2,
        ),
    ],
)
def test_pixels_are_taller_than_wide_as_the_attributes_say(
    attributes: dict[str, Any], aspect: float
) -> None:
    assert pixel_aspect_of(data_set(**attributes), 0) == aspect


def test_a_value_that_cannot_be_read_is_none() -> None:
    class Broken(Dataset):
        def get(self, key: Any, default: Any = None) -> Any:
            raise NotImplementedError(key, default)

    assert value_of(Broken(), "WindowCenter") is None
    assert numbers_of(Broken(), "WindowCenter") == []
    assert number_of(data_set(PatientID="x"), "PatientID") is None


def test_what_is_no_finite_number_is_left_out() -> None:
    dataset = data_set(FrameTime=None)
    dataset.add_new("FloatPixelPaddingValue", "FL", float("nan"))

    assert number_of(dataset, "FrameTime") is None
    assert number_of(dataset, "FloatPixelPaddingValue") is None
