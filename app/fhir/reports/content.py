"""The content tree of a structured report as the mapping reads it (PS3.3 §C.17.3): items with their concepts.

`app.dicom.structured_report` reads the same tree for people. Here an item keeps its attributes, because a
measurement is a number with a coded unit and not a text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.attributes import items, text
from app.fhir.coding import code_value, concept_key

Attributes = Mapping[str, Any]

MODIFIES, CONTEXT, ACQUISITION = "HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT"
INFERRED, SELECTED, PROPERTY, CONTAINS = (
    "INFERRED FROM",
    "SELECTED FROM",
    "HAS PROPERTIES",
    "CONTAINS",
)
DEEPEST = 64  # levels that are looked at: more than the gate lets in


@dataclass(frozen=True, slots=True)
class Item:
    """One content item."""

    attributes: Attributes
    path: str  # its place in the tree: 1 for the first item below the root, 1.2 for the second below that
    value_type: str
    relationship: str
    key: str  # its concept name as SCHEME:VALUE, empty where it has none
    children: tuple["Item", ...]

    def walk(self) -> Iterator["Item"]:
        """Yield all items below this one, each before what is below it."""
        for child in self.children:
            yield child
            yield from child.walk()

    def first(self, keys: frozenset[str]) -> "Item | None":
        """Return the first of its own items that has one of these concept names."""
        return next((child for child in self.children if child.key in keys), None)

    def code(self) -> Attributes | None:
        """Return the code that is the value of a CODE item."""
        return next(iter(items(self.attributes, "ConceptCodeSequence")), None)

    def name(self) -> Attributes | None:
        """Return the concept name of the item."""
        return next(iter(items(self.attributes, "ConceptNameCodeSequence")), None)


def read_tree(attributes: Attributes) -> Item:
    """Return the root of a data set's content tree."""
    return _item(attributes, "", 0)


def _item(attributes: Attributes, path: str, depth: int) -> Item:
    below = items(attributes, "ContentSequence") if depth < DEEPEST else ()
    prefix = f"{path}." if path else ""
    names = items(attributes, "ConceptNameCodeSequence")
    return Item(
        attributes=attributes,
        path=path,
        value_type=text(attributes, "ValueType"),
        relationship=text(attributes, "RelationshipType"),
        key=concept_key(names[0]) if names else "",
        children=tuple(
            _item(child, f"{prefix}{number}", depth + 1) for number, child in enumerate(below, 1)
        ),
    )


def value_key(item: Item | None) -> str:
    """Return the value of a CODE item as SCHEME:VALUE."""
    code = None if item is None else item.code()
    return "" if code is None or not code_value(code) else concept_key(code)
