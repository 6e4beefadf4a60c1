"""Every value of every attribute as a token: `path`, then a form of the value (`app.index.comparable`).

Strategy: one walk over the data set, which gives
- `00100010` for an attribute that has a value, so that an empty one can be asked for;
- `00100010=smith^john` for each form of each value, at any depth of nesting;
- `00081140+` for a sequence that occurs with several items. Keys that must match within one item then need
  more than "the data set has both tokens", so each such item is kept as a list of its own tokens: the path
  with `@` in front, its attributes, those of the items around it, and those of the items within it.
What exceeds a limit is left out and named, never an error: the instance is found by everything else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.dicom.attribute_path import step_in
from app.index.comparable import forms_of
from app.limits import Limits

SEVERAL = "+"
ITEM_OF = "@"
ITEMS_NUMBERED = (
    32  # items of a sequence that are told apart by number; further ones share the last
)
SHARE = 4  # no attribute takes more than this part of the tokens
PATHS_NAMED = 256  # most attributes that one instance names as not indexed
NOT_NAMED = "*"  # stands for all further ones


@dataclass(frozen=True, slots=True)
class IndexedValues:
    """What a data set can be found by."""

    tokens: list[str]
    items: list[list[str]]
    # paths of attributes with values beyond a limit, or that are not valid; a sequence whose items are too
    # many to be told apart is named with its mark
    not_indexed: list[str]


def numbered(path: str, number: int) -> str:
    """Return the token of an item by its number, which the items within it have as well."""
    return f"{ITEM_OF}{path}{ITEM_OF}{min(number, ITEMS_NUMBERED)}"


def indexed_values(attributes: Mapping[str, Any], limits: Limits) -> IndexedValues:
    """Return the tokens of a data set in the DICOM JSON Model."""
    return _Walk(limits).of(attributes)


@dataclass(slots=True)
class _Item:
    """One item of a sequence: its own tokens, and where it stands."""

    path: str
    around: "_Item | None"
    number: int = 0
    tokens: list[str] = field(default_factory=list)
    within: list["_Item"] = field(default_factory=list)

    def all_tokens(self) -> Iterator[str]:
        """Yield the tokens of this item and of all items within it."""
        yield from self.tokens
        for item in self.within:
            yield from item.all_tokens()

    def listed(self) -> list[str]:
        """Return the tokens by which this item alone is found."""
        own = (ITEM_OF + self.path, numbered(self.path, self.number))
        tokens = dict.fromkeys([*own, *self.all_tokens()])
        around = self.around
        while around is not None and around.path:
            tokens.update(dict.fromkeys([numbered(around.path, around.number), *around.tokens]))
            around = around.around
        return list(tokens)


class _Walk:
    """One walk over a data set, with what it found so far."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most_of_one = limits.index_tokens // SHARE
        self._paths: dict[str, dict[str, None]] = {}
        self._items: dict[str, list[_Item]] = {}
        self._not_indexed: dict[str, None] = {}

    def of(self, attributes: Mapping[str, Any]) -> IndexedValues:
        """Return everything that the data set can be found by."""
        self._dataset(attributes, "", _Item("", None))
        tokens = self._admitted()
        items: list[list[str]] = []
        for name, listed in self._listed_items():
            tokens.append(name + SEVERAL)
            items += listed
        return IndexedValues(tokens, items, self._named())

    def _dataset(self, dataset: Mapping[str, Any], prefix: str, item: _Item) -> None:
        for tag, element in dataset.items():
            name = prefix + step_in(dataset, tag)
            if element["vr"] == "SQ":
                self._sequence(element.get("Value"), name, item)
            else:
                self._element(element, name, item)

    def _sequence(
        self, items: Sequence[Mapping[str, Any]] | None, name: str, around: _Item
    ) -> None:
        if not items:
            return
        self._add([name], name, around)
        known = self._items.setdefault(name, [])
        for dataset in items:
            item = _Item(name, around, len(known))
            around.within.append(item)
            known.append(item)
            self._dataset(dataset, name + ".", item)

    def _element(self, element: Mapping[str, Any], name: str, item: _Item) -> None:
        values = element.get("Value")
        vr = element["vr"]
        if not values:
            if "InlineBinary" in element or "BulkDataURI" in element:
                self._add([name], name, item)
                if vr not in _BINARY_VRS and "BulkDataURI" in element:
                    self._not_indexed[name] = None
            return
        if len(self._paths.get(name, ())) >= self._most_of_one:
            values = values[:1]  # no room for more: see `_add`
            self._not_indexed[name] = None
        if len(values) > self._limits.index_values:
            self._not_indexed[name] = None
            values = values[: self._limits.index_values]
        tokens: list[str] = []
        for value in values:
            if not value and value != 0:  # null, "", a person name without components
                continue
            if not tokens:
                tokens.append(name)
            forms = forms_of(vr, value)
            if forms:
                tokens += [name + self._bounded(form, name) for form in forms]
            else:
                self._not_indexed[name] = None
        self._add(tokens, name, item)

    def _bounded(self, form: str, name: str) -> str:
        limit = self._limits.index_value_bytes
        if len(form) * 4 <= limit or len(encoded := form.encode()) <= limit:
            return form
        self._not_indexed[name] = None
        return encoded[:limit].decode(errors="ignore")

    def _add(self, tokens: list[str], name: str, item: _Item) -> None:
        """Take the tokens of one element; one with too many is only known to be there."""
        known = self._paths.get(name)
        if known is None:
            known = self._paths[name] = {}
        if len(known) + len(tokens) > self._most_of_one:
            self._not_indexed[name] = None
            tokens = tokens[:1]
        known.update(dict.fromkeys(tokens))
        item.tokens += tokens

    def _admitted(self) -> list[str]:
        """Return the tokens within the limit, those of attributes with the fewest first."""
        paths = self._paths
        if sum(map(len, paths.values())) > self._limits.index_tokens:
            room = self._limits.index_tokens
            for name in sorted(paths, key=lambda name: len(paths[name])):
                room -= len(paths[name])
                if room < 0:
                    self._not_indexed[name] = None
                    del paths[name]
        return [token for known in paths.values() for token in known]

    def _named(self) -> list[str]:
        named = list(self._not_indexed)
        return named if len(named) <= PATHS_NAMED else [*named[:PATHS_NAMED], NOT_NAMED]

    def _listed_items(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Yield the sequences with several items, those with the fewest first, up to the limits.

        A sequence that has no room is left without its mark: its keys then match over all items together.
        """
        several = [entry for entry in self._items.items() if len(entry[1]) > 1]
        items_left, tokens_left = self._limits.index_items, self._limits.index_tokens
        for name, items in sorted(several, key=lambda entry: len(entry[1])):
            listed = [item.listed() for item in items] if len(items) <= items_left else []
            tokens = sum(len(each) for each in listed)
            if listed and tokens <= tokens_left:
                items_left -= len(listed)
                tokens_left -= tokens
                yield name, listed
            else:
                self._not_indexed[name + SEVERAL] = None


_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
