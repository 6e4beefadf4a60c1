"""Reads the answer to a STOW request (PS3.18 §10.5.3, Table 10.5.3-1)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REFERENCED_SOP_SEQUENCE = "00081199"
FAILED_SOP_SEQUENCE = "00081198"
OTHER_FAILURES_SEQUENCE = "0008119A"
REFERENCED_SOP_INSTANCE_UID = "00081155"
FAILURE_REASON = "00081197"
WARNING_REASON = "00081196"
FAILED_ATTRIBUTES_SEQUENCE = "00741048"
ERROR_COMMENT = "00000902"
COMMENTS_SHOWN = 3

# PS3.18 Annex I.2 and PS3.4 Table B.2-1, most special first: (first, last, meaning)
REASONS: tuple[tuple[int, int, str], ...] = (
    (0x0106, 0x0106, "an attribute has an invalid value"),
    (0x0110, 0x0110, "the server failed to process it"),
    (0x0111, 0x0111, "the SOP Instance UID is known with other bytes"),
    (0x0117, 0x0117, "the SOP Instance UID is invalid"),
    (0x0120, 0x0120, "an attribute is missing"),
    (0x0121, 0x0121, "an attribute has no value"),
    (0x0122, 0x0122, "the SOP Class is not supported"),
    (0x0124, 0x0124, "not authorized"),
    (0xA700, 0xA7FF, "the server is out of resources, or the object is too large for it"),
    (0xA900, 0xA9FF, "its identifiers do not fit"),
    (0xC122, 0xC122, "the Transfer Syntax is not supported"),
    (0xC000, 0xCFFF, "the server cannot understand it"),
    (0xB000, 0xB000, "data elements were coerced"),
    (0xB006, 0xB006, "elements were discarded"),
    (0xB007, 0xB007, "the data set does not match its SOP Class"),
)


@dataclass(frozen=True, slots=True)
class Remark:
    """Why one instance was not stored, or what is odd about one that was."""

    reason: int | None = None  # of PS3.18 Annex I.2
    comment: str = ""

    def __str__(self) -> str:
        """Return the reason in words."""
        words = self.comment or meaning(self.reason)
        return words if self.reason is None else f"{self.reason:04X} {words}"


@dataclass(frozen=True, slots=True)
class StowAnswer:
    """What the server says of each instance, by SOP Instance UID.

    An instance that it names twice is not among them: nobody could tell which one is meant.
    """

    stored: Mapping[str, Remark | None] = field(default_factory=dict)  # with what is odd
    refused: Mapping[str, Remark] = field(default_factory=dict)
    others: tuple[Remark, ...] = ()  # parts of which not even the UID could be read


def meaning(reason: int | None) -> str:
    """Return a failure reason in words."""
    if reason is None:
        return "the server does not say why"
    for first, last, words in REASONS:
        if first <= reason <= last:
            return words
    return "failure"


def read_answer(payload: Any) -> StowAnswer:
    """Return what a DICOM JSON payload says; what is not understood is left out."""
    stored = _items(payload, REFERENCED_SOP_SEQUENCE)
    failed = _items(payload, FAILED_SOP_SEQUENCE)
    named = Counter(_text(item, REFERENCED_SOP_INSTANCE_UID) for item in (*stored, *failed))
    return StowAnswer(
        stored={
            uid: _remark(item, WARNING_REASON) if WARNING_REASON in item else None
            for item in stored
            if named[uid := _text(item, REFERENCED_SOP_INSTANCE_UID)] == 1
        },
        refused={
            uid: _remark(item, FAILURE_REASON)
            for item in failed
            if named[uid := _text(item, REFERENCED_SOP_INSTANCE_UID)] == 1
        },
        others=tuple(
            _remark(item, FAILURE_REASON) for item in _items(payload, OTHER_FAILURES_SEQUENCE)
        ),
    )


def _remark(item: Mapping[str, Any], reason: str) -> Remark:
    about = [item, *_items(item, FAILED_ATTRIBUTES_SEQUENCE)]
    comments = [comment for each in about if (comment := _text(each, ERROR_COMMENT))]
    return Remark(reason=_number(item, reason), comment="; ".join(comments[:COMMENTS_SHOWN]))


def _items(payload: Any, tag: str) -> Sequence[Mapping[str, Any]]:
    return [item for item in _values(payload, tag) if isinstance(item, dict)]


def _text(item: Mapping[str, Any], tag: str) -> str:
    return next((value for value in _values(item, tag) if isinstance(value, str)), "")


def _number(item: Mapping[str, Any], tag: str) -> int | None:
    return next((value for value in _values(item, tag) if isinstance(value, int)), None)


def _values(item: Any, tag: str) -> Sequence[Any]:
    attribute = item.get(tag) if isinstance(item, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else []
