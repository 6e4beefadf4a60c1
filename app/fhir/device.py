"""The Device that made a series (General Equipment Module, PS3.3 §C.7.5.1).

A device is known by manufacturer, model and serial number, or by its UID where it tells no serial number. One
that tells neither is any of its model: it is named, and no resource is made of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from app.fhir.attributes import items, path, text, texts_at
from app.fhir.ids import device_id
from app.fhir.tables import code_system

_SOURCE = "urn:coregister"
_IMAGING_EQUIPMENT = "314789007"
_SOFTWARE = path("SoftwareVersions")
_TELLING = tuple(
    path(keyword)[0]
    for keyword in ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "DeviceUID")
)


def device_reference(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a reference to the Device of an instance; only its name where nothing identifies it."""
    manufacturer, model, number = _key(attributes)
    reference: dict[str, Any] = {}
    if number:
        reference["reference"] = f"Device/{device_id(manufacturer, model, number)}"
    if name := " ".join(filter(None, (manufacturer, model))):
        reference["display"] = name
    return {**reference, "type": "Device"} if reference else None


def device_resource(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the Device of an instance; None where nothing identifies it."""
    manufacturer, model, number = _key(attributes)
    if not number:
        return None
    elements: dict[str, Any] = {
        "identifier": _identifiers(attributes),
        "udiCarrier": _udi(attributes),
        "manufacturer": manufacturer,
        "serialNumber": text(attributes, "DeviceSerialNumber"),
        "deviceName": _names(attributes, model),
        "modelNumber": model,
        "version": [{"value": version} for version in texts_at(attributes, _SOFTWARE)],
    }
    return {
        "resourceType": "Device",
        "id": device_id(manufacturer, model, number),
        "meta": {"source": _SOURCE},
        "status": "active",
        "type": {
            "coding": [{"system": code_system("snomed"), "code": _IMAGING_EQUIPMENT}],
            "text": "Diagnostic imaging equipment",
        },
        **{name: value for name, value in elements.items() if value},
    }


def distinct_devices(instances: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the Devices that instances were made with, each once."""
    devices: dict[str, dict[str, Any]] = {}
    before: list[Any] | None = None
    for attributes in instances:
        told = [attributes.get(tag) for tag in _TELLING]
        if told != before and (device := device_resource(attributes)) is not None:
            devices.setdefault(device["id"], device)
        before = told
    return list(devices.values())


def _key(attributes: Mapping[str, Any]) -> tuple[str, str, str]:
    serial, uid = text(attributes, "DeviceSerialNumber"), text(attributes, "DeviceUID")
    manufacturer, model = (
        text(attributes, "Manufacturer"),
        text(attributes, "ManufacturerModelName"),
    )
    # a serial number is one of its manufacturer's: without that it says nothing
    return manufacturer, model, (serial if manufacturer or model else "") or uid


def _identifiers(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    identifiers: list[dict[str, Any]] = []
    if uid := text(attributes, "DeviceUID"):
        identifiers.append({"system": code_system("dicom_uid"), "value": f"urn:oid:{uid}"})
    if serial := text(attributes, "DeviceSerialNumber"):
        kind = {"coding": [{"system": code_system("identifier_type"), "code": "SNO"}]}
        identifiers.append({"type": kind, "value": serial})
    return identifiers


def _udi(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return unique device identifiers in the form that people read (PS3.3 §10.29)."""
    known = [text(item, "UniqueDeviceIdentifier") for item in items(attributes, "UDISequence")]
    return [{"carrierHRF": each} for each in known if each]


def _names(attributes: Mapping[str, Any], model: str) -> list[dict[str, Any]]:
    names = []
    if station := text(attributes, "StationName"):
        names.append({"name": station, "type": "user-friendly-name"})
    if model:
        names.append({"name": model, "type": "model-name"})
    return names
