"""What a series or study says of itself once some of its instances are gone.

Its attributes are the latest that its instances gave (`app.index.documents`), so they are collected
anew from those that remain, newest first, until every attribute that it had is found: as a rule after one.
"""

from collections.abc import Mapping
from typing import Any

from app.dicom.qido_grammar import Level
from app.index.documents import own_attributes
from app.index.levels import COMPUTED, attributes_of


class Remaining:
    """The attributes of one level, from instances that are taken in, newest first."""

    def __init__(self, level: Level, before: Mapping[str, Any] | None) -> None:
        """Look for the attributes of the document `before`; without one, every instance is needed."""
        self._level = level
        self._wanted: dict[str, Any] | None = None
        if before is not None:
            attributes = own_attributes(before)
            self._wanted = {tag: e for tag, e in attributes.items() if tag not in COMPUTED}
        self.attributes: dict[str, Any] = {}
        self.stored_at: str | None = None  # of the newest

    def take(self, source: Mapping[str, Any]) -> None:
        """Take the document of an instance in, the newest first."""
        self.stored_at = self.stored_at or source["stored_at"]
        attributes = own_attributes(source)
        for tag, element in attributes_of(self._level, attributes).items():
            if tag not in self.attributes or (
                _has_value(element) and not _has_value(self.attributes[tag])
            ):
                self.attributes[tag] = element

    @property
    def complete(self) -> bool:
        """Tell whether a further instance could not add anything."""
        return self._wanted is not None and all(
            tag in self.attributes
            and (_has_value(self.attributes[tag]) or not _has_value(self._wanted[tag]))
            for tag in self._wanted
        )


def _has_value(element: Mapping[str, Any]) -> bool:
    return bool(element.keys() - {"vr"})
