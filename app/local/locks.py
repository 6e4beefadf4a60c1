"""Locks between processes, held by an open file: the system lets go of them when the holder dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock for the time of the block; without `wait` a taken one is a `BlockingIOError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock."""
    if not path.exists():
        return False
    try:
        with exclusive(path, wait=False):
            return False
    except BlockingIOError:
        return True
