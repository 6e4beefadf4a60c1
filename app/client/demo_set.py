"""The demo set: which files of which installed packages are sent (`mappings/demo/files.toml`)."""

import importlib.util
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from app.client.plan import BatchSize
from app.client.sources import FileMeta, Source, inspect
from app.client.stow import Prepared
from app.resources import data_path


@dataclass(frozen=True, slots=True)
class DemoFile:
    """A file of the demo set, and what must become of it."""

    prepared: Prepared
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    failure_reason: int | None = None  # None: it has to be stored

    @property
    def name(self) -> str:
        """Return the file's own name."""
        return self.prepared.source.path.name


@dataclass(frozen=True, slots=True)
class DemoPackage:
    """What is used of one installed package."""

    name: str
    folder: Path
    send: tuple[str, ...]
    refused: Mapping[str, int]
    left_out: Mapping[str, tuple[str, ...]]


def demo_packages() -> Iterator[DemoPackage]:
    """Yield the packages of the demo set that are installed here."""
    table = tomllib.loads(data_path("mappings", "demo", "files.toml").read_text("utf-8"))
    for entry in table["package"]:
        spec = importlib.util.find_spec(entry["name"])
        if spec is None or not spec.submodule_search_locations:
            continue
        yield DemoPackage(
            name=entry["name"],
            folder=Path(spec.submodule_search_locations[0], entry["folder"]),
            send=tuple(entry["send"]),
            refused={name: int(reason, 16) for name, reason in entry.get("refused", {}).items()},
            left_out={why: tuple(names) for why, names in entry.get("left_out", {}).items()},
        )


def demo_files() -> list[DemoFile]:
    """Return the files to send: first those to be stored, then those to be refused."""
    packages = list(demo_packages())
    good = [
        _demo_file(path, None)
        for package in packages
        for pattern in package.send
        for path in sorted(package.folder.glob(pattern))
    ]
    bad = [
        _demo_file(package.folder / name, reason)
        for package in packages
        for name, reason in package.refused.items()
        if (package.folder / name).is_file()
    ]
    return good + bad


def demo_batches(files: Sequence[DemoFile], size: BatchSize) -> Iterator[tuple[DemoFile, ...]]:
    """Yield the files in batches; a file that must be refused never goes with the others."""
    good = [file for file in files if file.failure_reason is None]
    for start in range(0, len(good), size.most_files):
        yield tuple(good[start : start + size.most_files])
    for file in files:
        if file.failure_reason is not None:
            yield (file,)


def _demo_file(path: Path, failure_reason: int | None) -> DemoFile:
    status = path.stat()
    source = Source(path, status.st_size, status.st_mtime_ns)
    meta = inspect(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom thinks of its own test files
        data_set = dcmread(path, force=True, stop_before_pixels=True)
    return DemoFile(
        prepared=Prepared(source, meta if isinstance(meta, FileMeta) else FileMeta("", "")),
        study_instance_uid=str(data_set.get("StudyInstanceUID", "")),
        series_instance_uid=str(data_set.get("SeriesInstanceUID", "")),
        sop_instance_uid=str(data_set.get("SOPInstanceUID", "")),
        failure_reason=failure_reason,
    )
