"""Marks on the ImagingStudy: the commits that it contains and the index may not have yet.

Strategy: a commit's id is written into the resource by the same PUT that brings its instances, and taken out
by a later one, once the index has them. After a crash the marks say exactly which commits were linked,
also where the study does not list its instances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COMMIT_EXTENSION = "urn:coregister:commit"


@dataclass(frozen=True, slots=True)
class CommitMarks:
    """What one write of an ImagingStudy does to its marks."""

    this: tuple[str, ...]  # commits that this write brings
    confirmed: frozenset[str] = frozenset()  # commits that the index has


def pending_commits(imaging_study: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of the commits that are marked."""
    return tuple(
        extension["valueString"]
        for extension in imaging_study.get("extension", ())
        if _is_mark(extension)
    )


def marked(imaging_study: Mapping[str, Any], marks: CommitMarks) -> list[dict[str, Any]]:
    """Return the resource's extensions after a write with these marks; others' are kept."""
    foreign = [e for e in imaging_study.get("extension", ()) if not _is_mark(e)]
    ids = dict.fromkeys((*pending_commits(imaging_study), *marks.this))
    return foreign + _marks([mark for mark in ids if mark not in marks.confirmed])


def _marks(ids: Sequence[str]) -> list[dict[str, Any]]:
    return [{"url": COMMIT_EXTENSION, "valueString": mark} for mark in ids]


def _is_mark(extension: Mapping[str, Any]) -> bool:
    return extension.get("url") == COMMIT_EXTENSION and "valueString" in extension
