"""The Devices that made instances, of which the FHIR server may not know yet.

Strategy: a Device is made in the transaction of the first study that refers to it, and remembered. After a
restart it is offered once more, which costs that transaction a second try. Where a write is refused although
its Devices were known, somebody may have deleted one: then all are offered.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.fhir.device import distinct_devices

Device = Mapping[str, Any]

_REMEMBERED = 4_096


class Devices:
    """Devices by id; those that are known to be there are remembered."""

    def __init__(self) -> None:
        """Know none."""
        self._known: OrderedDict[str, None] = OrderedDict()

    @staticmethod
    def of(instances: Iterable[Mapping[str, Any]]) -> Sequence[Device]:
        """Return the Devices that made these instances."""
        return distinct_devices(instances)

    def missing(self, devices: Iterable[Device]) -> list[Device]:
        """Return those that are not known to be there."""
        return [device for device in devices if device["id"] not in self._known]

    def remember(self, devices: Iterable[Device]) -> None:
        """Know from now on that these are there."""
        for device in devices:
            self._known[device["id"]] = None
            self._known.move_to_end(device["id"])
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def doubt(self, devices: Iterable[Device]) -> None:
        """Know no longer whether these are there."""
        for device in devices:
            self._known.pop(device["id"], None)
