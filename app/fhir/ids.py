"""The logical ids of the resources that Coregister makes.

They are computed, never assigned by the server: two writers that see the same study, patient or
address for the first time name the same resource, and the second one gets a version conflict
instead of making a duplicate. A UUID with hyphens is never purely numeric, which HAPI reserves
for the ids that it assigns itself.
"""

import json
from collections.abc import Iterable
from uuid import NAMESPACE_OID, NAMESPACE_URL, uuid5

_PATIENTS = uuid5(NAMESPACE_URL, "urn:coregister:patient")
_ENDPOINTS = uuid5(NAMESPACE_URL, "urn:coregister:endpoint")
_SUBSCRIPTIONS = uuid5(NAMESPACE_URL, "urn:coregister:subscription")
_DEVICES = uuid5(NAMESPACE_URL, "urn:coregister:device")
_NAMED = uuid5(NAMESPACE_URL, "urn:coregister:named")
_PROVENANCES = uuid5(NAMESPACE_URL, "urn:coregister:provenance")
_DERIVED = uuid5(NAMESPACE_URL, "urn:coregister:derived")


def imaging_study_id(study_instance_uid: str) -> str:
    """Return the id of the ImagingStudy of a study."""
    return str(uuid5(NAMESPACE_OID, study_instance_uid))


def patient_id(system: str, value: str) -> str:
    """Return the id of the Patient that is made for an identifier."""
    # JSON keeps ("a|b", "c") and ("a", "b|c") apart
    return str(uuid5(_PATIENTS, json.dumps([system, value])))


def device_id(manufacturer: str, model: str, number: str) -> str:
    """Return the id of the Device with this serial number, or UID where it has none."""
    return str(uuid5(_DEVICES, json.dumps([manufacturer, model, number])))


def named_id(resource_type: str, system: str, value: str) -> str:
    """Return the id of a Practitioner or an Encounter that is made for an identifier."""
    return str(uuid5(_NAMED, json.dumps([resource_type, system, value])))


def provenance_id(deeds: Iterable[str]) -> str:
    """Return the id of the Provenance of deeds that have these ids."""
    return str(uuid5(_PROVENANCES, json.dumps(sorted(deeds))))


def derived_id(resource_type: str, sop_instance_uid: str, place: str) -> str:
    """Return the id of a resource made of a report or document; `place` is that of its content item."""
    return str(uuid5(_DERIVED, json.dumps([resource_type, sop_instance_uid, place])))


def endpoint_id(base_url: str) -> str:
    """Return the id of the Endpoint for a DICOMweb address."""
    return str(uuid5(_ENDPOINTS, base_url.rstrip("/")))


def subscription_id(archive: str, resource_type: str) -> str:
    """Return the id of an archive's Subscription on a type of resource."""
    return str(uuid5(_SUBSCRIPTIONS, json.dumps([archive, resource_type])))
