"""Counts what became of the files of an import."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from app.client.sources import Skipped, Source
from app.client.stow import Outcome

NAMES_KEPT = 10
GROUPS_KEPT = 100
OTHER_REASONS = "other reasons"
# a count or an offset within a sentence, but not a part of a tag such as (0020,000D)
NUMBER = re.compile(r"(?<![\w(,])\d+(?![\w,)])")


@dataclass(slots=True)
class Group:
    """Files that share a reason but for numbers in it: how many, and the first few names."""

    reason: str  # of the first of them
    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one more; keep its name if there is room."""
        self.count += 1
        if len(self.names) < NAMES_KEPT:
            self.names.append(name)


class Tally:
    """Running counts; the size does not grow with the number of files."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.stored = 0
        self.earlier = 0
        self.refused = 0
        self.bytes_done = 0
        self.bytes_stored = 0
        self._refusals: dict[str, Group] = {}
        self._warnings: dict[str, Group] = {}
        self._skipped: dict[str, Group] = {}
        self._unreadable = 0
        self._left_out = 0

    @property
    def looked_at(self) -> int:
        """Return how many files were dealt with."""
        return self.stored + self.earlier + self.refused + self._left_out

    @property
    def troubles(self) -> int:
        """Return how many files the server should have and has not."""
        return self.refused + self._unreadable

    @property
    def refusals(self) -> Collection[Group]:
        """Return the refused files by reason."""
        return self._refusals.values()

    @property
    def warnings(self) -> Collection[Group]:
        """Return the files that were stored with a warning, by warning."""
        return self._warnings.values()

    @property
    def skipped(self) -> Collection[Group]:
        """Return the files that were not sent, by reason."""
        return self._skipped.values()

    def count(self, outcome: Outcome) -> None:
        """Count a file that was sent."""
        self.bytes_done += outcome.source.size
        if outcome.refusal is not None:
            self.refused += 1
            _add(self._refusals, str(outcome.refusal), outcome.source.name)
            return
        self.stored += 1
        self.bytes_stored += outcome.source.size
        if outcome.warning is not None:
            _add(self._warnings, str(outcome.warning), outcome.source.name)

    def count_earlier(self, source: Source) -> None:
        """Count a file that was acknowledged in an earlier import."""
        self.earlier += 1
        self.bytes_done += source.size

    def skip(self, skipped: Skipped) -> None:
        """Count a file that is not sent."""
        self._left_out += 1
        self.bytes_done += skipped.size
        self._unreadable += not skipped.harmless
        _add(self._skipped, skipped.reason, skipped.name)


def _add(groups: dict[str, Group], reason: str, name: str) -> None:
    key = NUMBER.sub("#", reason)
    if key not in groups and len(groups) >= GROUPS_KEPT:
        key = reason = OTHER_REASONS
    groups.setdefault(key, Group(reason)).add(name)
