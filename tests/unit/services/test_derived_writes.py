"""What one transaction writes of reports, and what waits for its own."""

from typing import Any

import pytest

from app.services.derived_writes import NOTHING_DERIVED, DerivedWrites, Wanted

MADE: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "a",
    "meta": {"source": "urn:coregister"},
    "status": "final",
    "subject": {"reference": "Patient/p"},
}
STORED = {**MADE, "meta": {"source": "urn:coregister#x", "versionId": "4"}}
REFERENCE = "Observation/a"


def wanted(*numbers: int) -> DerivedWrites:
    """Return writes of so many resources of each report."""
    return DerivedWrites(
        "1.2.3",
        tuple(
            Wanted(f"Observation/{report}-{each}", f"1.{report}", made=MADE)
            for report, count in enumerate(numbers)
            for each in range(count)
        ),
    )


@pytest.mark.parametrize(
    ("numbers", "most", "first"),
    [((3, 3, 3), 9, 9), ((3, 3, 3), 6, 6), ((3, 3, 3), 8, 6), ((9, 1), 5, 1), ((2, 9, 1), 5, 3)],
)
def test_reports_beyond_the_limit_follow_whole(
    numbers: tuple[int, ...], most: int, first: int
) -> None:
    writes = wanted(*numbers)

    now, later = writes.parted(most)

    assert len(now.wanted) == first
    assert sorted(each.reference for each in (*now.wanted, *later.wanted)) == sorted(
        each.reference for each in writes.wanted
    )
    assert not now.by_report().keys() & later.by_report().keys()


def test_new_resource_is_written_as_new() -> None:
    writes = DerivedWrites("1", (Wanted(REFERENCE, "1", made=MADE),))

    assert writes.resolved({}, removes=False) == ([(MADE, 0)], [])


def test_resource_that_would_not_change_is_not_written() -> None:
    writes = DerivedWrites("1", (Wanted(REFERENCE, "1", made=MADE),))

    assert writes.resolved({REFERENCE: STORED}, removes=False) == ([], [])


def test_retired_resource_is_written_after_its_version() -> None:
    writes = DerivedWrites("1", (Wanted(REFERENCE, "1"),))

    ((resource, version),), removed = writes.resolved({REFERENCE: STORED}, removes=False)

    assert (resource["status"], version, removed) == ("entered-in-error", 4, [])
    assert writes.resolved({}, removes=False) == ([], [])


def test_what_is_ours_alone_is_removed_where_that_is_wanted() -> None:
    writes = DerivedWrites("1", (Wanted(REFERENCE, "1"),))
    noted = {**STORED, "note": [{"text": "theirs"}]}

    assert writes.resolved({REFERENCE: STORED}, removes=True) == ([], [REFERENCE])
    assert writes.resolved({REFERENCE: noted}, removes=True)[1] == []


def test_resources_of_new_reports_go_before_those_that_only_follow_the_patient() -> None:
    made = DerivedWrites("1", (Wanted(REFERENCE, "1", made=MADE),))
    followed = DerivedWrites(
        "1",
        (
            Wanted(REFERENCE, "1", subject="Patient/q"),
            Wanted("Observation/b", "2", subject="Patient/q"),
        ),
        known=True,
    )

    joined = made.joined(followed)

    assert [each.reference for each in joined.wanted] == [REFERENCE, "Observation/b"]
    assert joined.wanted[0].made is MADE
    assert joined.known
    assert NOTHING_DERIVED.joined(followed).study_instance_uid == "1"


def test_long_report_is_written_from_its_members_up_and_retired_downwards() -> None:
    new = (
        Wanted("DiagnosticReport/r", "1", made=MADE),
        Wanted("Observation/group", "1", made=MADE, has_members=True),
        Wanted("Observation/member", "1", made=MADE),
    )
    old = (
        Wanted("Observation/old-member", "1"),
        Wanted("DiagnosticReport/old", "1"),
        Wanted("Observation/old-group", "1", has_members=True),
    )

    steps = list(DerivedWrites("1", (*new, *old)).in_steps(2))

    assert [[each.reference.partition("/")[2] for each in step.wanted] for step in steps] == [
        ["member", "group"],
        ["r", "old"],
        ["old-group", "old-member"],
    ]
    assert all(step.known for step in steps)
