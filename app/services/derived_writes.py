"""What is to become of the resources of reports with one transaction of their study."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import orjson

from app.dicom.instance import InstanceRecord
from app.fhir.reports.derive import Derived
from app.fhir.reports.merging import (
    brought_up_to_date,
    of_patient,
    ours_alone,
    retired,
    same,
)
from app.index.documents import read_bulk, read_metadata

RECORD_FIELDS = (
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "sop_class_uid",
    "transfer_syntax_uid",
    "metadata",
    "bulk",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to become of one resource: made, brought up to date, re-pointed, or retired."""

    reference: str
    sop_instance_uid: str
    made: Mapping[str, Any] | None = None
    before: Mapping[str, Any] = field(default_factory=dict)  # what was made of the version before
    subject: str | None = None  # where only that changes
    has_members: bool = False

    @property
    def retires(self) -> bool:
        """Tell whether its object is gone."""
        return self.made is None and self.subject is None

    def resolved(self, present: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return what is to be written where `present` is there, None for nothing."""
        if present is None:
            return None if self.made is None else dict(self.made)
        if self.made is not None:
            after = brought_up_to_date(present, self.made, self.before)
        elif self.subject is not None:
            after = of_patient(present, self.subject)
        else:
            after = retired(present)
        return None if same(present, after) else after


@dataclass(frozen=True, slots=True)
class DerivedWrites:
    """What a transaction writes besides the study."""

    study_instance_uid: str
    wanted: tuple[Wanted, ...] = ()
    known: bool = False  # some may be there: look before writing

    def __bool__(self) -> bool:
        """Tell whether there is anything to write."""
        return bool(self.wanted)

    def resolved(
        self, present: Mapping[str, Mapping[str, Any]], *, removes: bool
    ) -> tuple[list[tuple[dict[str, Any], int]], list[str]]:
        """Return what is to be written with the versions it is at, and the references of what is removed.

        `removes` says that what is retired and ours alone is not kept.
        """
        written: list[tuple[dict[str, Any], int]] = []
        removed: list[str] = []
        for each in self.wanted:
            found = present.get(each.reference)
            if found is not None and each.retires and removes and ours_alone(found):
                removed.append(each.reference)
            elif (resource := each.resolved(found)) is not None:
                version = int(found["meta"]["versionId"]) if found is not None else 0
                written.append((resource, version))
        return written, removed

    def by_report(self) -> dict[str, list[Wanted]]:
        """Return what is wanted by SOP Instance UID."""
        of_report: dict[str, list[Wanted]] = defaultdict(list)
        for each in self.wanted:
            of_report[each.sop_instance_uid].append(each)
        return of_report

    def parted(self, most: int) -> tuple[Self, Self]:
        """Return the reports whose resources are at most so many together, and the rest."""
        first: list[Wanted] = []
        rest: list[Wanted] = []
        for wanted in self.by_report().values():
            fits = len(first) + len(wanted) <= most
            (first if fits else rest).extend(wanted)
        return replace(self, wanted=tuple(first)), replace(self, wanted=tuple(rest))

    def in_steps(self, most: int) -> Iterator[Self]:
        """Yield these writes in parts of at most so many, so that none refers to what is still to come.

        What is made goes from the members up to the report; what is retired or removed the other way round.
        """
        made = sorted((each for each in self.wanted if not each.retires), key=_height)
        gone = sorted((each for each in self.wanted if each.retires), key=_height)
        ordered = [*made, *reversed(gone)]
        for start in range(0, len(ordered), most):
            yield replace(self, wanted=tuple(ordered[start : start + most]), known=True)

    def joined(self, other: Self) -> Self:
        """Return these writes and those of `other` that are of other resources."""
        mine = {each.reference for each in self.wanted}
        added = tuple(each for each in other.wanted if each.reference not in mine)
        if not added:
            return self
        return replace(other, wanted=self.wanted + added, known=self.known or other.known)


NOTHING_DERIVED = DerivedWrites("")


def _height(wanted: Wanted) -> int:
    """Return how far up a resource is: members, what has members, and the report of all."""
    if not wanted.reference.startswith("Observation/"):
        return 2
    return 1 if wanted.has_members else 0


def retiring(made: Iterable[Derived]) -> dict[str, Wanted]:
    """Return, by reference, that what was made of objects is no longer of anything."""
    return {
        reference: Wanted(reference, each.sop_instance_uid, has_members="hasMember" in resource)
        for each in made
        for resource in each.resources
        if (reference := reference_of(resource))
    }


def reference_of(resource: Mapping[str, Any]) -> str:
    """Return the literal reference of a resource."""
    return f"{resource['resourceType']}/{resource['id']}"


def record_of(source: Mapping[str, Any]) -> InstanceRecord:
    """Return the instance of a document with RECORD_FIELDS, as it is shown."""
    return InstanceRecord(
        study_instance_uid=source["study_instance_uid"],
        series_instance_uid=source["series_instance_uid"],
        sop_instance_uid=source["sop_instance_uid"],
        sop_class_uid=source["sop_class_uid"],
        transfer_syntax_uid=source["transfer_syntax_uid"],
        attributes=orjson.loads(read_metadata(source)),
        bulk=read_bulk(source),
    )
