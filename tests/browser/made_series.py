"""A CT series to look at: a bright square on a dark ground that goes to the right from image to image."""

import numpy as np
from pydicom.uid import generate_uid

from tests.corpus import make_instance

SIDE = 128
SQUARE = 24
GROUND, BRIGHT = 100, 3_000
IMAGES = 5
STEP = 20  # pixels from one image to the next


def left_edge(number: int) -> int:
    """Return the first column of the square in the image of this number, from 1."""
    return 8 + STEP * (number - 1)


def make_image(number: int) -> bytes:
    """Return the pixel data of one image."""
    pixels = np.full((SIDE, SIDE), GROUND, "<u2")
    left = left_edge(number)
    pixels[52 : 52 + SQUARE, left : left + SQUARE] = BRIGHT
    return pixels.tobytes()


def make_series(
    *, name: str, patient_id: str, description: str, modality: str = "CT"
) -> list[bytes]:
    """Return a study of one series, in the order of its images."""
    study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    return [
        make_instance(
            SpecificCharacterSet="ISO_IR 192",
            PatientName=name, PatientID=patient_id, StudyDescription=description,
            SeriesDescription=description, Modality=modality, AccessionNumber=f"A-{patient_id}",
            StudyInstanceUID=study, SeriesInstanceUID=series,
            FrameOfReferenceUID=frame_of_reference, InstanceNumber=str(number),
            ImagePositionPatient=["-64", "-64", str(number)],
            ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
            PixelSpacing=["1", "1"], SliceThickness="1",
            Rows=SIDE, Columns=SIDE, PixelData=make_image(number),
            WindowCenter="1500", WindowWidth="3000",
            RescaleIntercept="0", RescaleSlope="1", RescaleType="HU",
        )
        for number in range(1, IMAGES + 1)
    ]  # fmt: skip
