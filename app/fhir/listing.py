"""Which instances an ImagingStudy lists: all of them, or none.

Strategy: a PUT costs what the resource lists, not what it adds (docs/decisions/0002). So a list is written
with a commit only where that is cheap: the study is small, or the commit brings a good part of it. Else
the study counts its instances, and the list is written once no commit has come for a while.
A list that is there is complete.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.fhir.attributes import fhir_string
from app.fhir.commit_marks import CommitMarks, marked
from app.fhir.tables import code_system
from app.limits import Limits

FRAMES_EXTENSION = "urn:coregister:number-of-frames"  # R6 has an element for it

# a commit that brings at least this part of the whole may write the whole list: then all the writes of a
# growing study together cost a constant number of times its size
_WORTHWHILE_PART = 4


@dataclass(frozen=True, slots=True)
class ListedInstance:
    """What an ImagingStudy says of one instance."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    number: int | None = None
    title: str = ""
    frames: int = 1

    def element(self) -> dict[str, Any]:
        """Return it as an element of `ImagingStudy.series.instance`."""
        element: dict[str, Any] = {
            "uid": self.sop_instance_uid,
            "sopClass": {"system": code_system("uri"), "code": f"urn:oid:{self.sop_class_uid}"},
        }
        if self.number is not None:
            element["number"] = self.number
        if title := fhir_string(self.title):
            element["title"] = title
        if self.frames > 1:
            element["extension"] = [{"url": FRAMES_EXTENSION, "valuePositiveInt": self.frames}]
        return element


def listed(imaging_study: Mapping[str, Any]) -> bool:
    """Tell whether every series lists as many instances as it counts."""
    return all(
        len(series.get("instance", ())) == series.get("numberOfInstances", 0)
        for series in imaging_study.get("series", ())
    )


def lists_now(*, total: int, added: int, limits: Limits) -> bool:
    """Tell whether a study of `total` instances writes its list with a commit of `added` ones."""
    if total > limits.fhir_instances:
        return False
    return total <= limits.fhir_instances_at_once or added * _WORTHWHILE_PART >= total


def needs_listing(imaging_study: Mapping[str, Any], limits: Limits) -> bool:
    """Tell whether the list is due, now that the study has come to rest."""
    total = sum(s.get("numberOfInstances", 0) for s in imaging_study.get("series", ()))
    return total <= limits.fhir_instances and not listed(imaging_study)


def list_instances(
    imaging_study: Mapping[str, Any],
    instances: Iterable[ListedInstance],
    *,
    confirmed: frozenset[str] = frozenset(),
) -> dict[str, Any] | None:
    """Return the study with all its instances listed; confirmed commits lose their marks.

    `instances` are those of the index. Where they are not as many as the study counts, a commit is under
    way or something is amiss, and the answer is None.
    """
    elements: dict[str, dict[str, dict[str, Any]]] = {}
    for instance in instances:
        of_series = elements.setdefault(instance.series_instance_uid, {})
        of_series[instance.sop_instance_uid] = instance.element()
    series = [one for one in imaging_study.get("series", ()) if "uid" in one]
    counts = {one["uid"]: one.get("numberOfInstances", 0) for one in series}
    if counts != {uid: len(of_series) for uid, of_series in elements.items()}:
        return None
    study = dict(imaging_study)
    study["series"] = [
        {**s, "instance": in_order(list(elements[s["uid"]].values()))} for s in series
    ]
    study["extension"] = marked(study, CommitMarks((), confirmed))
    if not study["extension"]:
        del study["extension"]
    return study


def in_order(elements: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return series or instances by number, then UID; those without a number last."""
    return sorted(elements, key=lambda e: ("number" not in e, e.get("number", 0), e["uid"]))
