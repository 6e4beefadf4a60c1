"""A study as it stands at one version: its ImagingStudy and its documents in the index."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from app.fhir.ids import imaging_study_id
from app.fhir.imaging_study import count
from app.fhir.listing import listed
from app.index.documents import Links, linked, read_metadata, series_document, study_document
from app.limits import Limits
from app.services.intake import Prepared
from app.services.reconcile import patient_elements
from app.services.study_patient import OWN_PATIENT, StudyPatient
from app.stores.elasticsearch import ElasticsearchIndex, Write
from app.stores.hapi import HapiStore

INSTANCES, SERIES, STUDIES = "instances", "series", "studies"
VERSIONS = "versions"  # of instances: those that are no longer current


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a study; `version` 0 and no resource where the study is new."""

    study_instance_uid: str
    imaging_study: Mapping[str, Any] | None
    version: int
    study: Mapping[str, Any] | None = None  # its index document
    series: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)  # those looked at

    @property
    def own_patient(self) -> Mapping[str, Any] | None:
        """Return what the study's objects say of the patient; None where the study is new."""
        return None if self.study is None else self.study.get(OWN_PATIENT)

    def shown_patient(self) -> Mapping[str, Any]:
        """Return what is shown of the study's patient; nothing where the study is new."""
        if self.study is None or "correction" not in self.study:
            return {}
        return patient_elements(orjson.loads(read_metadata(self.study)))

    @property
    def weight(self) -> int:
        """Return how much memory this takes, counted in listed instances."""
        if self.imaging_study is None:
            return 1
        return 10 + sum(
            2 + len(series.get("instance", ())) for series in self.imaging_study.get("series", ())
        )


class Snapshots:
    """Reads studies from the stores."""

    def __init__(self, index: ElasticsearchIndex, fhir: HapiStore) -> None:
        """Read from these stores."""
        self._index = index
        self._fhir = fhir

    async def read(self, study_instance_uid: str) -> Snapshot:
        """Return the study as it is now. Raises IndexUnavailable, FhirUnavailable."""
        found = await self._fhir.read("ImagingStudy", imaging_study_id(study_instance_uid))
        if found.resource is None and not found.version:
            return Snapshot(study_instance_uid, None, 0)
        documents = await self._index.get_many(STUDIES, [study_instance_uid])
        return Snapshot(
            study_instance_uid, found.resource, found.version, documents.get(study_instance_uid)
        )

    async def with_series(self, snapshot: Snapshot, series: Iterable[str]) -> Snapshot:
        """Return the snapshot with the documents of these series. Raises IndexUnavailable."""
        study = snapshot.study_instance_uid
        missing = {uid: series_key(study, uid) for uid in series if uid not in snapshot.series}
        if not missing:
            return snapshot
        found: dict[str, dict[str, Any]] = {}
        if snapshot.imaging_study is not None:
            found = await self._index.get_many(SERIES, list(missing.values()))
        return Snapshot(
            study,
            snapshot.imaging_study,
            snapshot.version,
            snapshot.study,
            {**snapshot.series, **{uid: found.get(key) for uid, key in missing.items()}},
        )


def series_key(study_instance_uid: str, series_instance_uid: str) -> str:
    """Return the id of a series' document; some senders use one series UID in several studies."""
    return f"{study_instance_uid}/{series_instance_uid}"


def advance(
    before: Snapshot,
    imaging_study: Mapping[str, Any],
    version: int,
    added: Sequence[Prepared],
    limits: Limits,
    patient: StudyPatient,
) -> Snapshot:
    """Return the snapshot after instances were linked: documents made anew, counts from FHIR."""
    links = links_of(imaging_study, version)
    counts = count(imaging_study)
    correct = partial(patient.correction, at=added[-1].stored.stored_at)
    by_series: dict[str, list[Prepared]] = defaultdict(list)
    for prepared in added:
        by_series[prepared.stored.record.series_instance_uid].append(prepared)
    series = dict(before.series)
    for uid, instances in by_series.items():
        series[uid] = series_document(
            series.get(uid),
            [prepared.stored for prepared in instances],
            links,
            number_of_instances=counts.series[uid],
            limits=limits,
            correct=correct,
        )
    study = study_document(
        before.study,
        [prepared.stored for prepared in added],
        links,
        number_of_series=len(counts.series),
        number_of_instances=counts.instances,
        modalities=counts.modalities,
        limits=limits,
        correct=correct,
    )
    study["instances_listed"] = listed(imaging_study)
    study = patient.remembered_in(study)
    return Snapshot(before.study_instance_uid, imaging_study, version, study, series)


def writes_of(
    after: Snapshot, added: Sequence[Prepared], replaced: Sequence[Prepared] = ()
) -> list[Write]:
    """Return what has to be written for instances that this snapshot has linked, as they are shown.

    The documents of those in `replaced` are written elsewhere (`app.services.replace`).
    """
    if after.imaging_study is None:
        raise ValueError("a study is linked before it is indexed")
    links = links_of(after.imaging_study, after.version)
    writes = [
        Write(
            "create",
            INSTANCES,
            prepared.stored.record.sop_instance_uid,
            linked(prepared.document, links),
        )
        for prepared in added
    ]
    touched = {each.stored.record.series_instance_uid for each in (*added, *replaced)}
    writes += [
        Write(
            "index",
            SERIES,
            series_key(after.study_instance_uid, uid),
            after.series[uid],
            after.version,
        )
        for uid in touched
        if after.series[uid] is not None
    ]
    writes.append(Write("index", STUDIES, after.study_instance_uid, after.study, after.version))
    return writes


def links_of(imaging_study: Mapping[str, Any], version: int) -> Links:
    """Return the links that index documents of this study carry."""
    return Links(
        patient=imaging_study["subject"]["reference"],
        imaging_study=f"ImagingStudy/{imaging_study['id']}",
        imaging_study_version=version,
    )
