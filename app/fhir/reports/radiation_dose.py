"""Radiation dose reports as Observations: the report, its irradiation events, and totals of several planes.

PS3.16 TID 10001 (projection X-ray), 10011 (CT), 10021 (radiopharmaceuticals). The Observation of the report has
the code that LOINC has for it, the totals as components, and the events as members.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from app.fhir.attributes import text
from app.fhir.reports.content import MODIFIES, Item
from app.fhir.reports.document import uid_identifier
from app.fhir.reports.observation import LEFT_OUT, Context, Observations, identified
from app.fhir.reports.tables import dose_concepts, fixed_code

_STANDING = frozenset({"NUM", "CODE", "TEXT"})


def exposed(observations: Observations) -> None:
    """Make the Observations of a dose report."""
    root = observations.root
    context = Context().within(root, observations.document)
    if not context.of_patient:
        return
    report = _report(observations, root)
    observations.made.append(report)  # whatever the limit
    totals = [item for item in root.walk() if item.key in dose_concepts("accumulated")]
    if len(totals) == 1:
        observations.add_components(report, _components(totals[0]))
        totals = []
    members = [
        reference
        for item in [*totals, *_events(root)]
        if (reference := observations.add(_part(observations, item)))
    ]
    if members:
        report["hasMember"] = members
    if observations.left_out:
        report["extension"] = [{"url": LEFT_OUT, "valueUnsignedInt": observations.left_out}]


def _report(observations: Observations, root: Item) -> dict[str, Any]:
    report = observations.begun(root)
    report["identifier"] = [observations.document.identifier, *report.get("identifier", ())]
    title = observations.document.title or {}
    report["code"] = {"coding": [dict(fixed_code("dose")), *title.get("coding", ())]}
    _set_time(observations, report, root)
    own = [item for item in root.children if item.key in dose_concepts("components")]
    observations.add_components(report, own)
    return report


def _part(observations: Observations, item: Item) -> dict[str, Any]:
    """Return the Observation of an irradiation event, or of the totals of one plane."""
    part = observations.begun(item)
    uids = identified(item, dose_concepts("event_uid"))
    if uids:
        part["identifier"] = [*part.get("identifier", ()), *map(uid_identifier, uids)]
    _set_time(observations, part, item)
    site = item.first(dose_concepts("site"))
    if site is not None and (concept := observations.document.concept(site.code())):
        part["bodySite"] = concept
        observations.add_components(part, [c for c in site.children if c.relationship == MODIFIES])
    observations.add_components(part, _components(item))
    return part


def _events(root: Item) -> Sequence[Item]:
    return [item for item in root.walk() if item.key in dose_concepts("events")]


def _components(item: Item) -> Iterator[Item]:
    """Yield what is told of an event or a total, at any depth, in order."""
    for below in item.walk():
        if below.key in dose_concepts("components") and below.value_type in _STANDING:
            yield below


def _set_time(observations: Observations, observation: dict[str, Any], item: Item) -> None:
    start, end = (
        observations.document.date_time(text(found.attributes, "DateTime")) if found else None
        for found in (item.first(dose_concepts(name)) for name in ("started", "ended"))
    )
    if start and end and _in_order(start, end):
        observation.pop("effectiveDateTime", None)
        observation["effectivePeriod"] = {"start": start, "end": end}
    elif start:
        observation["effectiveDateTime"] = start


def _in_order(start: str, end: str) -> bool:
    """Tell whether a period may be of these (FHIR R4 per-1)."""
    try:
        return datetime.fromisoformat(start) <= datetime.fromisoformat(end)
    except TypeError:  # a date and an instant
        return start[:10] <= end[:10]
