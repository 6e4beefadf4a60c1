"""Match keys as Elasticsearch clauses on tokens.

Keys in one sequence have to match within one item (PS3.4 §C.2.2.2.6): where a data set has several items of
that sequence, its items are asked one by one. Each is listed with the tokens of the items around and within
it, so that keys that lie one within the other are asked of the innermost item. Where two branches of keys
begin in one item, the items of both have to be of the same one: they are compared by its number.
"""

from collections.abc import Iterable

from app.dicom.attribute_matching import AnyOf, Empty, Universal, Wildcard
from app.dicom.attribute_path import AttributePath, dotted
from app.dicom.match_keys import Key
from app.dicom.range_matching import Numbers, Times
from app.index.key_clause import Clause, all_of, any_of, key_clause
from app.index.tokens import ITEM_OF, ITEMS_NUMBERED, SEVERAL, numbered

_TOKENS, _ITEMS, _ITEM_TOKENS = "tokens", "items", "items.tokens"
_OF_ONE_TOKEN = (AnyOf, Wildcard, Numbers, Times)


def filters_of(keys: Iterable[Key], *, value_bytes: int) -> list[Clause]:
    """Return the clauses that a document has to meet; `value_bytes` is the length values are cut at."""
    matched = [key for key in keys if not isinstance(key.matching, Universal)]
    whole = [
        key_clause(key, _TOKENS, value_bytes)
        for key in matched
        if not (len(key.path) > 1 and isinstance(key.matching, Empty))
    ]
    nested = _Nested(matched, value_bytes)
    return whole + nested.clauses()


def sequences_told_apart(keys: Iterable[Key]) -> list[AttributePath]:
    """Return the sequences whose items have to be told apart: more than one value is asked of them."""
    within: dict[AttributePath, list[Key]] = {}
    for key in keys:
        highest = len(key.path) - 1 if isinstance(key.matching, Empty) else 1
        for depth in range(max(highest, 1), len(key.path)):
            within.setdefault(key.path[:depth], []).append(key)
    return [
        sequence
        for sequence, inner in within.items()
        if len(inner) > 1 or not _asks_one_token(inner[0])
    ]


def _asks_one_token(key: Key) -> bool:
    """Tell whether a key is met by one token alone, whichever item that is of."""
    return isinstance(key.matching, _OF_ONE_TOKEN) and key.vr != "PN"


class _Nested:
    """The keys of a query that lie in sequences."""

    def __init__(self, keys: Iterable[Key], value_bytes: int) -> None:
        self._keys = [key for key in keys if len(key.path) > 1]
        self._apart = sequences_told_apart(self._keys)
        self._value_bytes = value_bytes

    def clauses(self) -> list[Clause]:
        """Return the clauses for items."""
        within = [any_of(self._ways(sequence)) for sequence in self._apart]
        return within + [self._same_item(fork) for fork in self._forks()]

    def _forks(self) -> list[AttributePath]:
        """Return the sequences in an item of which two branches of keys begin, one with items of its own."""
        branches: dict[AttributePath, set[AttributePath]] = {}
        for key in self._keys:
            for depth in range(1, len(key.path) - 1):
                branches.setdefault(key.path[:depth], set()).add(key.path[: depth + 1])
        return [
            sequence
            for sequence, children in branches.items()
            if len(children) > 1 and any(_is_within(each, sequence) for each in self._apart)
        ]

    def _same_item(self, fork: AttributePath) -> Clause:
        """Return the clause that all keys within an item are met in one and the same item."""
        apart = [each for each in self._apart if _is_within(each, fork)]
        rest = [
            key
            for key in self._under(fork)
            if not any(key.path[: len(each)] == each for each in apart)
        ]
        numbers = [numbered(dotted(fork), number) for number in range(ITEMS_NUMBERED + 1)]
        ways = [
            all_of(
                [self._item(fork, [*rest, *self._around(fork)], of=number)]
                + [any_of(self._ways(each, fork, number)) for each in apart]
            )
            for number in numbers
        ]
        return any_of([_no_several(fork), *ways])

    def _ways(
        self, sequence: AttributePath, fork: AttributePath | None = None, of: str | None = None
    ) -> list[Clause]:
        """Return the ways for one item of a sequence to meet its keys, perhaps within one item of a fork.

        An item that lacks a sequence counts as having an empty item of it, which only empty values match.
        """
        inner = self._under(sequence)
        around = self._around(sequence)
        only_item = [key_clause(key, _TOKENS, self._value_bytes) for key in inner]
        if fork is not None:
            only_item = [self._item(fork, inner, of=of)]
        ways = [
            all_of([_no_several(sequence), *only_item]),
            self._item(sequence, [*inner, *around], of=of),
        ]
        highest = len(fork) if fork is not None else 1
        for end in range(len(sequence) - 1, highest - 1, -1):
            lacking, there = sequence[: end + 1], sequence[:end]
            below = [key for key in self._keys if key.path[: end + 1] == lacking]
            if not all(isinstance(key.matching, Empty) for key in below):
                break
            ways.append(self._item(there, self._around(lacking), lacking=lacking, of=of))
        return ways

    def _under(self, sequence: AttributePath) -> list[Key]:
        """Return the keys of an item and of those within it, whose empty values are theirs alone."""
        depth = len(sequence)
        return [
            key
            for key in self._keys
            if key.path[:depth] == sequence
            and len(key.path) > depth
            and not (len(key.path) > depth + 1 and isinstance(key.matching, Empty))
        ]

    def _around(self, sequence: AttributePath) -> list[Key]:
        """Return the keys of the items around an item of a sequence."""
        above = [sequence[:depth] for depth in range(1, len(sequence))]
        return [key for key in self._keys if key.path[:-1] in above]

    def _item(
        self,
        sequence: AttributePath,
        keys: Iterable[Key],
        *,
        lacking: AttributePath | None = None,
        of: str | None = None,
    ) -> Clause:
        """Return the clause for a document with an item that meets these keys."""
        tokens = [
            {"term": {_ITEM_TOKENS: ITEM_OF + dotted(sequence)}},
            *(key_clause(key, _ITEM_TOKENS, self._value_bytes) for key in keys),
        ]
        if of is not None:
            tokens.append({"term": {_ITEM_TOKENS: of}})
        item: Clause = {"filter": tokens}
        if lacking is not None:
            item["must_not"] = [{"term": {_ITEM_TOKENS: dotted(lacking)}}]
        return {"nested": {"path": _ITEMS, "score_mode": "none", "query": {"bool": item}}}


def _is_within(sequence: AttributePath, other: AttributePath) -> bool:
    return len(sequence) > len(other) and sequence[: len(other)] == other


def _no_several(sequence: AttributePath) -> Clause:
    return {"bool": {"must_not": [{"term": {_TOKENS: dotted(sequence) + SEVERAL}}]}}
