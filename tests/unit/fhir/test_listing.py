from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fhir.commit_marks import CommitMarks, pending_commits
from app.fhir.listing import list_instances, listed, lists_now, needs_listing
from app.fhir.series import listed_instance
from app.limits import Limits
from tests.unit.fhir.conftest import Merge
from tests.unit.fhir.dicom_json import record

LIMITS = Limits(fhir_instances=40, fhir_instances_at_once=6)
RECORDS = [record(number, series=1 + number % 3) for number in range(30)]


def test_a_study_that_comes_singly_lists_while_it_is_small(merge: Merge) -> None:
    study = None
    for number, one in enumerate(RECORDS, start=1):
        study = merge(study, [one], limits=LIMITS)

        assert listed(study) == (number <= LIMITS.fhir_instances_at_once)
        assert needs_listing(study, LIMITS) != listed(study)


def test_a_study_that_comes_at_once_is_listed_at_once(merge: Merge) -> None:
    assert listed(merge(None, RECORDS, limits=LIMITS))


def test_a_study_beyond_the_limit_counts_only(merge: Merge) -> None:
    limits = Limits(fhir_instances=29, fhir_instances_at_once=6)

    study = merge(None, RECORDS, limits=limits)

    assert not listed(study)
    assert not needs_listing(study, limits)


@given(st.lists(st.integers(1, 50), max_size=200))
def test_the_lists_written_stay_in_proportion_to_the_study(sizes: list[int]) -> None:
    """P7: what all commits together write is at most a fixed number of times what there is."""
    limits = Limits(fhir_instances=100_000, fhir_instances_at_once=6)
    total = written = 0
    for size in sizes:
        total += size
        if lists_now(total=total, added=size, limits=limits):
            written += total

    assert written <= 4 * total + limits.fhir_instances_at_once**2


@given(st.permutations(RECORDS))
def test_the_later_list_is_the_one_that_a_single_commit_writes(
    merge: Merge, shuffled: list[object]
) -> None:
    counted = None
    for one in RECORDS:
        counted = merge(counted, [one], limits=LIMITS)
    assert counted is not None
    asked = deepcopy(counted)

    study = list_instances(counted, map(listed_instance, shuffled))  # type: ignore[arg-type]

    assert counted == asked
    assert study == merge(None, RECORDS)


@pytest.mark.parametrize("instances", [RECORDS[:-1], [*RECORDS, record(99)], []])
def test_a_list_that_does_not_match_the_counts_is_not_written(
    merge: Merge, instances: list[object]
) -> None:
    """Another writer is at work, or the index is not whole: neither may make the list wrong."""
    study = merge(None, RECORDS, limits=Limits(fhir_instances=1))

    assert list_instances(study, map(listed_instance, instances)) is None  # type: ignore[arg-type]


def test_listing_takes_out_the_marks_of_confirmed_commits(merge: Merge) -> None:
    study = merge(None, RECORDS, commit=CommitMarks(("a", "b")))

    one = list_instances(study, map(listed_instance, RECORDS), confirmed=frozenset({"a"}))
    none = list_instances(study, map(listed_instance, RECORDS), confirmed=frozenset({"a", "b"}))

    assert one is not None
    assert pending_commits(one) == ("b",)
    assert none is not None
    assert "extension" not in none
