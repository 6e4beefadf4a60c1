"""Decides what an import sends: walks, leaves out, and makes batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.client.sources import Skipped, Source, inspect, walk
from app.client.stow import Prepared

COUNT_SHOWN_EVERY = 500


class Acknowledged(Protocol):
    """Knows which files the server has already."""

    def __contains__(self, source: Source) -> bool:
        """Return whether the server has this file."""


@dataclass(frozen=True, slots=True)
class BatchSize:
    """How much one request carries."""

    most_files: int = 50
    most_bytes: int = 32 * 1024 * 1024
    # a step without a batch is made at times too, so that progress can be seen
    most_left_out: int = 1000


@dataclass(frozen=True, slots=True)
class Step:
    """The next batch, and what was passed over on the way to it."""

    batch: tuple[Prepared, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    earlier: tuple[Source, ...] = ()  # acknowledged in an import before this


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to look at."""

    files: int
    size: int


def measure(paths: list[Path]) -> Iterator[Extent]:
    """Count files and bytes below the paths without opening them; yield now and then how many."""
    files = size = 0
    for found in walk(paths):
        files += 1
        size += found.size
        if files % COUNT_SHOWN_EVERY == 0:
            yield Extent(files, size)
    yield Extent(files, size)


def plan(
    paths: list[Path], acknowledged: Acknowledged, batch_size: BatchSize | None = None
) -> Iterator[Step]:
    """Yield what to send, in the order of the folders: so the files of a study stay together."""
    limits = batch_size or BatchSize()
    batch: list[Prepared] = []
    skipped: list[Skipped] = []
    earlier: list[Source] = []
    for found in walk(paths):
        prepared = _prepare(found, acknowledged)
        match prepared:
            case Skipped():
                skipped.append(prepared)
            case Source():
                earlier.append(prepared)
            case Prepared():
                if batch and _size(batch) + prepared.source.size > limits.most_bytes:
                    yield Step(tuple(batch), tuple(skipped), tuple(earlier))
                    batch, skipped, earlier = [], [], []
                batch.append(prepared)
        if len(batch) >= limits.most_files or len(skipped) + len(earlier) >= limits.most_left_out:
            yield Step(tuple(batch), tuple(skipped), tuple(earlier))
            batch, skipped, earlier = [], [], []
    if batch or skipped or earlier:
        yield Step(tuple(batch), tuple(skipped), tuple(earlier))


def _prepare(found: Source | Skipped, acknowledged: Acknowledged) -> Prepared | Source | Skipped:
    if isinstance(found, Skipped):
        return found
    if found in acknowledged:
        return found
    meta = inspect(found)
    return meta if isinstance(meta, Skipped) else Prepared(found, meta)


def _size(batch: Iterable[Prepared]) -> int:
    return sum(prepared.source.size for prepared in batch)
