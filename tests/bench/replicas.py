"""Many studies made of a few real headers: each instance differs in its UIDs, patient, dates and numbers.

A header is written once with marks of fixed length; an instance is that header with the marks replaced, so a
hundred thousand take seconds to make, and what a search must find is known without asking a server.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import pydicom
import pydicom.data
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

SIDE = 16  # rows and columns
PIXELS = bytes(range(256)) * (SIDE * SIDE * 2 // 256)
SERIES_OF_STUDY, INSTANCES_OF_SERIES = 2, 25
STUDIES_OF_PATIENT = 3
_ROOT = "1.2.826.0.1.3680043.10.1."
_FILES = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "examples_ybr_color.dcm")
_MARKS = {
    "StudyInstanceUID": f"{_ROOT}91{'0' * 14}",
    "SeriesInstanceUID": f"{_ROOT}92{'0' * 14}",
    "SOPInstanceUID": f"{_ROOT}93{'0' * 14}",
    "PatientID": "MARK-PID",
    "PatientName": "Marknamemark^Given",
    "StudyDate": "18990101",
    "AccessionNumber": "MARK-ACC",
    "StationName": "MARKSTAT",
    "InstanceNumber": "98761234",
    "KVP": "98765.",
    "ScheduledProcedureStepID": "MARK-SPS",
}
_KVP = ("80.000", "100.00", "120.00", "140.00")


@dataclass(frozen=True, slots=True)
class Replica:
    """What an instance is found by."""

    study: str
    series: str
    instance: str
    patient_id: str
    patient_name: str
    study_date: str
    accession: str
    modality: str
    station: str
    kvp: str
    step: str  # ScheduledProcedureStepID in RequestAttributesSequence
    number: int
    template: int

    @property
    def marks(self) -> dict[str, str]:
        """Return what stands in place of each mark."""
        return {
            "StudyInstanceUID": self.study,
            "SeriesInstanceUID": self.series,
            "SOPInstanceUID": self.instance,
            "PatientID": self.patient_id,
            "PatientName": self.patient_name,
            "StudyDate": self.study_date,
            "AccessionNumber": self.accession,
            "StationName": self.station,
            "InstanceNumber": f"{self.number:08d}",
            "KVP": self.kvp,
            "ScheduledProcedureStepID": self.step,
        }


class Replicas:
    """An archive that is made on demand, the same each time."""

    def __init__(self, run: int) -> None:
        """Make UIDs of their own for each `run` (0 to 99)."""
        self._run = run
        self._templates = [_template(name) for name in _FILES]
        self._modalities = [
            str(pydicom.dcmread(io.BytesIO(each)).Modality) for each in self._templates
        ]

    def of(self, position: int) -> Replica:
        """Return what the instance at a position of the archive is found by."""
        number = position % INSTANCES_OF_SERIES
        series = position // INSTANCES_OF_SERIES
        study = series // SERIES_OF_STUDY
        patient = study // STUDIES_OF_PATIENT
        template = study % len(self._templates)
        return Replica(
            study=self._uid(1, study),
            series=self._uid(2, series),
            instance=self._uid(3, position),
            patient_id=f"P{self._run:02d}{patient:05d}",
            patient_name=f"{_word(patient)}^Given",
            study_date=f"{2000 + study % 24}{study % 12 + 1:02d}{study % 28 + 1:02d}",
            accession=f"A{self._run:02d}{study:05d}",
            modality=self._modalities[template],
            station=f"STAT{study % 40:04d}",
            kvp=_KVP[series % len(_KVP)],
            step=f"S{self._run:02d}{series:05d}",
            number=number + 1,
            template=template,
        )

    def file(self, replica: Replica) -> bytes:
        """Return the instance as a Part 10 object."""
        data = self._templates[replica.template]
        for keyword, value in replica.marks.items():
            data = data.replace(_MARKS[keyword].encode(), value.encode())
        return data

    def all(self, count: int) -> Iterator[Replica]:
        """Yield the first so many."""
        return map(self.of, range(count))

    def _uid(self, kind: int, number: int) -> str:
        return f"{_ROOT}1{kind}{self._run + 10:02d}{number:012d}"


def _word(number: int) -> str:
    """Return a name of twelve letters that tells the number."""
    letters = ""
    for _ in range(12):
        number, rest = divmod(number * 7 + 3, 26)
        letters += chr(ord("a") + rest)
    return letters.capitalize()


def _template(name: str) -> bytes:
    source = pydicom.dcmread(str(pydicom.data.get_testdata_file(name)))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = source.SOPClassUID
    meta.MediaStorageSOPInstanceUID = UID(_MARKS["SOPInstanceUID"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, mark in _MARKS.items():
        if keyword != "ScheduledProcedureStepID":
            setattr(source, keyword, mark)
    request = Dataset()
    request.ScheduledProcedureStepID = _MARKS["ScheduledProcedureStepID"]
    request.RequestedProcedureID = "RP-1"
    source.RequestAttributesSequence = [request]
    source.Rows = source.Columns = SIDE
    source.BitsAllocated, source.BitsStored, source.HighBit = 16, 12, 11
    source.SamplesPerPixel, source.PhotometricInterpretation = 1, "MONOCHROME2"
    source.pop("NumberOfFrames", None)
    source.PixelData = PIXELS
    source["PixelData"].VR = "OW"
    source.file_meta = meta
    buffer = io.BytesIO()
    source.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return buffer.getvalue()
