"""Which elements of an ImagingStudy Coregister wrote itself, so that it changes those and no others.

Strategy: an extension keeps a checksum of each element that was made from objects. An element that still has
its checksum is as Coregister left it, and a further instance may add to it; any other was written by
somebody, and stays. What instances say is put together by rules that ask for no order: the union of lists,
the earliest time, both sides, else the first of the values as they are sorted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import orjson

from app.fhir.conversions import side
from app.fhir.date_time import earliest
from app.fhir.tables import lateralities

AUTHORED_EXTENSION = "urn:coregister:authored"


@dataclass(frozen=True, slots=True)
class Said:
    """The value that objects give an element; it is shared by studies, and never changed."""

    value: Any
    checksum: str

    def copy(self) -> Any:
        """Return the value for a resource, with which anybody may do what he likes."""
        if isinstance(self.value, str | int):
            return self.value
        return orjson.loads(orjson.dumps(self.value))


def said(value: Any, most: int) -> Said:
    """Return a value in its own order; of a list no more than `most` entries."""
    ordered = _ordered(value, most)
    return Said(ordered, checksum(ordered))


def fill(element: dict[str, Any], made: Mapping[str, Said], *, most: int) -> None:
    """Give a resource, or a series, what instances say: where nothing is, or where that was said here before.

    A list gets no more than `most` entries.
    """
    known = _checksums(element)
    changed = False
    for name, new in made.items():
        current = element.get(name)
        if current == new.value:
            continue
        if current is not None:
            if name not in known or known[name] != checksum(current):
                continue
            new = said(joined(name, current, new.value), most)  # noqa: PLW2901
            if new.checksum == known[name]:
                continue
        element[name], known[name], changed = new.copy(), new.checksum, True
    if changed:
        _remember(element, known)


def withdraw(element: dict[str, Any], name: str) -> None:
    """Take an element out that was made from objects, for something better to take its place."""
    known = _checksums(element)
    if name in known and checksum(element.get(name)) == known.pop(name):
        element.pop(name, None)
        _remember(element, known)


def forget(element: dict[str, Any]) -> None:
    """Take out what was made from objects that are no longer there."""
    for name, known in _checksums(element).items():
        if name in element and checksum(element[name]) == known:
            del element[name]
    _remember(element, {})


def authored(element: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the elements that are as Coregister made them from objects."""
    known = _checksums(element).items()
    return frozenset(name for name, sum_ in known if checksum(element.get(name)) == sum_)


def is_memory(extension: Mapping[str, Any]) -> bool:
    """Tell whether an extension is the one that keeps the checksums."""
    return extension.get("url") == AUTHORED_EXTENSION


def joined(name: str, one: Any, other: Any) -> Any:
    """Return what two values of an element are together, whichever came first."""
    if name == "started":
        return earliest(one, other)
    if name == "laterality":
        return side(_sides(one) | _sides(other)) or one
    if isinstance(one, list):
        return [*one, *other]
    return min(one, other, key=_preference)


def checksum(value: Any) -> str:
    """Return the checksum of a value, which a reference that was made literal does not change."""
    return f"{crc32(_canonical(value)):08x}"


def _ordered(value: Any, most: int) -> Any:
    """Return a list with each entry once, in its own order, and not too long; other values as they are."""
    if not isinstance(value, list):
        return value
    entries: dict[bytes, Any] = {}
    for entry in value:
        entries.setdefault(_canonical(entry), entry)
    return [entries[key] for key in sorted(entries)[:most]]


def _preference(value: Any) -> tuple[bool, bool, Any]:
    """Sort what is coded or identified before what is only named."""
    if not isinstance(value, Mapping):
        return (False, isinstance(value, str), value)
    return (not ("code" in value or "identifier" in value), True, _canonical(value).decode())


def _sides(coding: Mapping[str, Any]) -> set[str]:
    return {side for side, (code, _) in lateralities().items() if code == coding.get("code")}


def _canonical(value: Any) -> bytes:
    return orjson.dumps(_logical(value), option=orjson.OPT_SORT_KEYS)


def _logical(value: Any) -> Any:
    """Return a value without what makes references literal that have an identifier."""
    if isinstance(value, list):
        return [_logical(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: _logical(part)
        for name, part in value.items()
        if name != "reference" or "identifier" not in value
    }


def _checksums(element: Mapping[str, Any]) -> dict[str, str]:
    for extension in element.get("extension", ()):
        if is_memory(extension):
            pairs = (each.partition(":") for each in extension.get("valueString", "").split())
            return {name: known for name, _, known in pairs}
    return {}


def _remember(element: dict[str, Any], known: Mapping[str, str]) -> None:
    kept = [each for each in element.get("extension", ()) if not is_memory(each)]
    if known:
        pairs = " ".join(f"{name}:{known[name]}" for name in sorted(known))
        kept.append({"url": AUTHORED_EXTENSION, "valueString": pairs})
    element["extension"] = kept
    if not kept:
        del element["extension"]
