"""A crash before and after each call of the write path, and of recovery: everything agrees afterwards (P1, P2).

Each crash hits a real process of its own on real stores. The next start clears up, then the stores are compared
past Coregister; what was acknowledged is there, and sending everything again succeeds and counts nothing twice.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from app.limits import Limits
from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.faults import dying
from tests.faults.dying import DIED, WELL, Plan
from tests.server import drop_indices

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

MOST_CALLS = 60  # more than any scenario makes: a bound for the search of the last one
IN_BACKGROUND = 2  # calls that come after the answer
KNOWN = 15  # studies that are stored at a time, to be added to


@dataclass(frozen=True, slots=True)
class Instance:
    """An object, and the UIDs by which it is looked for."""

    study: str
    series: str
    sop: str
    data: bytes


Requests = list[list[Instance]]  # sent at once
Scenario = Callable[["Site"], Requests]


@dataclass(frozen=True, slots=True)
class Ending:
    """How one process ended."""

    died: bool
    answered: dict[tuple[int, int], list[bool]]  # (act, request) -> acknowledged or not
    calls: dict[int, int]  # of each act


@dataclass(slots=True)
class Site:
    """Stores on which one process after the other is started."""

    archive: Archive
    context: ForkServerContext
    sent: set[str] = field(default_factory=set)  # Study Instance UIDs
    acknowledged: dict[str, bytes] = field(default_factory=dict)  # by SOP Instance UID
    known: Requests = field(default_factory=list)  # studies that are stored, to add to
    settings: dict[str, Any] = field(default_factory=dict)

    def live(self, requests: Requests, plan: Plan = WELL) -> Ending:
        """Start a Coregister, let it store the requests, and let it end as planned."""
        return self.live_through([(requests, plan)])

    def live_through(self, acts: Sequence[tuple[Requests, Plan]]) -> Ending:
        """Start a Coregister and let it go through the acts, one after the other."""
        settings = {
            "elasticsearch_url": self.archive.elasticsearch_url,
            "index_prefix": self.archive.prefix,
            "fhir_url": self.archive.fhir_url,
            "blobs": self.archive.blobs.as_uri(),
            "warm_up": False,
            **self.settings,
        }
        bytes_only = [([[i.data for i in r] for r in requests], plan) for requests, plan in acts]
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=dying.run, args=(settings, bytes_only, theirs))
        process.start()
        theirs.close()
        told = dict(until_closed(ours))
        process.join()
        assert process.exitcode in (0, DIED)
        answered = {key: each for key, each in told.items() if isinstance(key, tuple)}
        self._note(acts, answered)
        calls = {key: each for key, each in told.items() if isinstance(key, int)}
        return Ending(process.exitcode == DIED, answered, calls)

    def _note(
        self,
        acts: Sequence[tuple[Requests, Plan]],
        answered: Mapping[tuple[int, int], Sequence[bool]],
    ) -> None:
        for act, (requests, _) in enumerate(acts):
            for number, request in enumerate(requests):
                self.sent |= {instance.study for instance in request}
                stored = answered.get((act, number), [False] * len(request))
                for instance, well in zip(request, stored, strict=True):
                    if well:
                        self.acknowledged[instance.sop] = instance.data

    def assert_agreement(self) -> None:
        """Assert that all stores agree, and hold what was acknowledged."""
        assert_agreement(
            self.archive, studies=self.sent, stored=self.acknowledged, orphan_blobs=True
        )


def until_closed(connection: Connection) -> Iterator[tuple[Any, Any]]:
    with contextlib.suppress(EOFError):
        while True:
            yield connection.recv()


@pytest.fixture(scope="session")
def context() -> ForkServerContext:
    """A server that forks processes which have everything imported."""
    found = get_context("forkserver")
    found.set_forkserver_preload(["tests.faults.dying"])
    return found


@pytest.fixture
def site(stack: Stack, tmp_path: Path, context: ForkServerContext) -> Iterator[Site]:
    prefix = f"t{uuid.uuid4().hex[:10]}"
    blobs = tmp_path / "blobs"
    yield Site(Archive(stack.elasticsearch_url, prefix, stack.fhir_url, blobs), context)
    drop_indices(stack.elasticsearch_url, prefix)


def instance(study: str, series: str | None = None) -> Instance:
    """Return a new instance, of a new series if none is named."""
    series, sop = series or generate_uid(), generate_uid()
    data = make_instance(
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        SOPInstanceUID=sop,
        PatientID=f"crash-{study[-12:]}",
    )
    return Instance(study, series, sop, data)


def into_new_study(_: Site) -> Requests:
    """Two instances of a new study, of a new patient."""
    study, series = generate_uid(), generate_uid()
    return [[instance(study, series), instance(study, series)]]


def into_known_study(site: Site) -> Requests:
    """An instance of a known series, one of a new series, and one that is stored already."""
    if not site.known:
        site.known = [
            [instance(study, series) for _ in range(2)]
            for study, series in ((generate_uid(), generate_uid()) for _ in range(KNOWN))
        ]
        assert all(all(stored) for stored in site.live(site.known).answered.values())
    before = site.known.pop()
    return [[instance(before[0].study, before[0].series), before[0], instance(before[0].study)]]


def several_at_once(_: Site) -> Requests:
    """Three requests at once: two into one study, and one of two studies."""
    study, other, series = generate_uid(), generate_uid(), generate_uid()
    return [
        [instance(study, series)],
        [instance(study, series), instance(study)],
        [instance(study), instance(other)],
    ]


def clear_up_and_send_again(site: Site, sent: Sequence[Requests]) -> None:
    """Start anew, compare; send everything once more, compare again."""
    site.live([])
    site.assert_agreement()
    everything = [request for requests in sent for request in requests]
    ending = site.live(everything)
    assert not ending.died
    assert all(all(stored) for stored in ending.answered.values())
    assert len(ending.answered) == len(everything)
    site.assert_agreement()


@pytest.mark.parametrize(
    ("scenario", "after"),
    # one call follows the other, except where requests come at once: after one is before the next
    [
        (into_new_study, True),
        (into_known_study, True),
        (several_at_once, True),
        (several_at_once, False),
    ],
)
def test_a_crash_at_any_call_of_storing_leaves_what_recovery_clears_up(
    site: Site, scenario: Scenario, *, after: bool
) -> None:
    sent: list[Requests] = []
    for call in range(MOST_CALLS):
        sent.append(scenario(site))
        if not site.live(sent[-1], Plan(call, after)).died:
            break  # there is no such call any more
    assert 6 <= call < MOST_CALLS
    clear_up_and_send_again(site, sent)


@pytest.mark.parametrize(
    "first",
    [
        Plan(0, step="commit"),  # objects and intent are durable, nothing is linked
        Plan(0, after=True, step="commit"),  # linked in FHIR, not in the index
        Plan(1, after=True, step="bulk"),  # in the index, the intent is still there
    ],
    ids=["not linked", "linked", "indexed"],
)
def test_a_crash_at_any_call_of_recovery_is_recovered_from(site: Site, first: Plan) -> None:
    sent: list[Requests] = []
    for call in range(MOST_CALLS):
        sent.append(into_known_study(site))
        assert site.live(sent[-1], first).died
        if not site.live([], Plan(call, after=True, at_start=True)).died:
            break
    assert 3 <= call < MOST_CALLS
    clear_up_and_send_again(site, sent)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scenario", [into_new_study, into_known_study, several_at_once])
def test_a_store_that_fails_at_any_call_does_no_harm(
    site: Site, scenario: Scenario, *, after: bool
) -> None:
    """The process lives on; the client gets an error or a success, and either is true."""
    calls = site.live(scenario(site)).calls[0]
    assert 6 <= calls < MOST_CALLS
    acts = [
        (scenario(site), Plan(call, after, dies=False)) for call in range(calls + IN_BACKGROUND)
    ]
    ending = site.live_through(acts)
    assert not ending.died
    assert len(ending.answered) == sum(len(requests) for requests, _ in acts)
    clear_up_and_send_again(site, [requests for requests, _ in acts])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_while_copies_are_removed_loses_nothing(site: Site, *, after: bool) -> None:
    """A second try brings a new instance beside two that the first try, answered 503, had linked.

    The objects of those two are there twice then; the copies are removed, and the new one has to stay.
    """
    site.settings["limits"] = Limits(store_retry_seconds=0)  # or it would succeed by itself
    first = into_new_study(site)
    second = [[*first[0], instance(first[0][0].study)]]
    ending = site.live_through(
        [
            (first, Plan(0, after=True, step="commit", dies=False)),
            (second, Plan(0, after, step="delete")),
        ]
    )
    assert ending.died
    assert ending.answered[0, 0] == [False, False]
    clear_up_and_send_again(site, [second])
