"""Names of a FHIR Patient as component groups of a DICOM person name (PS3.5 §6.2.1)."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from app.fhir.attributes import fhir_string
from app.fhir.tables import name_representations

_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
# which of several names of a person is shown; others (old, maiden, nickname, anonymous) are not
_USES = ("usual", "official", None, "temp")
_LONGEST_GROUP = 64  # characters of a component group
_SEPARATORS = re.compile(r"[\^=\\\s]+")


@dataclass(frozen=True, slots=True)
class SpokenName:
    """One component group, or one HumanName."""

    family: str = ""
    given: tuple[str, ...] = ()  # given names, then middle ones
    prefix: str = ""
    suffix: str = ""
    text: str = ""  # of a HumanName that has nothing but it

    @classmethod
    def of_group(cls, group: object) -> Self:
        """Return a component group: family^given^middle^prefix^suffix (PS3.5 §6.2.1.1)."""
        if not isinstance(group, str):
            return cls()
        parts = [fhir_string(part) for part in group.split("^")][:5]
        family, given, middle, prefix, suffix = (parts + [""] * 5)[:5]
        return cls(family, tuple(filter(None, (given, middle))), prefix, suffix)

    @classmethod
    def of_human_name(cls, name: Mapping[str, Any]) -> Self:
        """Return a HumanName."""
        whole = cls(
            _plain(name.get("family")),
            tuple(filter(None, map(_plain, _list(name.get("given"))))),
            " ".join(filter(None, map(_plain, _list(name.get("prefix"))))),
            " ".join(filter(None, map(_plain, _list(name.get("suffix"))))),
        )
        return whole or cls(text=_plain(name.get("text")))

    def __bool__(self) -> bool:
        """Tell whether there is a name at all."""
        return self != SpokenName()

    def group(self) -> str:
        """Return it as a component group, of at most 64 characters."""
        if self.text:
            family, _, given = (part.strip() for part in self.text.partition(","))
            return f"{family}^{given}"[:_LONGEST_GROUP].rstrip("^ ")
        given, middle = (*self.given, "", "")[0], " ".join(self.given[1:])
        components = (self.family, given, middle, self.prefix, self.suffix)
        return "^".join(components)[:_LONGEST_GROUP].rstrip("^ ")

    def same_as(self, human: "SpokenName") -> bool:
        """Tell whether a HumanName is this name: by components, whatever the case and the padding."""
        if human.text:
            return _folded(human.text) in {_folded(each) for each in self._spoken()}
        written = SpokenName.of_group(human.group())
        return self.key in {human.key, written.key}

    @property
    def key(self) -> tuple[str, ...]:
        """Return its components as they are compared."""
        parts = (self.family, " ".join(self.given), self.prefix, self.suffix)
        return tuple(map(_folded, parts))

    def _spoken(self) -> tuple[str, ...]:
        given = " ".join(self.given)
        return (
            " ".join(filter(None, (self.prefix, given, self.family, self.suffix))),
            " ".join(filter(None, (self.family, given))),
            ", ".join(filter(None, (self.family, given))),
        )


def shown_name(names: object) -> dict[str, SpokenName]:
    """Return which of a Patient's names is shown, by component group (`Alphabetic`, …).

    Component groups of one name are not taken from names of different uses.
    """
    by_use: dict[str | None, dict[str, SpokenName]] = {}
    for name in _list(names):
        if isinstance(name, Mapping) and (spoken := SpokenName.of_human_name(name)):
            by_use.setdefault(name.get("use"), {}).setdefault(_kind(name), spoken)
    return next((by_use[use] for use in _USES if use in by_use), {})


def _kind(name: Mapping[str, Any]) -> str:
    """Return the component group that a HumanName is for; one that does not say is alphabetic."""
    codes = [
        extension.get("valueCode")
        for extension in _list(name.get("extension"))
        if isinstance(extension, Mapping) and extension.get("url") == _REPRESENTATION
    ]
    kinds = {code: kind for kind, code in name_representations().items()}
    return next((kinds[code] for code in codes if code in kinds), "Alphabetic")


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _plain(value: object) -> str:
    """Return text without what separates components and groups."""
    return fhir_string(_SEPARATORS.sub(" ", value)) if isinstance(value, str) else ""


def _folded(value: str) -> str:
    return " ".join(unicodedata.normalize("NFC", value).casefold().split())
