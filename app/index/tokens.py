"""Every value of every attribute as a token: `path`, then a form of the value (`app.index.comparable`).

Strategy: one walk over the data set, which gives
- `00100010` for an attribute that has a value, so that an empty one can be asked for;
- `00100010=smith^john` for each form of each value, at any depth of nesting;
- `00081140+` for a sequence that occurs with several items. Keys that must match within one item then need
  more than "the data set has both tokens", so each such item is kept as a list of its own tokens: the path
  with `@` in front, its attributes, those of the items around it, and those of the items within it.
What exceeds a limit is left out and named, never an error: the instance is found by everything else.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.dicom.attribute_path import AttributePath, dotted, step_in
from app.index.comparable import forms_of
from app.limits import Limits

SEVERAL = "+"
ITEM_OF = "@"
PATHS_NAMED = 256  # most attributes that one instance names as not indexed


@dataclass(frozen=True, slots=True)
class IndexedValues:
    """What a data set can be found by."""

    tokens: list[str]
    items: list[list[str]]
    not_indexed: list[str]  # paths of attributes with values beyond a limit


def indexed_values(attributes: Mapping[str, Any], limits: Limits) -> IndexedValues:
    """Return the tokens of a data set in the DICOM JSON Model."""
    return _Walk(limits).of(attributes)


@dataclass(slots=True)
class _Item:
    """One item of a sequence: its own tokens, and where it stands."""

    path: str
    around: "_Item | None"
    tokens: list[str] = field(default_factory=list)
    within: list["_Item"] = field(default_factory=list)

    def all_tokens(self) -> Iterator[str]:
        """Yield the tokens of this item and of all items within it."""
        yield from self.tokens
        for item in self.within:
            yield from item.all_tokens()

    def listed(self) -> list[str]:
        """Return the tokens by which this item alone is found."""
        tokens = dict.fromkeys([ITEM_OF + self.path, *self.all_tokens()])
        around = self.around
        while around is not None and around.path:
            tokens.update(dict.fromkeys(around.tokens))
            around = around.around
        return list(tokens)


class _Walk:
    """One walk over a data set, with what is left of each limit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._items: dict[str, list[_Item]] = {}
        self._not_indexed: dict[str, None] = {}
        self._tokens: dict[str, None] = {}

    def of(self, attributes: Mapping[str, Any]) -> IndexedValues:
        """Return everything that the data set can be found by."""
        self._dataset(attributes, (), _Item("", None))
        items = list(self._listed_items())
        return IndexedValues(list(self._tokens), items, list(self._not_indexed)[:PATHS_NAMED])

    def _dataset(self, dataset: Mapping[str, Any], prefix: AttributePath, item: _Item) -> None:
        for tag, element in dataset.items():
            path = (*prefix, step_in(dataset, tag))
            name = dotted(path)
            if element.get("vr") == "SQ":
                self._sequence(element.get("Value") or (), path, name, item)
            else:
                self._element(element, name, item)

    def _sequence(
        self, items: Iterable[Mapping[str, Any]], path: AttributePath, name: str, around: _Item
    ) -> None:
        for number, dataset in enumerate(items):
            if number == 0:
                self._add(name, name, around)
            item = _Item(name, around)
            around.within.append(item)
            self._items.setdefault(name, []).append(item)
            self._dataset(dataset, path, item)

    def _element(self, element: Mapping[str, Any], name: str, item: _Item) -> None:
        values = element.get("Value")
        if not values:
            if "InlineBinary" in element or "BulkDataURI" in element:
                self._add(name, name, item)
            if "BulkDataURI" in element and element["vr"] not in _BINARY_VRS:
                self._not_indexed[name] = None
            return
        vr = element["vr"]
        if len(values) > self._limits.index_values:
            self._not_indexed[name] = None
            values = values[: self._limits.index_values]
        present = False
        for value in values:
            if not value and value != 0:  # null, "", a person name without components
                continue
            present = True
            indexed = False
            for form in forms_of(vr, value):
                indexed = True
                self._add(name + self._bounded(form, name), name, item)
            if not indexed:
                self._not_indexed[name] = None
        if present:
            self._add(name, name, item)

    def _bounded(self, form: str, name: str) -> str:
        limit = self._limits.index_value_bytes
        if len(form) * 4 <= limit or len(encoded := form.encode()) <= limit:
            return form
        self._not_indexed[name] = None
        return encoded[:limit].decode(errors="ignore")

    def _add(self, token: str, name: str, item: _Item) -> None:
        if token not in self._tokens:
            if len(self._tokens) >= self._limits.index_tokens:
                self._not_indexed[name] = None
                return
            self._tokens[token] = None
        item.tokens.append(token)

    def _listed_items(self) -> Iterator[list[str]]:
        """Yield the items of sequences with several, those with the fewest first, up to the limits.

        A sequence that has no room is left without its mark: its keys then match over all items together.
        """
        several = [entry for entry in self._items.items() if len(entry[1]) > 1]
        items_left, tokens_left = self._limits.index_items, self._limits.index_tokens
        for name, items in sorted(several, key=lambda entry: len(entry[1])):
            listed = [item.listed() for item in items[: items_left + 1]]
            items_left -= len(listed)
            tokens_left -= sum(len(tokens) for tokens in listed)
            if items_left < 0 or tokens_left < 0:
                self._not_indexed[name] = None
                continue
            self._tokens[name + SEVERAL] = None
            yield from listed


_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
