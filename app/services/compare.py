"""Compares instances that are to be stored with those that the index has under their UIDs."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol

from app.services.intake import Prepared
from app.services.intents import Intent

KNOWN_FIELDS = ("sha256", "version", "study_instance_uid", "series_instance_uid")


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit found besides: instances that the archive, or another writer, had brought before."""

    identical: frozenset[str] = frozenset()  # SOP Instance UIDs, same bytes
    different: frozenset[str] = frozenset()  # SOP Instance UIDs, other bytes
    replaced: frozenset[str] = frozenset()  # SOP Instance UIDs, other bytes that became a version


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
    one that was acknowledged meanwhile: it replaces only what it was meant to.
    """
    expected = {each.sop_instance_uid: each.replaces for each in intent.instances}
    identical: set[str] = set()
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
        elif (
            intent.replace
            and stays(document, prepared.stored.record)
            and (not again or expected.get(uid) == document["version"])
        ):
            replaced.add(uid)
        else:
            different.add(uid)
    return Committed(frozenset(identical), frozenset(different), frozenset(replaced))


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
