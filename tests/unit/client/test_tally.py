"""Counting stays small and readable however many files there are."""

from pathlib import Path

import pytest

from app.client.answer import Remark
from app.client.sources import Source
from app.client.stow import Outcome
from app.client.tally import Tally


def refused(name: str, comment: str) -> Outcome:
    return Outcome(Source(Path(name), 10, 0), "", refusal=Remark(0xC000, comment))


def test_reasons_that_differ_in_a_number_are_one_group() -> None:
    """A thousand truncated files are truncated each at another byte."""
    tally = Tally()
    for n in range(1000):
        tally.count(refused(f"{n}.dcm", f"7FE00010 has {n + 9} bytes, but only {n} are left."))

    (group,) = tally.refusals
    assert group.count == 1000
    assert group.reason == "C000 7FE00010 has 9 bytes, but only 0 are left."
    assert group.names[:2] == ["0.dcm", "1.dcm"]
    assert len(group.names) <= 10


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(0020,000D) is missing", "(0020,000E) is missing"),
        ("(0020,0010) is missing", "(0020,0011) is missing"),
        ("7FE00010 is short", "00091001 is short"),
    ],
)
def test_reasons_about_other_attributes_are_other_groups(one: str, other: str) -> None:
    tally = Tally()
    tally.count(refused("a", one))
    tally.count(refused("b", other))

    assert len(tally.refusals) == 2


def test_number_of_groups_is_bounded() -> None:
    tally = Tally()
    for n in range(1000):
        tally.count(refused("a", f"reason x{n}"))

    assert len(tally.refusals) <= 101
    assert sum(group.count for group in tally.refusals) == 1000
