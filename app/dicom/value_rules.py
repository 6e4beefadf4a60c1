"""What VRs ask of values beyond what reading them shows, for those who keep no other (PS3.5 Table 6.2-1)."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from app.dicom.instance import Finding

_FINDINGS_KEPT = 100
_LONGEST = {"AE": 16, "CS": 16, "LO": 64, "LT": 10_240, "SH": 16, "ST": 1_024}  # characters
_LONGEST_NAME = 64  # characters of a component group
_PATTERNS = {
    "AS": re.compile(r"[0-9]{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9_ ]*"),
}
_IS_RANGE = range(-(2**31), 2**31)


def broken_rules(attributes: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return the attributes of a DICOM JSON object that have a value as their VR does not allow it."""
    return tuple(islice(_of_data_set(attributes, ""), _FINDINGS_KEPT))


def _of_data_set(attributes: Mapping[str, Any], prefix: str) -> Iterator[Finding]:
    for tag, element in attributes.items():
        vr, values = element["vr"], element.get("Value", ())
        if vr == "SQ":
            for number, item in enumerate(values, 1):
                yield from _of_data_set(item, f"{prefix}{tag}.{number}.")
            continue
        complaint = next((found for value in values if (found := _complaint(vr, value))), None)
        if complaint is not None:
            yield Finding(prefix + tag, complaint)


def _complaint(vr: str, value: Any) -> str | None:
    match value:
        case str() if len(value) > _LONGEST.get(vr, len(value)):
            return f"A value is longer than {vr} can be."
        case str() if vr in _PATTERNS and _PATTERNS[vr].fullmatch(value) is None:
            return f"A value has characters or a form that {vr} cannot have."
        case int() if vr == "IS" and value not in _IS_RANGE:
            return "A value is outside the range of IS."
        case dict() if any(len(group) > _LONGEST_NAME for group in value.values()):
            return "A component group of a name is longer than PN can be."
        case _:
            return None
