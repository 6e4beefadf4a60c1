"""Brings instances into an ImagingStudy, and leaves alone what others wrote there.

Coregister owns the identifier with the Study Instance UID, status, modality, started, the two
counts, series and endpoint: they are derived anew from the series with every merge. Every other
element is kept where it is, and given a value only where it has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.dicom.instance import InstanceRecord
from app.fhir.attributes import text, unsigned
from app.fhir.commit_marks import CommitMarks, marked, pending_commits
from app.fhir.date_time import earliest, fhir_date_time
from app.fhir.identifiers import IdentifierSystems
from app.fhir.ids import imaging_study_id
from app.fhir.listing import in_order, listed, lists_now
from app.fhir.series import grouped, merge_series
from app.fhir.tables import code_system, rows
from app.limits import Limits

__all__ = [
    "CommitMarks",
    "StudyCounts",
    "count",
    "merge_imaging_study",
    "pending_commits",
    "retired",
]

SOURCE = "urn:coregister"  # meta.source of what was made here; what others made is never removed

_SERVER_SETS = ("versionId", "lastUpdated")
_RETIRED = frozenset({"entered-in-error", "cancelled"})


@dataclass(frozen=True, slots=True)
class StudyCounts:
    """How much a study has."""

    series: Mapping[str, int]  # instances by Series Instance UID
    instances: int
    modalities: tuple[str, ...]


def count(imaging_study: Mapping[str, Any]) -> StudyCounts:
    """Return what an ImagingStudy counts."""
    known = [series for series in imaging_study.get("series", ()) if "uid" in series]
    series = {one["uid"]: one.get("numberOfInstances", 0) for one in known}
    modalities = {one.get("modality", {}).get("code") for one in known}
    return StudyCounts(series, sum(series.values()), tuple(sorted(filter(None, modalities))))


def retired(imaging_study: Mapping[str, Any]) -> bool:
    """Tell whether its last instance was deleted; what is stored again makes it a new study."""
    return imaging_study.get("status") in _RETIRED and not count(imaging_study).instances


def merge_imaging_study(
    previous: Mapping[str, Any] | None,
    added: Sequence[InstanceRecord],
    *,
    patient: str,
    endpoint: str,
    limits: Limits,
    systems: IdentifierSystems,
    time_zone: str | None,
    commit: CommitMarks,
    replaced: Sequence[InstanceRecord] = (),
) -> dict[str, Any]:
    """Return the ImagingStudy after `added`; `previous` stays as it is.

    `patient` and `endpoint` are references. An instance that the study lists already is not counted again;
    nor are those in `replaced`, new versions of instances that it has.
    """
    records = [*added, *replaced]
    study = _begun(previous, records, patient)
    complete = listed(study)
    series = merge_series(
        study.get("series", ()), grouped(added), grouped(replaced), time_zone=time_zone
    )
    total = sum(one["numberOfInstances"] for one in series)
    if not (complete and lists_now(total=total, added=len(records), limits=limits)):
        for one in series:
            one.pop("instance", None)
    study["series"] = in_order(series)
    derive(study, endpoint)
    for record in records:
        _fill(study, record.attributes, systems, time_zone)
    study["extension"] = marked(study, commit)
    if not study["extension"]:
        del study["extension"]
    return study


def _begun(
    previous: Mapping[str, Any] | None, added: Sequence[InstanceRecord], patient: str
) -> dict[str, Any]:
    """Return a copy of the previous resource, or a new one, with its identity and its subject."""
    study: dict[str, Any] = {"resourceType": "ImagingStudy", "meta": {"source": SOURCE}}
    if previous is not None:
        study = without_server_meta(previous)
    if added:
        uid = added[0].study_instance_uid
        study.setdefault("id", imaging_study_id(uid))
        study["identifier"] = _with_study_uid(study.get("identifier", ()), uid)
    if previous is not None and retired(previous):
        study.pop("started", None)
        if study.get("subject", {}).get("reference") != patient:
            study["subject"] = {"reference": patient}
    # a subject that only names the patient is made a link; a link is never changed here
    if "reference" not in study.get("subject", {}):
        study["subject"] = {**study.get("subject", {}), "reference": patient}
    return study


def without_server_meta(previous: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a resource without what the server sets itself."""
    study: dict[str, Any] = {"resourceType": "ImagingStudy", **previous}
    if "meta" in study:
        kept = {name: value for name, value in study["meta"].items() if name not in _SERVER_SETS}
        if "source" in kept:  # HAPI appends #{request id} when reading and would store it as given
            kept["source"] = kept["source"].partition("#")[0]
            if not kept["source"]:
                del kept["source"]
        study["meta"] = kept
    return study


def _with_study_uid(identifiers: Sequence[Mapping[str, Any]], uid: str) -> list[Mapping[str, Any]]:
    ours = {
        "use": "official",
        "type": {"coding": [{"system": code_system("dicom"), "code": "110180"}]},
        "system": code_system("dicom_uid"),
        "value": f"urn:oid:{uid}",
    }
    return [ours, *(i for i in identifiers if i.get("system") != ours["system"])]


def derive(study: dict[str, Any], endpoint: str) -> None:
    """Set what follows from the series (R4 ImagingStudy; ModalitiesInStudy of PS3.4 Table C.6-5)."""
    counts = count(study)
    study["status"] = "available"
    study["numberOfSeries"] = len(counts.series)
    study["numberOfInstances"] = counts.instances
    study["endpoint"] = [{"reference": endpoint}]
    study["modality"] = [{"system": code_system("dicom"), "code": m} for m in counts.modalities]
    if not study["modality"]:
        del study["modality"]


def _fill(
    study: dict[str, Any],
    attributes: Mapping[str, Any],
    systems: IdentifierSystems,
    time_zone: str | None,
) -> None:
    """Give elements that one instance has a value for that value."""
    started = fhir_date_time(attributes, day="StudyDate", time="StudyTime", time_zone=time_zone)
    if started := earliest(study.get("started"), started):
        study["started"] = started
    for row in rows("study"):
        convert = text if row.conversion == "text" else unsigned
        value = convert(attributes, row.keyword)
        if row.element not in study and value not in ("", None):
            study[row.element] = value
    if number := text(attributes, "AccessionNumber"):
        accession = {
            "type": {"coding": [{"system": code_system("identifier_type"), "code": "ACSN"}]},
            "system": systems.of_accession_number(attributes),
            "value": number,
        }
        if not any(_same(accession, other) for other in study["identifier"]):
            study["identifier"] = [*study["identifier"], accession]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (one["system"], one["value"]) == (other.get("system"), other.get("value"))
