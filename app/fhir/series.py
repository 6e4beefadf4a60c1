"""The series of an ImagingStudy, and the instances that they list."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.dicom.instance import InstanceRecord
from app.dicom.instance_title import instance_title
from app.fhir.attributes import unsigned
from app.fhir.authorship import fill, joined
from app.fhir.contribution import Origin, contributions
from app.fhir.listing import ListedInstance, in_order
from app.fhir.tables import code_system

_DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

_OWNED = frozenset({"modality", "started"})

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
    origin: Origin,
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
        _fill(series, records, origin)
        series["numberOfInstances"] += len(new)
        series["instance"] = in_order(
            [*series.get("instance", ()), *(listed_instance(record).element() for record in new)]
        )
    for uid, records in replaced.items():
        if uid in merged:
            _fill(merged[uid], records, origin)
            _replace(merged[uid], records)
    return list(merged.values())


def _replace(series: dict[str, Any], records: Mapping[str, InstanceRecord]) -> None:
    """Let the list of a series, where it has one, tell of the new versions."""
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
        title=instance_title(record.attributes),
        frames=unsigned(record.attributes, "NumberOfFrames") or _frames(record),
    )


def _frames(record: InstanceRecord) -> int:
    return len(record.pixels.frames) if record.pixels is not None else 1


def _fill(series: dict[str, Any], records: Mapping[str, InstanceRecord], origin: Origin) -> None:
    """Give the series what its instances say of it."""
    for _, said in contributions(records.values(), "series", origin):
        made = said.elements
        # the modality is required, and owned: of several the first in the alphabet
        codes = {_code(series), made["modality"].value if "modality" in made else ""} - {""}
        if _code(series) != (code := min(codes, default="")) or "modality" not in series:
            series["modality"] = _modality(code)
        if "started" in made:
            series["started"] = joined("started", series.get("started"), made["started"].value)
        fill(series, {k: v for k, v in made.items() if k not in _OWNED}, most=origin.most)


def _code(series: Mapping[str, Any]) -> str:
    return str(series.get("modality", {}).get("code", ""))


def _modality(code: str) -> dict[str, Any]:
    """Return the modality as R4 wants it: it is required, so a missing one says that it is."""
    if not code:
        return {"extension": [{"url": _DATA_ABSENT_REASON, "valueCode": "unknown"}]}
    return {"system": code_system("dicom"), "code": code}
