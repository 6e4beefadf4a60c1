"""A Device is made of what identifies it, and one device is one resource."""

from typing import Any

import pytest

from app.fhir.device import device_reference, device_resource, distinct_devices
from tests.unit.fhir.dicom_json import attributes

SCANNER = {"Manufacturer": "ACME", "ManufacturerModelName": "X1", "DeviceSerialNumber": "123"}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"StationName": "CT2"}, True),
        ({"SoftwareVersions": "9"}, True),
        ({"DeviceUID": "1.2.3"}, True),
        ({"Manufacturer": " ACME "}, True),
        ({"DeviceSerialNumber": "124"}, False),
        ({"ManufacturerModelName": "X2"}, False),
        ({"Manufacturer": "Other"}, False),
    ],
)
def test_manufacturer_model_and_serial_number_tell_devices_apart(
    change: dict[str, Any], *, same: bool
) -> None:
    one, other = (device_resource(attributes(**given)) for given in (SCANNER, SCANNER | change))

    assert one is not None
    assert other is not None
    assert (one["id"] == other["id"]) is same


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Manufacturer": "ACME", "ManufacturerModelName": "X1"},
        {"DeviceSerialNumber": "123"},  # of which manufacturer?
        {"Manufacturer": "ACME", "DeviceSerialNumber": " "},
    ],
)
def test_what_does_not_identify_a_device_makes_none(given: dict[str, Any]) -> None:
    reference = device_reference(attributes(**given))

    assert device_resource(attributes(**given)) is None
    assert "reference" not in (reference or {})


def test_the_reference_names_the_resource() -> None:
    resource, reference = (
        device_resource(attributes(**SCANNER)),
        device_reference(attributes(**SCANNER)),
    )

    assert resource is not None
    assert reference == {
        "reference": f"Device/{resource['id']}",
        "display": "ACME X1",
        "type": "Device",
    }


def test_instances_of_two_devices_make_two() -> None:
    one, two = attributes(**SCANNER), attributes(**SCANNER | {"DeviceSerialNumber": "124"})

    devices = distinct_devices([one, one, two, one, attributes(), two])

    assert [device["serialNumber"] for device in devices] == ["123", "124"]
