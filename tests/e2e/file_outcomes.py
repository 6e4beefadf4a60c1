"""What came of a file, and the tables of docs/dicomweb/files.md that say it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID

from app.dicom.transfer_syntax import transfer_syntax
from tests.e2e.made_files import PACKAGE as MADE
from tests.e2e.real_files import RealFile

YES, NOTHING = "✓", "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file."""

    file: RealFile
    data_set: Dataset
    refused: str  # why, or nothing
    found: bool = False
    same: bool = False
    name: bool | None = None  # found by its PatientName, and shown as pydicom reads it
    rendered: str | None = None  # nothing to show: None; shown: empty; else what went wrong

    @property
    def transfer_syntax(self) -> str:
        """The UID and the name of its transfer syntax."""
        uid = self.data_set.file_meta.get("TransferSyntaxUID")
        if uid is None:
            return NOTHING
        name = UID(uid).name
        return f"`{uid}` {transfer_syntax(uid).name if name == uid else name}"

    @property
    def character_set(self) -> str:
        """Its specific character set, or what stands for none."""
        value = self.data_set.get("SpecificCharacterSet")
        terms = [value] if isinstance(value, str) else list(value or [])
        return "`" + "\\".join(terms) + "`" if any(terms) else "none (ISO_IR 6)"


def _by_transfer_syntax(outcomes: Iterable[Outcome]) -> str:
    kept = [each for each in outcomes if not each.refused]
    return _table(
        ("Transfer syntax", "Files", "Made", "Stored", "Found", "Byte for byte", "Rendered"),
        (
            (key, *_numbers(group), YES, *_marks(group), _share(group, _shown))
            for key, group in _groups(kept, lambda each: each.transfer_syntax)
        ),
    )


def _by_character_set(outcomes: Iterable[Outcome]) -> str:
    kept = [each for each in outcomes if not each.refused]
    return _table(
        ("Specific Character Set", "Files", "Made", "Found", "Byte for byte", "Found by name"),
        (
            (key, *_numbers(group), *_marks(group), _share(group, lambda each: each.name))
            for key, group in _groups(kept, lambda each: each.character_set)
        ),
    )


def _refused(outcomes: Iterable[Outcome]) -> str:
    return _table(
        ("File", "Refused with"),
        sorted({(f"`{each.file.name}`", each.refused) for each in outcomes if each.refused}),
    )


def _not_rendered(outcomes: Iterable[Outcome]) -> str:
    return _table(
        ("File", "Answered with"),
        sorted({(f"`{each.file.name}`", each.rendered) for each in outcomes if each.rendered}),
    )


def _shown(outcome: Outcome) -> bool | None:
    return None if outcome.rendered is None else not outcome.rendered


def _by_package(outcomes: Iterable[Outcome]) -> str:
    groups = _groups([each for each in outcomes if each.file.package != MADE], _package)
    return _table(
        ("Package", "Files", "MB"),
        (
            (
                key,
                str(len(group)),
                f"{sum(each.file.path.stat().st_size for each in group) / 1e6:.1f}",
            )
            for key, group in groups
        ),
    )


def _made(outcomes: Iterable[Outcome]) -> str:
    return _table(
        ("Made", "SOP class", "Stored, found, byte for byte", "Rendered"),
        (
            (
                each.file.path.stem,
                UID(each.data_set.SOPClassUID).name,
                _share([each], lambda one: one.found and one.same),
                _share([each], _shown),
            )
            for each in outcomes
            if each.file.package == MADE and not each.file.name.startswith("name in")
        ),
    )


def _package(outcome: Outcome) -> str:
    return outcome.file.package


def _numbers(group: Sequence[Outcome]) -> Iterator[str]:
    """Yield how many files others made, and how many were made here."""
    made = sum(each.file.package == MADE for each in group)
    for number in (len(group) - made, made):
        yield str(number or NOTHING)


def _marks(group: Sequence[Outcome]) -> Iterator[str]:
    yield _share(group, lambda each: each.found)
    yield _share(group, lambda each: each.same)


def _share(group: Sequence[Outcome], holds: Callable[[Outcome], bool | None]) -> str:
    """Return a mark, or how many of how many; what does not apply does not count."""
    said = [holds(each) for each in group]
    told = [each for each in said if each is not None]
    if not told:
        return NOTHING
    number = "" if len(told) == len(said) else f" ({len(told)})"
    return f"{YES}{number}" if all(told) else f"{sum(told)} of {len(told)}"


def _groups(
    outcomes: Iterable[Outcome], key: Callable[[Outcome], str]
) -> list[tuple[str, list[Outcome]]]:
    groups: dict[str, list[Outcome]] = {}
    for each in outcomes:
        groups.setdefault(key(each), []).append(each)
    return sorted(groups.items())


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES: dict[str, Callable[[Iterable[Outcome]], str]] = {
    "transfer-syntaxes": _by_transfer_syntax,
    "character-sets": _by_character_set,
    "refused": _refused,
    "not-rendered": _not_rendered,
    "packages": _by_package,
    "made": _made,
}
