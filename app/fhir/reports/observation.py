"""An Observation of a content item: what all of them have, whatever was observed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from app.fhir.attributes import text
from app.fhir.reports.content import ACQUISITION, MODIFIES, PROPERTY, Item, value_key
from app.fhir.reports.document import Document, as_instant, uid_identifier
from app.fhir.reports.people import observers, observing_device
from app.fhir.reports.selections import Evidence
from app.fhir.reports.tables import concepts, fixed_code
from app.fhir.reports.values import code_of, value_of
from app.limits import Limits

LEFT_OUT = "urn:coregister:left-out"
MODIFIER = "urn:coregister:modifier"  # what a component is of, or how it was derived

_SUBJECT_OF_PATIENT = frozenset({"", *concepts("subject_patient"), *concepts("subject_specimen")})


@dataclass(frozen=True, slots=True)
class Context:
    """What the items above an item say that holds for it as well (PS3.3 §C.17.3.2.4)."""

    modifiers: Mapping[str, Item] = field(default_factory=dict)  # by concept name
    subject_class: str = ""
    specimen: Mapping[str, Any] | None = None

    def within(self, item: Item, document: Document) -> Self:
        """Return what holds for the items below `item`; what modifies the report itself ends there."""
        modifiers = {c.key: c for c in item.children if c.relationship == MODIFIES and c.key}
        if not item.path:
            modifiers = {}
        subject = value_key(item.first(concepts("subject_class")))
        return replace(
            self,
            modifiers={**self.modifiers, **modifiers},
            subject_class=subject or self.subject_class,
            specimen=_specimen(item, document) or self.specimen,
        )

    @property
    def of_patient(self) -> bool:
        """Tell whether what is observed is the patient: no fetus, no device."""
        return self.subject_class in _SUBJECT_OF_PATIENT


class Observations:
    """Makes the Observations of one report, up to a limit."""

    def __init__(self, document: Document, root: Item, limits: Limits) -> None:
        """Make as many as the limit fhir_report_observations; what is beyond is counted in `left_out`."""
        self.document = document
        self.root = root
        self.limits = limits
        self.evidence = Evidence(document, root, limits)
        self.made: list[dict[str, Any]] = []
        self.left_out = 0
        self._common = self._shared()

    def add(self, observation: dict[str, Any]) -> dict[str, str] | None:
        """Take an Observation in; return the reference of it, or None where there are too many."""
        if len(self.made) >= self.limits.fhir_report_observations:
            self.left_out += 1
            return None
        self.made.append(observation)
        return {"reference": f"Observation/{observation['id']}"}

    def begun(self, item: Item) -> dict[str, Any]:
        """Return the beginning of the Observation of an item: all but what was observed."""
        observation = {**self.document.begun("Observation", item.path), **self._common}
        observed = self.document.date_time(text(item.attributes, "ObservationDateTime"))
        if issued := as_instant(observed):
            observation["issued"] = issued
        if identifiers := _identifiers(item):
            observation["identifier"] = identifiers
        observation["code"] = code_of(self.document, item)
        observation["derivedFrom"] = self.evidence.derived_from(item)
        return observation

    def measurement(self, item: Item, context: Context) -> dict[str, Any]:
        """Return the Observation of a NUM, CODE or TEXT item (TID 300, TID 1419)."""
        observation = self.begun(item)
        observation |= value_of(self.document, item, self.limits.fhir_report_text)
        self.modify(observation, context.within(item, self.document))
        added = [
            child
            for child in item.children
            if child.relationship in (PROPERTY, ACQUISITION) and child.value_type in ("NUM", "CODE")
        ]
        self.add_components(observation, added)
        return observation

    def modify(self, observation: dict[str, Any], context: Context) -> None:
        """Add how and where it was observed; modifiers that R4 has no element for become components."""
        modifiers = dict(context.modifiers)
        site = self._taken(modifiers, "finding_site")
        method = self._taken(modifiers, "method")
        if site is not None and (concept := self.document.concept(site.code())):
            observation["bodySite"] = concept
            for child in site.children:  # laterality and topography of the site
                if child.relationship == MODIFIES and child.key:
                    modifiers[child.key] = child
        if method is not None and (concept := self.document.concept(method.code())):
            observation["method"] = concept
        if context.specimen is not None:
            observation["specimen"] = context.specimen
        self.add_components(observation, modifiers.values())

    def add_components(self, observation: dict[str, Any], items: Iterable[Item]) -> None:
        """Add items with a value as components, up to the limit."""
        components = [*observation.get("component", ())]
        for item in items:
            value = value_of(self.document, item, self.limits.fhir_report_text)
            component = {"code": code_of(self.document, item), **value, **self._modified(item)}
            if value and component not in components:
                components.append(component)
        if components:
            observation["component"] = components[: self.limits.fhir_report_components]

    def _modified(self, item: Item) -> dict[str, Any]:
        """Return what modifies an item that becomes a component, such as the breast of a dose."""
        modifiers = [c for c in item.children if c.relationship == MODIFIES]
        concepts_ = [self.document.concept(c.code()) for c in modifiers]
        extensions = [{"url": MODIFIER, "valueCodeableConcept": each} for each in concepts_ if each]
        return {"extension": extensions} if extensions else {}

    def _shared(self) -> dict[str, Any]:
        document = self.document
        shared: dict[str, Any] = {
            "status": document.status("Observation"),
            "category": [{"coding": [dict(fixed_code("imaging"))]}],
            "subject": document.subject,
            "encounter": document.encounter,
            "effectiveDateTime": document.effective,
            "issued": document.issued,
            "performer": observers(self.root),
            "device": observing_device(self.root),
            "basedOn": document.based_on,
            "partOf": [document.imaging_study],
        }
        return {name: value for name, value in shared.items() if value}

    @staticmethod
    def _taken(modifiers: dict[str, Item], name: str) -> Item | None:
        keys = [key for key in modifiers if key in concepts(name)]
        return modifiers.pop(keys[-1]) if keys else None


def identified(item: Item, keys: frozenset[str]) -> Sequence[str]:
    """Return the UIDs that items of a concept tell."""
    found = [text(child.attributes, "UID") for child in item.children if child.key in keys]
    return [uid for uid in dict.fromkeys(found) if uid]


def _identifiers(item: Item) -> list[dict[str, Any]]:
    """Return the UID of the observation, and what it is tracked by (TID 1501)."""
    own = text(item.attributes, "ObservationUID")
    uids = [*([own] if own else []), *identified(item, concepts("tracking_uid"))]
    identifiers: list[dict[str, Any]] = [uid_identifier(uid) for uid in dict.fromkeys(uids)]
    for child in item.children:
        if child.key in concepts("tracking_identifier"):
            value = text(child.attributes, "TextValue")
            if value:
                identifiers.append({"value": value})
    return identifiers


def _specimen(item: Item, document: Document) -> dict[str, Any] | None:
    uid, name = (item.first(concepts(each)) for each in ("specimen_uid", "specimen_identifier"))
    reference: dict[str, Any] = {"type": "Specimen"}
    if uid is not None and (value := text(uid.attributes, "UID")):
        reference["identifier"] = uid_identifier(value)
    if name is not None and (value := text(name.attributes, "TextValue")):
        reference["display"] = value
        system = document.data_set.systems.specimen_system
        reference.setdefault("identifier", {"system": system, "value": value})
    return reference if len(reference) > 1 else None
