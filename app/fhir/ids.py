"""The logical ids of the resources that Coregister makes.

They are computed, never assigned by the server: two writers that see the same study, patient or
address for the first time name the same resource, and the second one gets a version conflict
instead of making a duplicate. A UUID with hyphens is never purely numeric, which HAPI reserves
for the ids that it assigns itself.
"""

import json
from uuid import NAMESPACE_OID, NAMESPACE_URL, uuid5

_PATIENTS = uuid5(NAMESPACE_URL, "urn:coregister:patient")
_ENDPOINTS = uuid5(NAMESPACE_URL, "urn:coregister:endpoint")


def imaging_study_id(study_instance_uid: str) -> str:
    """Return the id of the ImagingStudy of a study."""
    return str(uuid5(NAMESPACE_OID, study_instance_uid))


def patient_id(system: str, value: str) -> str:
    """Return the id of the Patient that is made for an identifier."""
    # JSON keeps ("a|b", "c") and ("a", "b|c") apart
    return str(uuid5(_PATIENTS, json.dumps([system, value])))


def endpoint_id(base_url: str) -> str:
    """Return the id of the Endpoint for a DICOMweb address."""
    return str(uuid5(_ENDPOINTS, base_url.rstrip("/")))
