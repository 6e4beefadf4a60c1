"""Counts what became of the files of an import."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.client.sources import Skipped, Source
from app.client.stow import Outcome

NAMES_KEPT = 10


@dataclass(slots=True)
class Group:
    """Files that share a reason: how many, and the first few names."""

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
    def refusals(self) -> Mapping[str, Group]:
        """Return the refused files by reason."""
        return self._refusals

    @property
    def warnings(self) -> Mapping[str, Group]:
        """Return the files that were stored with a warning, by warning."""
        return self._warnings

    @property
    def skipped(self) -> Mapping[str, Group]:
        """Return the files that were not sent, by reason."""
        return self._skipped

    def count(self, outcome: Outcome) -> None:
        """Count a file that was sent."""
        self.bytes_done += outcome.source.size
        if outcome.refusal is not None:
            self.refused += 1
            self._refusals.setdefault(str(outcome.refusal), Group()).add(outcome.source.name)
            return
        self.stored += 1
        self.bytes_stored += outcome.source.size
        if outcome.warning is not None:
            self._warnings.setdefault(str(outcome.warning), Group()).add(outcome.source.name)

    def count_earlier(self, source: Source) -> None:
        """Count a file that was acknowledged in an earlier import."""
        self.earlier += 1
        self.bytes_done += source.size

    def skip(self, skipped: Skipped) -> None:
        """Count a file that is not sent."""
        self._left_out += 1
        self.bytes_done += skipped.size
        self._unreadable += not skipped.harmless
        self._skipped.setdefault(skipped.reason, Group()).add(skipped.name)
