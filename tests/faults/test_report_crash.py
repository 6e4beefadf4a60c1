"""A crash around the writes of reports leaves none stored that FHIR does not tell of, and none reversed."""

from collections.abc import Iterator, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from app.fhir.ids import imaging_study_id
from app.limits import Limits
from app.services.tombstones import Target
from tests.conftest import Stack
from tests.faults import dying
from tests.faults.dying import DIED, WELL, Plan
from tests.faults.test_crash_points import context, until_closed
from tests.report_objects import ct_dose
from tests.server import drop_indices

__all__ = ["context"]  # the fixture

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

REPORTS, EVENTS = 3, 2
ALL = REPORTS * (EVENTS + 1)


@pytest.fixture
def settings(stack: Stack, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Return settings with which each report but the first follows in a transaction of its own."""
    prefix = f"t{generate_uid()[-10:]}"
    yield {
        "elasticsearch_url": stack.elasticsearch_url,
        "index_prefix": prefix,
        "fhir_url": stack.fhir_url,
        "blobs": (tmp_path / "blobs").as_uri(),
        "warm_up": False,
        "limits": Limits(fhir_derived_at_once=1),
    }
    drop_indices(stack.elasticsearch_url, prefix)


def live(
    context: ForkServerContext, settings: dict[str, Any], requests: Sequence[Any], plan: Plan
) -> int | None:
    """Let a Coregister do something and end as planned; return how it ended."""
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=dying.run, args=(settings, [(requests, plan)], theirs))
    process.start()
    theirs.close()
    list(until_closed(ours))
    process.join()
    return process.exitcode


def states(stack: Stack, study: str) -> list[str]:
    """Return the states of the Observations of a study."""
    answer = httpx.get(
        f"{stack.fhir_url}/Observation",
        params={"part-of": f"ImagingStudy/{imaging_study_id(study)}", "_count": "100"},
        headers={"Cache-Control": "no-cache"},
        timeout=30,
    )
    return [entry["resource"]["status"] for entry in answer.json().get("entry", ())]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [0, 1, 2])
def test_crash_while_reports_are_written_ends_with_all_of_them_or_none(
    stack: Stack, context: ForkServerContext, settings: dict[str, Any], call: int, after: bool
) -> None:
    study, patient = generate_uid(), generate_uid()
    files = [ct_dose(EVENTS, StudyInstanceUID=study, PatientID=patient) for _ in range(REPORTS)]

    assert live(context, settings, [files], Plan(call, after=after, step="commit")) == DIED
    assert live(context, settings, [], WELL) == 0

    assert len(states(stack, study)) in (0, ALL)
    assert live(context, settings, [files], WELL) == 0
    assert states(stack, study) == ["final"] * ALL

    target = Target(study)
    assert live(context, settings, [target], Plan(call, after=after, step="commit")) == DIED
    assert live(context, settings, [target], WELL) == 0

    assert states(stack, study) == ["entered-in-error"] * ALL
