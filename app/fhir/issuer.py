"""Who issued a PatientID, from the system of a FHIR Identifier: the way back of `app.fhir.identifiers`."""

from typing import Any
from urllib.parse import unquote

from app.dicom.correction import Element
from app.fhir.identifiers import IdentifierSystems

_ISSUER, _QUALIFIERS = "00100021", "00100024"
_UNIVERSAL_ENTITY_ID, _UNIVERSAL_ENTITY_ID_TYPE = "00400032", "00400033"
_LONGEST_LOCAL = 64  # characters of an LO
_TYPES = (("urn:oid:", "ISO"), ("urn:uuid:", "UUID"), ("", "URI"))


def issuer_of(system: str, systems: IdentifierSystems) -> dict[str, Element] | None:
    """Return IssuerOfPatientID or its qualifiers for a system, nothing for the one that needs no issuer.

    None where DICOM cannot name the issuer: reading the attributes back would give another system.
    """
    attributes = _attributes(system, systems)
    return attributes if systems.of_patient_id(attributes) == system else None


def _attributes(system: str, systems: IdentifierSystems) -> dict[str, Element]:
    if system == systems.patient_id_system:
        return {}
    local = unquote(system.removeprefix(systems.issuer_system_prefix))
    if system.startswith(systems.issuer_system_prefix) and len(local) <= _LONGEST_LOCAL:
        return {_ISSUER: {"vr": "LO", "Value": [local]}} if "\\" not in local else {}
    prefix, kind = next(each for each in _TYPES if system.startswith(each[0]))
    qualifiers: dict[str, Any] = {
        _UNIVERSAL_ENTITY_ID: {"vr": "UT", "Value": [system.removeprefix(prefix)]},
        _UNIVERSAL_ENTITY_ID_TYPE: {"vr": "CS", "Value": [kind]},
    }
    return {_QUALIFIERS: {"vr": "SQ", "Value": [qualifiers]}}
