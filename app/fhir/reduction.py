"""Takes instances out of an ImagingStudy: the counts follow, and of what others wrote nothing is lost.

A study without instances is retired: it keeps its identity and its subject, has no series and no endpoint,
and a status that says so. What is stored again revives it (`app.fhir.imaging_study`).
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from app.fhir.accession import made_here
from app.fhir.authorship import authored, is_memory
from app.fhir.commit_marks import CommitMarks, marked, pending_commits
from app.fhir.imaging_study import SOURCE, derive, without_server_meta
from app.fhir.listing import listed, lists_now
from app.fhir.tables import code_system
from app.limits import Limits

# elements that are always made here; others only where `app.fhir.authorship` knows them
_OWNED = frozenset(
    {
        "resourceType", "id", "meta", "implicitRules", "extension", "identifier", "basedOn", "status",
        "modality", "subject", "started", "endpoint", "numberOfSeries", "numberOfInstances", "series",
    }
)  # fmt: skip


def reduce_imaging_study(
    previous: Mapping[str, Any],
    removed: Mapping[str, AbstractSet[str]],
    *,
    endpoints: Sequence[str],
    emptied_status: str,
    limits: Limits,
    commit: CommitMarks,
) -> dict[str, Any]:
    """Return the ImagingStudy without `removed` (SOP Instance UIDs by Series Instance UID).

    `previous` stays as it is. Where no instance is left the status is `emptied_status`.
    """
    study = without_server_meta(previous)
    complete = listed(study)
    series = [
        less
        for one in study.get("series", ())
        if "uid" in one and (less := _without(one, removed.get(one["uid"], frozenset())))
    ]
    total = sum(one["numberOfInstances"] for one in series)
    taken = sum(len(uids) for uids in removed.values())
    if not (complete and lists_now(total=total, added=taken, limits=limits)):
        series = [{k: v for k, v in one.items() if k != "instance"} for one in series]
    study["series"] = series
    derive(study, endpoints)
    if not series:
        study["status"] = emptied_status
        del study["series"], study["endpoint"]
    study["extension"] = marked(study, commit)
    if not study["extension"]:
        del study["extension"]
    return study


def _without(series: Mapping[str, Any], removed: AbstractSet[str]) -> dict[str, Any] | None:
    """Return the series without these instances, or None where none is left."""
    left = series.get("numberOfInstances", len(series.get("instance", ()))) - len(removed)
    if left <= 0:
        return None
    less = {**series, "numberOfInstances": left}
    if "instance" in series:
        less["instance"] = [i for i in series["instance"] if i.get("uid") not in removed]
    return less


def ours_alone(imaging_study: Mapping[str, Any]) -> bool:
    """Tell whether Coregister made the resource and nobody else has written anything into it."""
    source = imaging_study.get("meta", {}).get("source", "").partition("#")[0]
    marks = frozenset(pending_commits(imaging_study))
    return (
        source == SOURCE
        and imaging_study.keys() <= _OWNED | authored(imaging_study)
        and all(map(is_memory, marked(imaging_study, CommitMarks((), marks))))
        and all(_from_object(each) for each in imaging_study.get("identifier", ()))
        and all(made_here(each) for each in imaging_study.get("basedOn", ()))
    )


def _from_object(identifier: Mapping[str, Any]) -> bool:
    return identifier.get("system") == code_system("dicom_uid") or made_here(identifier)
