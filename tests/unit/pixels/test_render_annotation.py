"""Text on images (PS3.18 §8.3.5.1.1)."""

from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from app.pixels.render_annotation import annotate, patient_lines, technique_lines
from app.pixels.render_options import Annotation, Window


def data_set(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


PATIENT = data_set(
    PatientName="Smith^John^^Dr", PatientID="4711", PatientBirthDate="19701231", PatientSex="M"
)
CT = data_set(
    Modality="CT", StudyDate="20240229", StudyTime="101530.5", SeriesDescription="Thorax",
    SliceThickness="1.50", KVP="120", XRayTubeCurrent="200",
)  # fmt: skip


def test_the_patient_is_name_identifier_birth_date_and_sex() -> None:
    assert patient_lines(PATIENT) == ["Smith, John, Dr", "4711", "1970-12-31 M"]


def test_the_technique_is_what_is_known_of_it_and_the_window() -> None:
    assert technique_lines(CT, Window(40, 400.5)) == [
        "CT 2024-02-29 10:15", "Thorax", "1.5 mm thick", "120 kV", "200 mA", "C 40 W 400.5",
    ]  # fmt: skip


def test_nothing_known_is_nothing_written() -> None:
    assert (patient_lines(Dataset()), technique_lines(Dataset(), None)) == ([], [])
    image = Image.new("L", (64, 64), 77)

    annotate(image, Dataset(), list(Annotation), None)

    assert np.asarray(image).tolist() == [[77] * 64] * 64


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_patient_is_written_top_left_and_the_technique_bottom_left(mode: str) -> None:
    grey = Image.new(mode, (400, 400), 100 if mode == "L" else (100, 100, 100))
    both = data_set()
    both.update(PATIENT)
    both.update(CT)
    top, bottom = grey.copy(), grey.copy()

    annotate(top, both, [Annotation.PATIENT], None)
    annotate(bottom, both, [Annotation.TECHNIQUE], None)

    changed = [np.argwhere(np.asarray(each.convert("L")) != 100) for each in (top, bottom)]
    assert changed[0][:, 0].max() < 100
    assert changed[1][:, 0].min() > 250
    assert changed[0].size
    assert changed[1].size
    assert np.asarray(top).max() == 255


def test_characters_that_the_font_lacks_become_question_marks() -> None:
    lacking = data_set(SpecificCharacterSet="ISO_IR 192", PatientName="山田\U000e0041")
    marks = data_set(SpecificCharacterSet="ISO_IR 192", PatientName="???")
    images = [Image.new("L", (200, 100)) for _ in range(2)]

    for image, dataset in zip(images, (lacking, marks), strict=True):
        annotate(image, dataset, [Annotation.PATIENT], None)

    assert np.asarray(images[0]).max() > 150
    assert (np.asarray(images[0]) == np.asarray(images[1])).all()


def test_accents_are_written() -> None:
    plain = data_set(PatientName="Uber")
    accented = data_set(SpecificCharacterSet="ISO_IR 192", PatientName="Über")
    images = [Image.new("L", (200, 100)) for _ in range(2)]

    for image, dataset in zip(images, (plain, accented), strict=True):
        annotate(image, dataset, [Annotation.PATIENT], None)

    assert (np.asarray(images[0]) != np.asarray(images[1])).any()
