"""What a content item was seen on: images, frames, segments and shapes, as `derivedFrom` with an extension.

R5 has ImagingSelection for this; R4 has nothing below a study. So an Observation is derived from the
ImagingStudy, and extensions of that reference say which instances and which parts of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.dicom.uid import is_uid
from app.fhir.attributes import items, path, text, values_at
from app.fhir.reports.content import Item
from app.fhir.reports.document import Document, uid_identifier
from app.limits import Limits

SELECTION = "urn:coregister:image-selection"

_FRAMES, _SEGMENTS = path("ReferencedFrameNumber"), path("ReferencedSegmentNumber")
_GRAPHIC_DATA = path("GraphicData")
_REFERRED = path("ReferencedContentItemIdentifier")
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
_SHAPES = frozenset({"SCOORD", "SCOORD3D"})
_REFERRING = frozenset({"IMAGE", "COMPOSITE", "WAVEFORM", *_SHAPES})


class Evidence:
    """Where the instances are that a report refers to, and what its items say by reference."""

    def __init__(self, document: Document, root: Item, limits: Limits) -> None:
        """Tell of an item's selections up to the limit fhir_report_selections."""
        self._document = document
        self._limits = limits
        self._by_path = {item.path: item for item in root.walk()}
        self._places = dict(_places(document.attributes))

    @property
    def studies(self) -> list[str]:
        """Return the Study Instance UIDs of the evidence, each once."""
        return list(dict.fromkeys(study for study, _ in self._places.values()))

    def derived_from(self, item: Item) -> list[dict[str, Any]]:
        """Return the studies that an item was seen on; the report's own where it does not say."""
        selections: dict[str, list[dict[str, Any]]] = {}
        for study, selection in self._selections(item):
            of_study = selections.setdefault(study, [])
            if selection not in of_study:
                of_study.append(selection)
        own = self._document.record.study_instance_uid
        selections.setdefault(own, [])
        return [
            {
                **self.study_reference(study),
                **({"extension": each[: self._limits.fhir_report_selections]} if each else {}),
            }
            for study, each in selections.items()
        ]

    def study_reference(self, study_instance_uid: str) -> dict[str, Any]:
        """Return a reference to an ImagingStudy: another one's resource may not be there."""
        if study_instance_uid == self._document.record.study_instance_uid:
            return dict(self._document.imaging_study)
        return {"type": "ImagingStudy", "identifier": uid_identifier(study_instance_uid)}

    def _selections(self, item: Item) -> Iterator[tuple[str, dict[str, Any]]]:
        for child in self._referring(item):
            shape = self._shape(child.attributes) if child.value_type in _SHAPES else []
            referred = [child, *(each for each in child.children if each.value_type == "IMAGE")]
            instances = [
                instance
                for each in referred
                for instance in items(each.attributes, "ReferencedSOPSequence")
            ]
            for instance in instances:
                uid = text(instance, "ReferencedSOPInstanceUID")
                own = self._document.record.study_instance_uid
                study, series = self._places.get(uid, (own, ""))
                if is_uid(uid):
                    yield study, _selection(instance, uid, series, shape)
            if shape and not instances:  # of a volume: in a frame of reference, not on an image
                yield self._document.record.study_instance_uid, _extension(shape)

    def _referring(self, item: Item) -> Iterator[Item]:
        for child in item.children:
            referred = values_at(child.attributes, _REFERRED)
            if referred:  # the first number is the root's (PS3.3 §C.17.3.2.5)
                child = self._by_path.get(".".join(map(str, referred[1:])), child)  # noqa: PLW2901
            if child.value_type in _REFERRING:
                yield child

    def _shape(self, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what a SCOORD or SCOORD3D item draws (PS3.3 §C.18.6, §C.18.9); no very long outline."""
        parts = []
        if kind := text(attributes, "GraphicType"):
            parts.append(_part("regionType", valueString=kind))
        numbers = values_at(attributes, _GRAPHIC_DATA)
        if numbers and len(numbers) <= self._limits.fhir_report_coordinates:
            parts.append(_part("coordinates", valueString=_numbers(numbers)))
        if is_uid(frame_of_reference := text(attributes, "ReferencedFrameOfReferenceUID")):
            parts.append(_part("frameOfReferenceUid", valueId=frame_of_reference))
        return parts


def _places(attributes: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for study in (item for sequence in _EVIDENCE for item in items(attributes, sequence)):
        study_uid = text(study, "StudyInstanceUID")
        for series in items(study, "ReferencedSeriesSequence"):
            place = (study_uid, text(series, "SeriesInstanceUID"))
            for instance in items(series, "ReferencedSOPSequence"):
                uid = text(instance, "ReferencedSOPInstanceUID")
                if is_uid(uid) and is_uid(study_uid):
                    yield uid, place


def _selection(
    instance: Mapping[str, Any], uid: str, series: str, shape: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    parts = [_part("sopInstanceUid", valueId=uid)]
    if is_uid(sop_class := text(instance, "ReferencedSOPClassUID")):
        parts.append(_part("sopClass", valueId=sop_class))
    if is_uid(series):
        parts.append(_part("seriesUid", valueId=series))
    if frames := _numbers(values_at(instance, _FRAMES)):
        parts.append(_part("frames", valueString=frames))
    if segments := _numbers(values_at(instance, _SEGMENTS)):
        parts.append(_part("segments", valueString=segments))
    return _extension([*parts, *shape])


def _numbers(values: Iterable[object]) -> str:
    return " ".join(str(value) for value in values if isinstance(value, int | float))


def _part(url: str, **value: str) -> dict[str, Any]:
    return {"url": url, **value}


def _extension(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"url": SELECTION, "extension": list(parts)}
