"""What is changed in an object that is sent, or stored anew, with other attributes than it has."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.dicom.correction import MODIFYING_SYSTEM_NAME, ORIGINAL_ATTRIBUTES, Correction
from app.dicom.element_writer import text_of
from app.dicom.recoding import TEXT_VRS

MODIFIED_ATTRIBUTES = "04000550"
_MODIFICATION_DATE_TIME = "04000562"
_INSTANCE_COERCION_DATE_TIME = "00080015"
_CONTRIBUTING_EQUIPMENT, _CONTRIBUTION_DATE_TIME = "0018A001", "0018A002"
_MODIFYING_EQUIPMENT = {
    "00080100": {"vr": "SH", "Value": ["109103"]},
    "00080102": {"vr": "SH", "Value": ["DCM"]},
    "00080104": {"vr": "LO", "Value": ["Modifying Equipment"]},
}


@dataclass(frozen=True, slots=True)
class ObjectChanges:
    """What becomes of attributes of the top level."""

    replaced: Mapping[str, Any]  # tag -> element of the DICOM JSON Model instead, or None
    # tag of a sequence -> an item that comes after those it has
    appended: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, correction: Correction) -> "ObjectChanges":
        """Return what a correction changes (PS3.3 §C.12.1.1.9)."""
        item = correction.original_attributes_item()
        return cls(correction.attributes, {ORIGINAL_ATTRIBUTES: item})

    @classmethod
    def materialized(cls, correction: Correction, software: str) -> "ObjectChanges":
        """Return what a correction changes in a copy that is stored for good (PS3.3 §C.12.1, §C.7.5.3).

        The copy says who made it of what, and the same correction makes the same copy.
        """
        overlay = cls.of(correction)
        when = overlay.appended[ORIGINAL_ATTRIBUTES][_MODIFICATION_DATE_TIME]
        equipment = {
            "00080070": {"vr": "LO", "Value": [MODIFYING_SYSTEM_NAME]},  # Manufacturer
            "00081090": {"vr": "LO", "Value": [MODIFYING_SYSTEM_NAME]},  # Manufacturer's Model Name
            "00181020": {"vr": "LO", "Value": [software]},
            _CONTRIBUTION_DATE_TIME: when,
            "0018A003": {"vr": "ST", "Value": ["Patient as the clinical record has it"]},
            "0040A170": {"vr": "SQ", "Value": [_MODIFYING_EQUIPMENT]},  # Purpose of Reference
        }
        return cls(
            {**overlay.replaced, _INSTANCE_COERCION_DATE_TIME: when},
            {**overlay.appended, _CONTRIBUTING_EQUIPMENT: equipment},
        )

    def texts(self) -> Iterator[str]:
        """Yield every text that the data set will have to be able to say."""
        waiting = [self.replaced, *self.appended.values()]
        while waiting:
            for tag, element in waiting.pop().items():
                if tag == MODIFIED_ATTRIBUTES or element is None:
                    continue  # the object said those itself
                values = element.get("Value", [])
                if element["vr"] == "SQ":
                    waiting += [each or {} for each in values]
                elif element["vr"] in TEXT_VRS:
                    yield text_of(element["vr"], values)
