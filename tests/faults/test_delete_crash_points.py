"""A crash at each call of deleting, replacing and rejecting: everything agrees afterwards (P1, P2).

As `tests/faults/test_crash_points.py` does for storing. A deletion that was not acknowledged has happened as a
whole or not at all; doing it again ends in what was asked for, and nothing else is missing.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from app.services.tombstones import Target
from tests.agreement import Archive, Documents, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.faults import dying
from tests.faults.dying import DIED, WELL, Act, Plan, Request
from tests.faults.test_crash_points import until_closed
from tests.http.test_rejection import note
from tests.server import drop_indices

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

MOST_CALLS = 60
AT_A_TIME = 20  # studies that are stored together, to be deleted from


@dataclass(frozen=True, slots=True)
class Study:
    """Four instances in two series."""

    uid: str
    series: tuple[str, str]
    files: dict[str, bytes]  # by SOP Instance UID

    @classmethod
    def new(cls) -> "Study":
        uid, series = generate_uid(), (generate_uid(), generate_uid())
        sops = [str(generate_uid()) for _ in range(4)]
        files = {
            sop: make_instance(
                StudyInstanceUID=uid,
                SeriesInstanceUID=series[number % 2],
                SOPInstanceUID=sop,
                InstanceNumber=number,
                PatientID=f"deleted-{uid[-12:]}",
            )
            for number, sop in enumerate(sops)
        }
        return cls(uid, series, files)


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to a study, and what is to be there when it is done."""

    study: Study
    request: Request
    after: dict[str, bytes]

    @property
    def before(self) -> dict[str, bytes]:
        """Return what is there when nothing of it is done."""
        return self.study.files


Scenario = Callable[[Study], Change]


def one_instance(study: Study) -> Change:
    """Delete one of two instances of a series."""
    sop = next(iter(study.files))
    target = Target(study.uid, study.series[0], sop)
    return Change(study, target, {k: v for k, v in study.files.items() if k != sop})


def one_series(study: Study) -> Change:
    """Delete one of two series."""
    left = dict(list(study.files.items())[1::2])
    return Change(study, Target(study.uid, study.series[0]), left)


def whole_study(study: Study) -> Change:
    """Delete everything."""
    return Change(study, Target(study.uid), {})


def other_bytes(study: Study) -> Change:
    """Replace an instance."""
    sop = next(iter(study.files))
    data = make_instance(
        StudyInstanceUID=study.uid,
        SeriesInstanceUID=study.series[0],
        SOPInstanceUID=sop,
        PatientID=f"deleted-{study.uid[-12:]}",
        StudyDescription="Replaced",
    )
    return Change(study, [data], study.files | {sop: data})


def rejection(study: Study) -> Change:
    """Store a rejection note about a series."""
    sop, rejected = generate_uid(), list(study.files.values())[::2]
    data = note(rejected, SOPInstanceUID=sop, PatientID=f"deleted-{study.uid[-12:]}")
    left = dict(list(study.files.items())[1::2])
    return Change(study, [data], left | {sop: data})


@dataclass(slots=True)
class Site:
    """Stores on which one process after the other is started."""

    archive: Archive
    context: ForkServerContext
    settings: dict[str, Any]
    known: list[Study] = field(default_factory=list)
    all: list[Study] = field(default_factory=list)

    def study(self) -> Study:
        """Return a study that is stored."""
        if not self.known:
            self.known = [Study.new() for _ in range(AT_A_TIME)]
            self.all += list(self.known)
            acts: list[Act] = [([list(study.files.values()) for study in self.known], WELL)]
            died, answered = self.live(acts)
            assert not died
            assert all(all(stored) for stored in answered.values())
        return self.known.pop()

    def live(self, acts: Sequence[Act]) -> tuple[bool, dict[Any, Any]]:
        """Start a Coregister; return whether it died, and what it answered and counted."""
        settings = {
            "elasticsearch_url": self.archive.elasticsearch_url,
            "index_prefix": self.archive.prefix,
            "fhir_url": self.archive.fhir_url,
            "blobs": self.archive.blobs.as_uri(),
            "warm_up": False,
            **self.settings,
        }
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=dying.run, args=(settings, acts, theirs))
        process.start()
        theirs.close()
        told = dict(until_closed(ours))
        process.join()
        assert process.exitcode in (0, DIED)
        answered = {key: each for key, each in told.items() if isinstance(key, tuple)}
        return process.exitcode == DIED, answered

    def check(self) -> Documents:
        """Clear up, and assert that all stores agree."""
        self.live([([], WELL)])
        return assert_agreement(
            self.archive, studies=[study.uid for study in self.all], orphan_blobs=True
        )


@pytest.fixture(scope="session")
def context() -> ForkServerContext:
    found = get_context("forkserver")
    found.set_forkserver_preload(["tests.faults.dying"])
    return found


@pytest.fixture
def site(
    stack: Stack, tmp_path: Path, context: ForkServerContext, request: pytest.FixtureRequest
) -> Iterator[Site]:
    prefix = f"t{uuid.uuid4().hex[:10]}"
    archive = Archive(stack.elasticsearch_url, prefix, stack.fhir_url, tmp_path / "blobs")
    settings = {"duplicates": "replace", "emptied_study": getattr(request, "param", "cancelled")}
    yield Site(archive, context, settings)
    drop_indices(stack.elasticsearch_url, prefix)


def assert_all_or_nothing(
    site: Site, changes: Sequence[Change], *, done: bool | None = None
) -> None:
    """Assert that each change has happened as a whole or not at all, or as `done` says."""
    digests = {sop: each["sha256"] for sop, each in site.check().items()}
    by_study = {study.uid: study.files for study in site.all}
    expected = {sop: sha256(data) for files in by_study.values() for sop, data in files.items()}
    for change in changes:
        before = {sop: sha256(data) for sop, data in change.before.items()}
        after = {sop: sha256(data) for sop, data in change.after.items()}
        uids = before.keys() | after.keys()
        found = {sop: digest for sop, digest in digests.items() if sop in uids}
        possible = {None: (before, after), True: (after,), False: (before,)}[done]
        assert found in possible
        for sop in uids:
            expected.pop(sop, None)
            digests.pop(sop, None)
    assert digests == expected


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def finish(site: Site, changes: Sequence[Change]) -> None:
    """Do everything once more; it succeeds, and is done."""
    acts: list[Act] = [([change.request for change in changes], WELL)]
    died, answered = site.live(acts)
    assert not died
    assert [answered[0, number] for number in range(len(changes))] == [[True]] * len(changes)
    assert_all_or_nothing(site, changes, done=True)


@pytest.mark.parametrize(
    ("scenario", "site"),
    [
        (one_instance, "cancelled"),
        (one_series, "cancelled"),
        (whole_study, "entered-in-error"),
        (whole_study, "removed"),
        (other_bytes, "cancelled"),
        (rejection, "cancelled"),
    ],
    indirect=["site"],
)
def test_a_crash_at_any_call_leaves_what_recovery_clears_up(site: Site, scenario: Scenario) -> None:
    changes: list[Change] = []
    for call in range(MOST_CALLS):
        changes.append(scenario(site.study()))
        died, _ = site.live([([changes[-1].request], Plan(call, after=True))])
        if not died:
            break
    assert 8 <= call < MOST_CALLS
    assert_all_or_nothing(site, changes)
    finish(site, changes)


@pytest.mark.parametrize("site", ["removed"], indirect=True)
@pytest.mark.parametrize("scenario", [whole_study, other_bytes, rejection])
def test_a_crash_at_any_call_of_recovery_is_recovered_from(site: Site, scenario: Scenario) -> None:
    """The first crash comes when FHIR knows and the index does not."""
    changes: list[Change] = []
    for call in range(MOST_CALLS):
        changes.append(scenario(site.study()))
        died, _ = site.live([([changes[-1].request], Plan(0, after=True, step="commit"))])
        assert died
        died, _ = site.live([([], Plan(call, after=True, at_start=True))])
        if not died:
            break
    assert 3 <= call < MOST_CALLS
    assert_all_or_nothing(site, changes, done=True)  # what FHIR knows is rolled forward
    finish(site, changes)


@pytest.mark.parametrize("site", ["removed"], indirect=True)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scenario", [one_instance, whole_study, other_bytes, rejection])
def test_a_store_that_fails_at_any_call_does_no_harm(
    site: Site, scenario: Scenario, *, after: bool
) -> None:
    """The process lives on, and the next request for the study finds its way."""
    changes = [scenario(site.study()) for _ in range(20)]
    acts: list[Act] = [
        ([change.request], Plan(call, after, dies=False)) for call, change in enumerate(changes)
    ]
    died, answered = site.live(acts)
    assert not died
    assert len(answered) == len(changes)
    assert_all_or_nothing(site, changes)
    finish(site, changes)


@pytest.mark.parametrize("scenario", [one_instance, whole_study])
def test_what_is_stored_again_after_a_deletion_that_failed_stays(
    site: Site, scenario: Scenario
) -> None:
    """FHIR had unlinked it, the index has it still: the same bytes must not pass for stored already."""
    change = scenario(site.study())
    stored = list(change.before.values())
    acts: list[Act] = [
        ([change.request], Plan(0, after=True, dies=False, step="commit")),
        ([stored], WELL),
    ]
    died, answered = site.live(acts)
    assert not died
    assert answered[0, 0] == [False]
    assert answered[1, 0] == [True] * len(stored)
    assert_all_or_nothing(site, [change], done=False)
