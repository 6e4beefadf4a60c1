"""Rejection notes: Key Object Selections that say which instances are no longer to be used.

IHE Radiology TF-2, Imaging Object Change Management (IOCM); codes of PS3.16 CID 7011; the references are
those of the Current Requested Procedure Evidence Sequence (PS3.3 §C.17.6.2.1), which lists all that the
content tree refers to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.dicom.instance import InstanceRecord

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
REJECTION_TITLES: Mapping[str, str] = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}

_TITLE, _CODE, _SCHEME = "0040A043", "00080100", "00080102"
_EVIDENCE, _SERIES, _INSTANCES = "0040A375", "00081115", "00081199"
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00081155"


@dataclass(frozen=True, slots=True)
class RejectedInstance:
    """An instance that a rejection note refers to."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


def rejected_by(record: InstanceRecord) -> tuple[RejectedInstance, ...]:
    """Return the instances that a rejection note rejects; of any other instance, nothing."""
    if record.sop_class_uid != KEY_OBJECT_SELECTION or not _is_rejection(record.attributes):
        return ()
    found = dict.fromkeys(_references(record.attributes))
    return tuple(each for each in found if each.sop_instance_uid != record.sop_instance_uid)


def _is_rejection(attributes: Mapping[str, Any]) -> bool:
    return any(
        _text(title, _CODE) in REJECTION_TITLES and _text(title, _SCHEME) == "DCM"
        for title in _items(attributes, _TITLE)
    )


def _references(attributes: Mapping[str, Any]) -> Iterator[RejectedInstance]:
    for study in _items(attributes, _EVIDENCE):
        for series in _items(study, _SERIES):
            for instance in _items(series, _INSTANCES):
                uids = (
                    _text(study, _STUDY_UID),
                    _text(series, _SERIES_UID),
                    _text(instance, _INSTANCE_UID),
                )
                if all(uids):
                    yield RejectedInstance(*uids)


def _items(attributes: Mapping[str, Any], tag: str) -> Sequence[Mapping[str, Any]]:
    items: Sequence[Mapping[str, Any]] = attributes.get(tag, {}).get("Value", ())
    return items


def _text(attributes: Mapping[str, Any], tag: str) -> str:
    values = attributes.get(tag, {}).get("Value") or [""]
    return str(values[0] or "").strip()
