"""Records of what went wrong with studies: identity, document, and the search for them.

Strategy: one document for one identity, that is kind, study, tag and class of value (of message, where there
is no class). What happens again is counted there, so 5,000 instances with the same bad date are one record. A
record says what is wrong and where, never a value of a data set.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, Self, get_args

from pydicom.datadict import dictionary_VR, keyword_for_tag

ProblemKind = Literal[
    "invalid-tag",
    "dicom-store-failure",
    "fhir-store-failure",
    "transient-retry",
    "transient-failure",
    "patient-mismatch",
    "inconsistent-study",
    "damaged-study",
    "ambiguous-reference",
]
ProblemState = Literal["open", "resolved"]
KINDS: tuple[ProblemKind, ...] = get_args(ProblemKind)
STATES: tuple[ProblemState, ...] = get_args(ProblemState)

_TAG = re.compile(r"[0-9A-Fa-f]{8}")


@dataclass(frozen=True, slots=True)
class ProblemRecord:
    """One thing that went wrong, as whoever notices it says it."""

    kind: ProblemKind
    study_instance_uid: str
    message: str  # no values from the data set
    tag: str | None = None  # 8 hex digits, or a path of them as `Finding.tag` is
    value_class: str | None = None  # what a value is that it should not be, e.g. `DA: not a date`
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None

    @property
    def path(self) -> str | None:
        """Return the tag without numbers of items: the same fault in each item is one problem."""
        return None if self.tag is None else path_of(self.tag)

    @property
    def identity(self) -> str:
        """Return what makes two records the same problem, as an id of a document."""
        what = self.value_class or self.message
        same = "\0".join((self.kind, self.study_instance_uid, self.path or "", what))
        return sha256(same.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Sighting:
    """How often a problem was seen, first and last, and where last."""

    latest: ProblemRecord
    count: int
    first_seen: str  # RFC 3339, UTC
    last_seen: str

    def joined(self, later: Self) -> Self:
        """Return this and a later sighting of the same problem as one."""
        return replace(
            later,
            count=self.count + later.count,
            first_seen=min(self.first_seen, later.first_seen),
            last_seen=max(self.last_seen, later.last_seen),
        )


def path_of(tag: str) -> str | None:
    """Return a path without numbers of items; None where there is no tag in it."""
    steps = [step.upper() for step in tag.split(".") if _TAG.fullmatch(step)]
    return ".".join(steps) or None


def class_of_value(path: str, message: str) -> str:
    """Return what is wrong with the values of an attribute, with its VR: `DA: no date`."""
    said = (
        message.removeprefix("A value is ")
        .removeprefix("The value is ")
        .rstrip(".")
        .partition(";")[0]
    )
    step = path.rpartition(".")[2]
    try:
        vr = dictionary_VR(int(step, 16))
    except (KeyError, ValueError):  # private, or no tag at all
        return said
    return f"{vr}: {said}"


def problem_document(
    identity: str, previous: Mapping[str, Any] | None, sighting: Sighting
) -> dict[str, Any]:
    """Return the document of a problem after it was seen again; seen again, it is open again."""
    record = sighting.latest
    before = previous or {}
    return {
        "identity": identity,
        "kind": record.kind,
        "state": "open",
        "study_instance_uid": record.study_instance_uid,
        "series_instance_uid": record.series_instance_uid or before.get("series_instance_uid"),
        "sop_instance_uid": record.sop_instance_uid or before.get("sop_instance_uid"),
        "tag": record.path,
        "keyword": _keyword(record.path),
        "value_class": record.value_class,
        "message": record.message,
        "count": before.get("count", 0) + sighting.count,
        "first_seen": min(before.get("first_seen", sighting.first_seen), sighting.first_seen),
        "last_seen": max(before.get("last_seen", sighting.last_seen), sighting.last_seen),
    }


def resolved(document: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return the document of a problem that no longer holds."""
    return {**document, "state": "resolved", "resolved_at": at}


@dataclass(frozen=True, slots=True)
class ProblemSearch:
    """Which records are asked for; None and an empty text mean any."""

    kinds: tuple[ProblemKind, ...] = ()
    study_instance_uid: str | None = None
    since: str | None = None  # RFC 3339
    state: ProblemState | None = None
    limit: int = 100
    after: tuple[int, str] | None = None  # last_seen in milliseconds and identity of the row before


def search_body(search: ProblemSearch) -> dict[str, Any]:
    """Return the search for records, those seen last first."""
    filters: list[dict[str, Any]] = []
    if search.kinds:
        filters.append({"terms": {"kind": list(search.kinds)}})
    if search.study_instance_uid is not None:
        filters.append({"term": {"study_instance_uid": search.study_instance_uid}})
    if search.since is not None:
        filters.append({"range": {"last_seen": {"gte": search.since}}})
    if search.state is not None:
        filters.append({"term": {"state": search.state}})
    body: dict[str, Any] = {
        "size": search.limit,
        "query": {"bool": {"filter": filters}},
        "sort": [{"last_seen": "desc"}, {"identity": "asc"}],
        "track_total_hits": True,
    }
    if search.after is not None:
        body["search_after"] = list(search.after)
    return body


def _keyword(path: str | None) -> str | None:
    """Return the keywords of a path; a private attribute has its tag alone."""
    if path is None:
        return None
    return ".".join(keyword_for_tag(int(step, 16)) or step for step in path.split("."))
