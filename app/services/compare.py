"""Compares instances that are to be stored with those that the index has under their UIDs."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.dicom.instance import Finding
from app.services.intake import Prepared
from app.services.intents import Intent

KNOWN_FIELDS = ("sha256", "version", "study_instance_uid", "series_instance_uid")


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit found besides: instances that were brought before, and that contradict their study."""

    identical: frozenset[str] = frozenset()  # SOP Instance UIDs, same bytes
    different: frozenset[str] = frozenset()  # SOP Instance UIDs, other bytes
    replaced: frozenset[str] = frozenset()  # SOP Instance UIDs, other bytes that became a version
    # SOP Instance UIDs of what is not linked: their patient contradicts the study's (tags)
    inconsistent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # what senders should hear of instances that are linked, by SOP Instance UID
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    moves: bool = False  # these instances make the study another patient's, with all that it had
    follows: Intent | None = None  # to show what the study had so
    own: frozenset[str] = (
        frozenset()
    )  # of `identical` those that an earlier try of this intent had brought
    version: int = 0  # of the ImagingStudy that has it all; 0 where there is none

    @property
    def not_brought(self) -> frozenset[str]:
        """Return the SOP Instance UIDs of what this commit, and earlier tries of it, did not bring."""
        return (self.identical - self.own) | self.different | self.inconsistent.keys()


def compare(
    intent: Intent,
    instances: Sequence[Prepared],
    known: Mapping[str, Mapping[str, Any]],
    past: AbstractSet[str],
    *,
    again: bool,
) -> Committed:
    """Return what is known of the instances of an intent; `past` are versions that were current once.

    An intent that is carried out `again`, after a crash, must not put an older version in place of a newer
    one that was acknowledged meanwhile: it replaces only what it was meant to. So does one that restates what
    was shown of a version.
    """
    expected = {each.sop_instance_uid: each.replaces for each in intent.instances}
    identical: set[str] = set()
    own: set[str] = set()
    different: set[str] = set()
    replaced: set[str] = set()
    for prepared in instances:
        uid = prepared.stored.record.sop_instance_uid
        document = known.get(uid)
        if prepared.stored.version in past:
            identical.add(uid)
        elif document is None:
            continue
        elif document["sha256"] == prepared.stored.sha256:
            identical.add(uid)
            if document["version"] == prepared.stored.version:
                own.add(uid)
        elif (
            intent.replace
            and stays(document, prepared.stored.record)
            and (not (again or intent.restates) or expected.get(uid) == document["version"])
        ):
            replaced.add(uid)
        else:
            different.add(uid)
    return Committed(
        frozenset(identical), frozenset(different), frozenset(replaced), own=frozenset(own)
    )


class _Placed(Protocol):
    @property
    def study_instance_uid(self) -> str: ...
    @property
    def series_instance_uid(self) -> str: ...


def stays(known: Mapping[str, Any], brought: _Placed) -> bool:
    """Tell whether other bytes of an instance are of the same study and series."""
    return bool(
        known["study_instance_uid"] == brought.study_instance_uid
        and known["series_instance_uid"] == brought.series_instance_uid
    )
