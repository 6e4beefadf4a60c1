"""Every frame that pydicom's files have, decoded here and by other decoders."""

import warnings

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
)

from app.errors import Undecodable
from app.pixels.decode import stored_values
from app.pixels.native import swap_width, swapped
from tests.images import Image, images

LOSSY_JPEG = {JPEGBaseline8Bit, JPEGExtended12Bit}
LOSSLESS_JPEG = {JPEGLossless, JPEGLosslessSV1}
BROKEN = "JPEG2000-embedded-sequence-delimiter.dcm"  # a codestream that its fragment cuts off
NOT_BY_PYDICOM = {
    "JPEG-lossy.dcm",  # 12 bits: none of its decoders that may be used here
    "SC_rgb_jpeg.dcm",  # a Pixel Data element that it loses
    "JPGExtended.dcm",
}


def others(image: Image) -> NDArray[np.generic]:
    """Return the last frame as another decoder has it."""
    if image.syntax in LOSSLESS_JPEG:
        samples = imagecodecs.jpegsof3_decode(image.frame(image.count))
        return samples.astype(image.description.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = pydicom.dcmread(image.path) if image.record.deflated else image.path
        return pixel_array(source, index=image.count - 1, raw=image.syntax not in LOSSY_JPEG)


def test_there_are_files_of_every_kind() -> None:
    assert len(images()) > 120
    assert len({image.syntax for image in images()}) >= 11


@pytest.mark.parametrize("image", images(), ids=lambda image: image.path.name)
def test_a_frame_is_decoded_as_another_decoder_does(image: Image) -> None:
    if image.path.name == BROKEN:
        with pytest.raises(Undecodable):
            image.decoded()
        return

    samples = image.decoded(image.count).samples

    assert samples.dtype == image.description.dtype
    if image.path.name in NOT_BY_PYDICOM:
        assert samples.max() > samples.min()
    elif image.syntax == ExplicitVRBigEndian and samples.size % 2 and samples.dtype.itemsize == 1:
        padded = image.frame(1) + b"\0"  # words do not end where this frame does
        assert swapped(padded, swap_width(image.description))[:2] == others(image).tobytes()[:2]
    else:
        description = image.description  # pydicom clears the bits that are none of the stored ones
        expected = stored_values(others(image).astype(samples.dtype), description)
        np.testing.assert_array_equal(stored_values(samples, description), expected)


def test_color_of_lossy_jpeg_comes_as_rgb() -> None:
    """What the codestream says goes before the attribute (PS3.5 §8.2.1)."""
    lossy = [image for image in images() if image.syntax in LOSSY_JPEG]
    colors = [each.decoded() for each in lossy if each.description.samples_per_pixel == 3]

    assert len(colors) > 10
    assert {each.photometric_interpretation for each in colors} == {"RGB"}
