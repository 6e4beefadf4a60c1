"""The series of an ImagingStudy, and the instances that they list."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.dicom.instance import InstanceRecord
from app.fhir.attributes import text, unsigned
from app.fhir.date_time import earliest, fhir_date_time
from app.fhir.listing import ListedInstance, in_order
from app.fhir.tables import code_system, rows

_DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

Grouped = Mapping[str, Mapping[str, InstanceRecord]]


def grouped(records: Sequence[InstanceRecord]) -> Grouped:
    """Return instances by Series Instance UID and SOP Instance UID."""
    series: dict[str, dict[str, InstanceRecord]] = {}
    for record in records:
        series.setdefault(record.series_instance_uid, {})[record.sop_instance_uid] = record
    return series


def merge_series(
    previous: Sequence[Mapping[str, Any]],
    added: Grouped,
    replaced: Grouped,
    *,
    time_zone: str | None,
) -> list[dict[str, Any]]:
    """Return the series after `added`, each with the list that it had and the new instances.

    `replaced` are new versions of instances that are there. Elements of a series that come from nowhere here,
    such as a body site somebody coded, are kept.
    """
    merged = {series["uid"]: series for series in _whole(previous)}
    known = {i["uid"] for series in merged.values() for i in series.get("instance", ())}
    for uid, records in added.items():
        series = merged.setdefault(uid, {"uid": uid, "numberOfInstances": 0})
        new = [record for sop_uid, record in records.items() if sop_uid not in known]
        for record in records.values():
            _fill(series, record.attributes, time_zone)
        series["numberOfInstances"] += len(new)
        series["instance"] = in_order(
            [*series.get("instance", ()), *(listed_instance(record).element() for record in new)]
        )
    for uid, records in replaced.items():
        if uid in merged:
            _replace(merged[uid], records, time_zone)
    return list(merged.values())


def _replace(
    series: dict[str, Any], records: Mapping[str, InstanceRecord], time_zone: str | None
) -> None:
    """Let the list of a series, where it has one, tell of the new versions."""
    for record in records.values():
        _fill(series, record.attributes, time_zone)
    if series.get("instance"):
        series["instance"] = in_order(
            [
                listed_instance(records[i["uid"]]).element() if i["uid"] in records else i
                for i in series["instance"]
            ]
        )


def _whole(previous: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield copies of the series, without what others left there that is none.

    HAPI checks no cardinality: somebody's edit may have taken away what R4 requires.
    """
    for one in previous:
        if "uid" not in one:
            continue
        series = dict(one)
        if "instance" in series:
            series["instance"] = [i for i in series["instance"] if "uid" in i]
        series.setdefault("numberOfInstances", len(series.get("instance", ())))
        yield series


def listed_instance(record: InstanceRecord) -> ListedInstance:
    """Return what an ImagingStudy says of an instance."""
    return ListedInstance(
        series_instance_uid=record.series_instance_uid,
        sop_instance_uid=record.sop_instance_uid,
        sop_class_uid=record.sop_class_uid,
        number=unsigned(record.attributes, "InstanceNumber"),
    )


def _fill(series: dict[str, Any], attributes: Mapping[str, Any], time_zone: str | None) -> None:
    if "code" not in series.get("modality", {}):
        series["modality"] = _modality(text(attributes, "Modality"))
    started = fhir_date_time(attributes, day="SeriesDate", time="SeriesTime", time_zone=time_zone)
    if started := earliest(series.get("started"), started):
        series["started"] = started
    for row in rows("series"):
        convert = text if row.conversion == "text" else unsigned
        value = convert(attributes, row.keyword)
        if row.element not in series and value not in ("", None):
            series[row.element] = value


def _modality(code: str) -> dict[str, Any]:
    """Return the modality as R4 wants it: it is required, so a missing one says that it is."""
    if not code:
        return {"extension": [{"url": _DATA_ABSENT_REASON, "valueCode": "unknown"}]}
    return {"system": code_system("dicom"), "code": " ".join(code.split())}
