"""Compares what DICOMweb and FHIR say about one study. Pure: JSON in, differences out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STUDY_INSTANCE_UID = "0020000D"
SERIES_INSTANCE_UID = "0020000E"
SOP_INSTANCE_UID = "00080018"
PATIENT_ID = "00100020"
MODALITIES_IN_STUDY = "00080061"
NUMBER_OF_STUDY_RELATED_SERIES = "00201206"
NUMBER_OF_STUDY_RELATED_INSTANCES = "00201208"


@dataclass(frozen=True, slots=True)
class Counts:
    """What one side says of a study."""

    modalities: frozenset[str]
    series: int
    instances: int

    def __str__(self) -> str:
        """Return it as a table shows it."""
        return f"{'/'.join(sorted(self.modalities)) or '-'} {self.series}/{self.instances}"


@dataclass(frozen=True, slots=True)
class StudySeen:
    """All that both APIs said about one study."""

    study_instance_uid: str
    sent: frozenset[str]  # SOP Instance UIDs that were acknowledged
    rows: Sequence[Mapping[str, Any]]  # QIDO, the study
    instances: Sequence[Mapping[str, Any]]  # QIDO, its instances
    imaging_studies: Sequence[Mapping[str, Any]]
    patient: Mapping[str, Any] | None
    other_bytes: tuple[str, ...] = ()  # SOP Instance UIDs that WADO gives back changed

    @property
    def qido(self) -> Counts | None:
        """Return the study's row in numbers, where there is exactly one."""
        return qido_counts(self.rows[0]) if len(self.rows) == 1 else None

    @property
    def fhir(self) -> Counts | None:
        """Return the ImagingStudy in numbers, where there is exactly one."""
        return fhir_counts(self.imaging_studies[0]) if len(self.imaging_studies) == 1 else None


def qido_counts(row: Mapping[str, Any]) -> Counts:
    """Return what a QIDO row says (PS3.18 Table 10.6.3-3)."""
    return Counts(
        modalities=frozenset(values(row, MODALITIES_IN_STUDY)),
        series=_number(row, NUMBER_OF_STUDY_RELATED_SERIES),
        instances=_number(row, NUMBER_OF_STUDY_RELATED_INSTANCES),
    )


def fhir_counts(imaging_study: Mapping[str, Any]) -> Counts:
    """Return what an ImagingStudy says (FHIR R4 ImagingStudy)."""
    return Counts(
        modalities=frozenset(
            coding["code"] for coding in imaging_study.get("modality", ()) if "code" in coding
        ),
        series=imaging_study.get("numberOfSeries", 0),
        instances=imaging_study.get("numberOfInstances", 0),
    )


def differences(seen: StudySeen) -> tuple[str, ...]:
    """Return in words what does not agree; nothing where all does."""
    qido, fhir = seen.qido, seen.fhir
    if qido is None or fhir is None:
        times = f"QIDO finds the study {len(seen.rows)} times"
        return (f"{times}, FHIR finds {len(seen.imaging_studies)} ImagingStudy resources",)
    found = [] if qido == fhir else [f"QIDO counts {qido}, FHIR counts {fhir}"]
    found += _instance_differences(seen, qido)
    found += _series_differences(seen)
    found += _patient_differences(seen)
    if seen.other_bytes:
        found.append(f"WADO changes the bytes of {len(seen.other_bytes)} instances")
    return tuple(found)


def values(item: Mapping[str, Any], tag: str) -> list[Any]:
    """Return the values of an attribute in DICOM JSON; none where it is absent or empty."""
    value: list[Any] = item.get(tag, {}).get("Value", [])
    return value


def _instance_differences(seen: StudySeen, qido: Counts) -> list[str]:
    listed = [uid for row in seen.instances for uid in values(row, SOP_INSTANCE_UID)]
    found = []
    if missing := seen.sent - set(listed):
        found.append(f"QIDO misses {len(missing)} acknowledged instances")
    if len(listed) != len(set(listed)):
        found.append("QIDO lists an instance twice")
    if len(listed) != qido.instances:
        found.append(f"QIDO counts {qido.instances} instances and lists {len(listed)}")
    return found


def _series_differences(seen: StudySeen) -> list[str]:
    """Compare series by series: equal totals may hide that two mistakes make up for each other."""
    qido = Counter(uid for row in seen.instances for uid in values(row, SERIES_INSTANCE_UID))
    fhir = {
        series["uid"]: series.get("numberOfInstances")
        for series in seen.imaging_studies[0].get("series", ())
    }
    return [] if qido == fhir else ["QIDO and FHIR disagree about the series"]


def _patient_differences(seen: StudySeen) -> list[str]:
    if seen.patient is None:
        return ["the ImagingStudy's subject leads to no Patient"]
    patient_id = values(seen.rows[0], PATIENT_ID)
    identifiers = {identifier.get("value") for identifier in seen.patient.get("identifier", ())}
    if patient_id and patient_id[0] not in identifiers:
        return ["the Patient's identifier is not the PatientID"]
    return []


def _number(row: Mapping[str, Any], tag: str) -> int:
    return int(next(iter(values(row, tag)), 0))
