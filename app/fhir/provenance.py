r"""Provenance: what was done to a study, when, by whom, and with which bytes.

An instance is an entity with its SOP Instance UID as identifier and the digest of its object as an extension.
Many instances are one entity, the study, with their number and one digest over all: SHA-256 of the lines
`{SOP Instance UID} {SHA-256 in hex}\n`, sorted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from app.fhir.ids import imaging_study_id, provenance_id
from app.fhir.tables import code_system, provenance_codes

DIGEST = "urn:coregister:sha256"
DIGEST_OF_ALL = "urn:coregister:sha256-of-instances"
INSTANCES = "urn:coregister:instances"

Activity = Literal["create", "replace", "delete", "correct"]


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asked for something; both are empty where Coregister acts by itself."""

    user: str = ""  # as whoever authenticated the request says
    client: str = ""  # the program, as it names itself (RFC 9110 §10.1.5)


@dataclass(frozen=True, slots=True)
class TracedInstance:
    """An instance that something was done with."""

    sop_instance_uid: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done to one study."""

    id: str  # that of its intent
    activity: Activity
    study_instance_uid: str
    recorded: str  # RFC 3339, UTC
    requester: Requester = Requester()
    imaging_study_version: int = 0  # the version that has it; 0 where that is not known
    instances: tuple[TracedInstance, ...] = ()
    sources: tuple[str, ...] = ()  # references to what caused it, such as a version of a Patient
    also: tuple[str, ...] = ()  # references to further targets

    @property
    def occasion(self) -> tuple[object, ...]:
        """Return what deeds have in common that one Provenance may tell of."""
        return (self.study_instance_uid, self.activity, self.requester, self.sources, self.also)


def provenance_resource(
    deeds: Sequence[Deed], *, most_instances: int, literal: bool = True
) -> dict[str, Any]:
    """Return the Provenance of deeds of one occasion.

    Without `literal` its target is named by identifier, for a study that FHIR does not have any more.
    """
    last = max(deeds, key=lambda deed: (deed.recorded, deed.imaging_study_version))
    first = min(deeds, key=lambda deed: deed.recorded)
    entities = _entities(deeds, most_instances)
    resource = {
        "resourceType": "Provenance",
        "id": provenance_id(deed.id for deed in deeds),
        "target": _targets(last, max(d.imaging_study_version for d in deeds), literal=literal),
        "occurredPeriod": {"start": first.recorded, "end": last.recorded},
        "recorded": last.recorded,
        "activity": _activity(last.activity),
        "agent": list(_agents(last.requester)),
    }
    return {**resource, "entity": entities} if entities else resource


def _targets(deed: Deed, version: int, *, literal: bool) -> list[dict[str, Any]]:
    study: dict[str, Any] = {
        "type": "ImagingStudy",
        "identifier": _uid(deed.study_instance_uid),
    }
    if not literal:
        return [study]
    reference = f"ImagingStudy/{imaging_study_id(deed.study_instance_uid)}"
    study["reference"] = f"{reference}/_history/{version}" if version else reference
    return [study, *({"reference": each} for each in deed.also)]


def _entities(deeds: Sequence[Deed], most: int) -> list[dict[str, Any]]:
    role = provenance_codes()["role"][deeds[0].activity]
    instances = {each.sop_instance_uid: each for deed in deeds for each in deed.instances}
    entities: list[dict[str, Any]] = [
        {"role": role, "what": {"reference": each}} for each in deeds[0].sources
    ]
    if len(instances) > most:
        return [*entities, _summary(role, deeds[0], list(instances.values()))]
    return [*entities, *(_entity(role, each) for each in instances.values())]


def _entity(role: str, instance: TracedInstance) -> dict[str, Any]:
    what = {"identifier": _uid(instance.sop_instance_uid)}
    entity: dict[str, Any] = {"role": role, "what": what}
    if instance.sha256 is not None:
        entity["extension"] = [{"url": DIGEST, "valueString": instance.sha256}]
    return entity


def _summary(role: str, deed: Deed, instances: Sequence[TracedInstance]) -> dict[str, Any]:
    extension: list[dict[str, Any]] = [{"url": INSTANCES, "valueUnsignedInt": len(instances)}]
    if all(each.sha256 is not None for each in instances):
        extension.append({"url": DIGEST_OF_ALL, "valueString": digest_of_all(instances)})
    what = {"identifier": _uid(deed.study_instance_uid)}
    return {"extension": extension, "role": role, "what": what}


def digest_of_all(instances: Sequence[TracedInstance]) -> str:
    """Return one digest over those of many instances; their order does not matter."""
    lines = sorted(f"{each.sop_instance_uid} {each.sha256}\n" for each in instances)
    return sha256("".join(lines).encode()).hexdigest()


def _agents(requester: Requester) -> list[dict[str, Any]]:
    archive = {"system": "urn:coregister", "value": "coregister"}
    agents = [_agent("archive", {"type": "Device", "identifier": archive, "display": "Coregister"})]
    if requester.user:
        agents.append(_agent("user", {"display": requester.user}))
    if requester.client:
        agents.append(_agent("client", {"display": requester.client}))
    return agents


def _agent(part: str, who: Mapping[str, Any]) -> dict[str, Any]:
    coding = {"system": code_system("participant_type"), "code": provenance_codes()["agent"][part]}
    return {"type": {"coding": [coding]}, "who": dict(who)}


def _activity(activity: Activity) -> dict[str, Any]:
    said = provenance_codes()["activity"][activity]
    coding = {"system": code_system("data_operation"), "code": said["code"]}
    return {"coding": [coding], "text": said["text"]}


def _uid(uid: str) -> dict[str, str]:
    return {"system": code_system("dicom_uid"), "value": f"urn:oid:{uid}"}
