"""A correction of a data set: what is shown instead of what the object says, and how to take it off again.

Strategy: the object is never changed. Whoever shows it (index documents, metadata, the bytes on their way out)
applies the correction, and notes in OriginalAttributesSequence (0400,0561) what stood there before (PS3.3
§C.12.1.1.9). The object's own attributes come back exactly by taking it off.

In bytes, corrected values are written in the object's own character set where that can hold all of them. Where
it cannot, the whole data set is written in ISO_IR 192 and (0008,0005) says so; the original values in
OriginalAttributesSequence were the object's own, so they fit in either case. DICOM JSON is UTF-8 and keeps
the (0008,0005) of the object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self

Element = Mapping[str, Any]  # of the DICOM JSON Model (PS3.18 Annex F)
Reason = Literal["COERCE", "CORRECT"]

ORIGINAL_ATTRIBUTES = "04000561"
MODIFYING_SYSTEM_NAME = "Coregister"
_MODIFIED_ATTRIBUTES = "04000550"
_MODIFICATION_DATE_TIME = "04000562"
_MODIFYING_SYSTEM = "04000563"
_SOURCE_OF_PREVIOUS_VALUES = "04000564"
_REASON = "04000565"


@dataclass(frozen=True, slots=True)
class Correction:
    """What is shown of some attributes, and what the object has there; None is no attribute at all."""

    attributes: Mapping[str, Element | None]  # tag -> as shown
    original: Mapping[str, Element | None]  # the same tags -> as in the object
    patient: str  # whose data these are: a reference (`Patient/xyz`)
    at: str  # RFC 3339, UTC
    # COERCE: reconciled when the object came in; CORRECT: what was shown before was wrong
    reason: Reason = "COERCE"

    @classmethod
    def of(
        cls,
        shown: Mapping[str, Element | None],
        attributes: Mapping[str, Any],
        *,
        patient: str,
        at: str,
        reason: Reason = "COERCE",
    ) -> Self | None:
        """Return what makes an object with `attributes` show `shown`, or None where it does so by itself."""
        changed = {tag: element for tag, element in shown.items() if attributes.get(tag) != element}
        if not changed:
            return None
        original = {tag: attributes.get(tag) for tag in changed}
        return cls(changed, original, patient, at, reason)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the correction that a document tells of."""
        return cls(
            attributes=value["attributes"],
            original=value["original"],
            patient=value["patient"],
            at=value["at"],
            reason=value.get("reason", "COERCE"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the correction as a document tells of it."""
        return {
            "attributes": dict(self.attributes),
            "original": dict(self.original),
            "patient": self.patient,
            "at": self.at,
            "reason": self.reason,
        }

    def same_as(self, other: "Correction | None") -> bool:
        """Tell whether another correction shows the same instead of the same, whenever it was made."""
        return (
            other is not None
            and self.attributes == other.attributes
            and self.original == other.original
            and self.patient == other.patient
        )

    def original_attributes_item(self) -> dict[str, Any]:
        """Return the item of OriginalAttributesSequence that records it (PS3.3 §C.12.1.1.9).

        An attribute that the object does not have is there without a value.
        """
        before = {
            tag: element if element is not None else {"vr": (self.attributes[tag] or {})["vr"]}
            for tag, element in self.original.items()
        }
        return {
            _MODIFIED_ATTRIBUTES: {"vr": "SQ", "Value": [dict(sorted(before.items()))]},
            _MODIFICATION_DATE_TIME: {"vr": "DT", "Value": [_dicom_date_time(self.at)]},
            _MODIFYING_SYSTEM: {"vr": "LO", "Value": [MODIFYING_SYSTEM_NAME]},
            _SOURCE_OF_PREVIOUS_VALUES: {"vr": "LO"},
            _REASON: {"vr": "CS", "Value": [self.reason]},
        }


def corrected(
    attributes: Mapping[str, Any], correction: Correction, *, instance: bool
) -> dict[str, Any]:
    """Return a data set as it is shown; an `instance` also records what was changed.

    Items of OriginalAttributesSequence that the object has stay in front.
    """
    shown = _replaced(attributes, correction.attributes)
    if instance:
        items = _items(attributes)
        items.append(correction.original_attributes_item())
        shown[ORIGINAL_ATTRIBUTES] = {"vr": "SQ", "Value": items}
    return dict(sorted(shown.items()))


def restored(attributes: Mapping[str, Any], correction: Correction) -> dict[str, Any]:
    """Return the data set as the object has it: what `corrected` was made of.

    An OriginalAttributesSequence without items, which says nothing, does not come back.
    """
    own = _replaced(attributes, correction.original)
    items = _items(attributes)
    if items and items[-1] == correction.original_attributes_item():
        del items[-1]
        if items:
            own[ORIGINAL_ATTRIBUTES] = {"vr": "SQ", "Value": items}
        else:
            del own[ORIGINAL_ATTRIBUTES]
    return dict(sorted(own.items()))


def _replaced(attributes: Mapping[str, Any], by: Mapping[str, Element | None]) -> dict[str, Any]:
    kept = {tag: element for tag, element in attributes.items() if tag not in by}
    return kept | {tag: element for tag, element in by.items() if element is not None}


def _items(attributes: Mapping[str, Any]) -> list[Any]:
    return list(attributes.get(ORIGINAL_ATTRIBUTES, {}).get("Value") or ())


def _dicom_date_time(at: str) -> str:
    """Return an instant as a DT in UTC (PS3.5 Table 6.2-1)."""
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
