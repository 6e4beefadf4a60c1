"""A Device is written with the first study that refers to it, and is not forgotten before its time."""

from app.services import devices as module
from app.services.devices import Devices
from tests.unit.fhir.dicom_json import attributes


def scanner(number: int) -> dict[str, object]:
    return attributes(Manufacturer="ACME", DeviceSerialNumber=str(number))


def test_a_device_is_missing_until_it_was_written() -> None:
    devices = Devices()
    both = devices.of([scanner(1), scanner(2)])

    assert devices.missing(both) == list(both)
    devices.remember(both[:1])
    assert devices.missing(both) == [both[1]]


def test_a_device_in_doubt_is_missing_again() -> None:
    devices = Devices()
    both = devices.of([scanner(1), scanner(2)])
    devices.remember(both)
    devices.doubt(both[:1])

    assert devices.missing(both) == [both[0]]


def test_no_more_are_remembered_than_there_is_room_for() -> None:
    devices = Devices()
    many = devices.of(scanner(number) for number in range(module._REMEMBERED + 10))
    for each in many:
        devices.remember([each])

    assert list(devices.missing(many)) == list(many[:10])
