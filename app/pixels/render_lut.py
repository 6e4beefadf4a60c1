"""Look-up tables, as Modality LUT, VOI LUT and palettes have them (PS3.3 §C.11.1.1, §C.7.6.3.1.5, §C.7.9.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import NotAcceptable

Array = npt.NDArray[Any]
Entries = npt.NDArray[np.uint16]

MOST_ENTRIES = 65536  # a descriptor that says 0 means this many
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2  # opcodes of segments
_NARROW, _WIDE = 8, 16  # bits of an entry


@dataclass(frozen=True, slots=True)
class LookUpTable:
    """Entries for the values from `first` on; values outside take the first or the last entry."""

    first: int
    entries: Entries
    bits: int

    @property
    def largest(self) -> int:
        """The largest value that an entry could have."""
        return (1 << self.bits) - 1

    def of(self, values: Array) -> Entries:
        """Return the entry for each value."""
        return self.entries[self.places_of(values)]

    def places_of(self, values: Array) -> npt.NDArray[np.int64]:
        """Return where among the entries each value is found."""
        return np.clip(values.astype(np.int64) - self.first, 0, len(self.entries) - 1)


def table_of(
    descriptor: Sequence[int],
    data: bytes | Sequence[int],
    *,
    little_endian: bool = True,
    signed: bool = False,
) -> LookUpTable:
    """Return the table of a descriptor and its data. Raises NotAcceptable.

    `signed` says that values below zero are mapped, whatever VR the descriptor was written with.
    """
    count, first, bits = _described(descriptor, signed=signed)
    entries = _entries(data, count, bits, little_endian=little_endian)
    if len(entries) == 0:
        raise NotAcceptable("A look-up table of the instance has no entries.")
    return LookUpTable(first, entries[:count], bits)


def segmented_table_of(
    descriptor: Sequence[int],
    data: bytes | Sequence[int],
    *,
    little_endian: bool = True,
    signed: bool = False,
) -> LookUpTable:
    """Return the table that segments describe (PS3.3 §C.7.9.2). Raises NotAcceptable."""
    count, first, bits = _described(descriptor, signed=signed)
    words = _segment_words(data, bits, little_endian=little_endian)
    entries = _Expansion(words, count, narrow=bits <= _NARROW).entries()
    return LookUpTable(first, np.array(entries[:count], np.uint16), bits)


def _described(descriptor: Sequence[int], *, signed: bool) -> tuple[int, int, int]:
    if len(descriptor) != 3:  # noqa: PLR2004 - count, first value, bits
        raise NotAcceptable("The descriptor of a look-up table does not have three values.")
    count, first, bits = (int(value) for value in descriptor)
    if not 1 <= bits <= _WIDE:
        raise NotAcceptable("The entries of a look-up table have more than 16 bits, or none.")
    if signed and first >= 1 << 15:
        first -= 1 << 16
    return (count & 0xFFFF) or MOST_ENTRIES, first, bits


def _entries(data: bytes | Sequence[int], count: int, bits: int, *, little_endian: bool) -> Entries:
    wide = np.dtype("<u2" if little_endian else ">u2")
    if not isinstance(data, bytes):
        words = np.asarray([value & 0xFFFF for value in _listed(data)], np.uint16)
        if len(words) >= count or bits > _NARROW:
            return words
        data, wide = words.astype("<u2").tobytes(), np.dtype("<u2")
    if len(data) < 2 * count and bits <= _NARROW:
        if wide == np.dtype(">u2"):  # of 8-bit entries, two share a 16-bit word
            data = np.frombuffer(data[: len(data) & ~1], ">u2").astype("<u2").tobytes()
        return np.frombuffer(data, np.uint8).astype(np.uint16)
    return np.frombuffer(data[: len(data) & ~1], wide).astype(np.uint16)


def _listed(data: Sequence[int] | int) -> Sequence[int]:
    return [data] if isinstance(data, int) else data


def _segment_words(data: bytes | Sequence[int], bits: int, *, little_endian: bool) -> list[int]:
    if not isinstance(data, bytes):
        return [value & 0xFFFF for value in _listed(data)]
    if bits <= _NARROW:
        if not little_endian:
            data = np.frombuffer(data[: len(data) & ~1], ">u2").astype("<u2").tobytes()
        return list(data)
    wide = "<u2" if little_endian else ">u2"
    words: list[int] = np.frombuffer(data[: len(data) & ~1], wide).tolist()
    return words


class _Expansion:
    """Segments made into entries; stops when there are as many as the descriptor says."""

    def __init__(self, words: Sequence[int], count: int, *, narrow: bool) -> None:
        self._words = words
        self._count = count
        self._shift, self._unit = (_NARROW, 1) if narrow else (_WIDE, 2)
        self._offset_words = 4 if narrow else 2
        self._made: list[int] = []

    def entries(self) -> list[int]:
        """Return the entries. Raises NotAcceptable for what is no segment."""
        self._run(
            0, None, {_DISCRETE: self._discrete, _LINEAR: self._linear, _INDIRECT: self._indirect}
        )
        if not self._made:
            raise NotAcceptable("A segmented look-up table of the instance has no entries.")
        return self._made

    def _run(
        self, at: int, segments: int | None, steps: dict[int, Callable[[int, int], int]]
    ) -> None:
        while at + 1 < len(self._words) and len(self._made) < self._count and segments != 0:
            opcode, length = self._words[at], self._words[at + 1]
            step = steps.get(opcode)
            if step is None:
                raise NotAcceptable(
                    "A look-up table of the instance has a segment of no known kind."
                )
            at = step(at + 2, length)
            segments = None if segments is None else segments - 1

    def _discrete(self, at: int, length: int) -> int:
        self._made += self._words[at : at + length]
        return at + length

    def _linear(self, at: int, length: int) -> int:
        if not self._made or at >= len(self._words):
            raise NotAcceptable("A look-up table of the instance begins with a linear segment.")
        start, end = self._made[-1], self._words[at]
        steps = np.arange(1, length + 1) / max(length, 1)
        self._made += np.rint(start + (end - start) * steps).astype(int).tolist()
        return at + 1

    def _indirect(self, at: int, length: int) -> int:
        parts = self._words[at : at + self._offset_words]
        offset = sum(part << (self._shift * place) for place, part in enumerate(parts))
        self._run(offset // self._unit, length, {_DISCRETE: self._discrete, _LINEAR: self._linear})
        return at + self._offset_words
