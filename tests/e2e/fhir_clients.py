"""What the FHIR clients of the tests look for: two studies of one patient, stored a moment ago."""

import io
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from app.fhir.ids import imaging_study_id
from tests.corpus import make_instance
from tests.e2e.made_objects import measurement_report
from tests.server import store

FHIR_JSON = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}


@dataclass(frozen=True, slots=True)
class Stored:
    """One patient with a CT of a slice and a report, and an MR of two slices."""

    patient_id: str
    ct: str  # Study Instance UID
    mr: str
    since: str  # when nothing of it was there

    @property
    def ct_reference(self) -> str:
        """The reference of the ImagingStudy of the CT."""
        return f"ImagingStudy/{imaging_study_id(self.ct)}"

    @property
    def mr_reference(self) -> str:
        """The reference of the ImagingStudy of the MR."""
        return f"ImagingStudy/{imaging_study_id(self.mr)}"


def store_both(dicomweb: str, patient_id: str | None = None) -> Stored:
    """Store the two studies in one request."""
    patient_id = patient_id or f"P{uuid.uuid4().hex[:12]}"
    image = _ct(patient_id)
    mr, series = generate_uid(), generate_uid()
    slices = [
        make_instance(
            PatientID=patient_id, PatientName="Clients^Carla", PatientBirthDate="19700101",
            PatientSex="F", Modality="MR", StudyInstanceUID=mr, SeriesInstanceUID=series,
            InstanceNumber=str(number), StudyDate="20240229", StudyDescription="Knee",
            AccessionNumber="MR-1",
        )
        for number in (1, 2)
    ]  # fmt: skip
    since = datetime.now(UTC).isoformat()
    with httpx.Client(base_url=dicomweb, timeout=60, trust_env=False) as http:
        answer = store(http, _written(image), _written(measurement_report(image)), *slices)
    assert answer.status_code == httpx.codes.OK, answer.text
    return Stored(patient_id, str(image.StudyInstanceUID), mr, since)


def _ct(patient_id: str) -> Dataset:
    image = dcmread(str(get_testdata_file("CT_small.dcm")))
    image.PatientID, image.PatientName = patient_id, "Clients^Carla"
    image.PatientBirthDate, image.PatientSex = "19700101", "F"
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(image, keyword, "20240301")
    image.AccessionNumber = "CT-1"
    return image


def _written(data_set: Dataset) -> bytes:
    written = io.BytesIO()
    data_set.save_as(written)
    return written.getvalue()
