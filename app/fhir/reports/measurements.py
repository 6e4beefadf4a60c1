"""The measurements of a report as Observations: groups of TID 1500, and single ones of any other template.

A measurement group is an Observation whose `hasMember` are the measurements and evaluations in it. Outside of
groups each measurement stands for itself, with the finding site and the modifiers of the sections above it.
What was measured on a fetus or a device is left in the report: it is nothing about the patient.
"""

from collections.abc import Sequence
from typing import Any

from app.fhir.reports.content import CONTAINS, INFERRED, Item
from app.fhir.reports.observation import Context, Observations
from app.fhir.reports.tables import concepts

_EVALUATED = frozenset({"CODE", "TEXT"})
_OF_GROUP = frozenset(
    {
        *concepts("finding"),
        *concepts("finding_site"),
        *concepts("method"),
        *concepts("tracking_identifier"),
        *concepts("subject_class"),
    }
)


def measured(observations: Observations) -> list[dict[str, str]]:
    """Make the Observations of a report; return the references of those that stand for themselves."""
    return _below(observations, observations.root, Context(), evaluates=False)


def _below(
    observations: Observations, item: Item, above: Context, *, evaluates: bool
) -> list[dict[str, str]]:
    context = above.within(item, observations.document)
    found: list[dict[str, str]] = []
    for child in item.children:
        if child.relationship not in (CONTAINS, ""):
            continue
        if child.key in concepts("measurement_group"):
            found += _group(observations, child, context)
        elif child.value_type == "CONTAINER":
            inside = child.key in concepts("qualitative_evaluations")
            found += _below(observations, child, context, evaluates=inside)
        elif child.value_type == "NUM" or (evaluates and child.value_type in _EVALUATED):
            found += _single(observations, child, context)
    return found


def _group(observations: Observations, item: Item, above: Context) -> list[dict[str, str]]:
    context = above.within(item, observations.document)
    if not context.of_patient:
        return []
    group = observations.begun(item)
    finding = item.first(concepts("finding"))
    concept = observations.document.concept(finding.code()) if finding is not None else None
    if concept:
        group["valueCodeableConcept"] = concept
    observations.modify(group, context)
    reference = observations.add(group)
    members = _members(observations, item, context)
    if members:
        group["hasMember"] = members
    return [reference] if reference else []


def _members(observations: Observations, item: Item, context: Context) -> list[dict[str, str]]:
    members: list[dict[str, str]] = []
    for child in item.children:
        if child.relationship not in (CONTAINS, "") or child.key in _OF_GROUP:
            continue
        if child.value_type == "NUM" or child.value_type in _EVALUATED:
            members += _single(observations, child, context)
        elif child.value_type == "CONTAINER":
            members += _below(observations, child, context, evaluates=True)
    return members


def _single(observations: Observations, item: Item, context: Context) -> list[dict[str, str]]:
    """Make the Observation of an item, and before it those of the measurements it was inferred from."""
    if not context.within(item, observations.document).of_patient:
        return []
    sources = _sources(observations, item, context)
    observation = observations.measurement(item, context)
    observation["derivedFrom"] = [*observation["derivedFrom"], *sources]
    reference = observations.add(observation)
    return [reference] if reference else []


def _sources(observations: Observations, item: Item, context: Context) -> Sequence[dict[str, Any]]:
    return [
        reference
        for child in item.children
        if child.value_type == "NUM" and child.relationship == INFERRED
        for reference in _single(observations, child, context)
    ]
