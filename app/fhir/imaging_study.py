"""Brings instances into an ImagingStudy, and leaves alone what others wrote there.

Coregister owns the identifier with the Study Instance UID, status, modality, started, the two
counts, series and endpoint: they are derived anew from the series with every merge. Every other
element is kept where it is, and given a value only where it has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.dicom.instance import InstanceRecord
from app.fhir.accession import revived, with_accessions
from app.fhir.authorship import Said, fill, said, withdraw
from app.fhir.commit_marks import CommitMarks, marked, pending_commits
from app.fhir.contribution import Origin, contributions
from app.fhir.date_time import earliest
from app.fhir.identifiers import IdentifierSystems
from app.fhir.ids import imaging_study_id
from app.fhir.listing import in_order, listed, lists_now
from app.fhir.series import grouped, merge_series
from app.fhir.tables import code_system
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
_NUMBERS = ("identifier", "basedOn")
_APART = frozenset({"started", *_NUMBERS})
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
    endpoints: Sequence[str],
    limits: Limits,
    systems: IdentifierSystems,
    time_zone: str | None,
    commit: CommitMarks,
    replaced: Sequence[InstanceRecord] = (),
) -> dict[str, Any]:
    """Return the ImagingStudy after `added`; `previous` stays as it is.

    `patient` and `endpoints` are references. An instance that the study lists already is not counted again;
    nor are those in `replaced`, new versions of instances that it has.
    """
    records = [*added, *replaced]
    origin = Origin(systems, time_zone, limits.fhir_values)
    study = _begun(previous, records, patient)
    complete = listed(study)
    series = merge_series(
        study.get("series", ()),
        grouped(added),
        grouped(replaced),
        origin=origin,
    )
    total = sum(one["numberOfInstances"] for one in series)
    if not (complete and lists_now(total=total, added=len(records), limits=limits)):
        for one in series:
            one.pop("instance", None)
    study["series"] = in_order(series)
    derive(study, endpoints)
    for _, contribution in contributions(records, "study", origin):
        _fill(study, contribution.elements, origin.most)
    touched = {record.series_instance_uid for record in records}
    for one in series:
        if one["uid"] in touched and "started" in one:  # in place of a StudyDate that there is not
            fill(study, {"started": said(one["started"], 1)}, most=1)
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
        study = revived(study)
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


def derive(study: dict[str, Any], endpoints: Sequence[str]) -> None:
    """Set what follows from the series (R4 ImagingStudy; ModalitiesInStudy of PS3.4 Table C.6-5)."""
    counts = count(study)
    study["status"] = "available"
    study["numberOfSeries"] = len(counts.series)
    study["numberOfInstances"] = counts.instances
    study["endpoint"] = [{"reference": endpoint} for endpoint in endpoints]
    study["modality"] = [{"system": code_system("dicom"), "code": m} for m in counts.modalities]
    if not study["modality"]:
        del study["modality"]


def _fill(study: dict[str, Any], made: Mapping[str, Said], most: int) -> None:
    """Give the study what an instance says of it."""
    if "started" in made:
        withdraw(study, "started")
        study["started"] = earliest(study.get("started"), made["started"].value)
    for element in _NUMBERS:
        if element in made:
            study[element] = with_accessions(study.get(element, ()), made[element].copy(), most)
    fill(study, {k: v for k, v in made.items() if k not in _APART}, most=most)
