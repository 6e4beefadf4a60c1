"""The demo set is decided file by file."""

from collections import Counter
from pathlib import Path

import pytest
from pydicom.filereader import read_file_meta_info

from app.client.demo_set import DemoPackage, demo_batches, demo_files, demo_packages
from app.client.plan import BatchSize

PACKAGES = {package.name: package for package in demo_packages()}


def test_both_packages_of_the_demo_set_are_installed() -> None:
    assert set(PACKAGES) == {"pydicom", "pynetdicom"}


@pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES)
def test_every_file_of_a_package_is_decided_once(package: DemoPackage) -> None:
    """A file that a new release brings is noticed here, not by a newcomer's first command."""
    patterns = [
        *package.send,
        *package.refused,
        *(pattern for names in package.left_out.values() for pattern in names),
    ]
    decided = Counter(path for pattern in patterns for path in package.folder.glob(pattern))
    there = {
        path
        for path in package.folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {_relative(package, path) for path in there - set(decided)} == set()
    assert {_relative(package, path) for path, times in decided.items() if times > 1} == set()
    assert [pattern for pattern in patterns if not list(package.folder.glob(pattern))] == []


def test_demo_set_shows_many_kinds_of_files() -> None:
    files = demo_files()
    good = [file for file in files if file.failure_reason is None]

    assert len({file.study_instance_uid for file in good}) > 20
    assert len({file.prepared.meta.sop_class_uid for file in good}) > 10
    assert len({_transfer_syntax(file.prepared.source.path) for file in good}) == 11
    assert all(file.sop_instance_uid and file.series_instance_uid for file in good)
    assert max(Counter(file.sop_instance_uid for file in good).values()) == 1


def test_files_that_must_be_refused_travel_alone_and_last() -> None:
    """A duplicate is one only after the original was stored."""
    files = demo_files()
    batches = list(demo_batches(files, BatchSize(most_files=25)))

    assert [file for batch in batches for file in batch] == files
    assert max(len(batch) for batch in batches) == 25
    assert {len(b) for b in batches if b[0].failure_reason is not None} == {1}


def _transfer_syntax(path: Path) -> str:
    return str(read_file_meta_info(path).TransferSyntaxUID)


def _relative(package: DemoPackage, path: Path) -> str:
    return path.relative_to(package.folder).as_posix()
