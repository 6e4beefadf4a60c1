"""A crash at each call of a correction: afterwards all of a study shows the same patient (P1, P5)."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.index.documents import read_correction
from app.index.packing import unpack_json
from tests.conftest import Stack
from tests.faults.dying import WELL, Act, PatientChanged, Plan
from tests.faults.test_delete_crash_points import Site, Study, context, site

__all__ = ["context", "site"]  # fixtures

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

MOST_CALLS = 40
NAME = "00100010"


@pytest.fixture
def fhir(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.fhir_url, timeout=60, trust_env=False) as http:
        yield http


def corrected(fhir: httpx.Client, site: Site, study: Study, family: str) -> PatientChanged:
    """Correct the name of a study's patient in FHIR; return what is to be followed."""
    resource = site.archive.imaging_study(study.uid)
    assert resource is not None
    reference = resource["subject"]["reference"]
    patient = fhir.get(f"/{reference}").json()
    fhir.put(f"/{reference}", json={**patient, "name": [{"family": family}]}).raise_for_status()
    return PatientChanged(patient["id"])


def shown(site: Site, study: Study) -> set[str]:
    """Return the names that the documents of a study show: of itself, its series and its instances."""
    documents = [
        each
        for name in ("studies", "series", "instances")
        for each in site.archive.documents(name).values()
        if each["study_instance_uid"] == study.uid
    ]
    assert len(documents) == 1 + 2 + 4
    for each in documents:
        correction = read_correction(each)
        attributes: dict[str, Any] = unpack_json(each["metadata"])
        assert correction is None or attributes[NAME] == correction.attributes[NAME]
    return {unpack_json(each["metadata"])[NAME]["Value"][0]["Alphabetic"] for each in documents}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_call_is_recovered_from(
    site: Site, fhir: httpx.Client, *, after: bool
) -> None:
    studies: list[tuple[Study, PatientChanged]] = []
    for call in range(MOST_CALLS):
        study = site.study()
        request = corrected(fhir, site, study, "Crashed")
        studies.append((study, request))
        died, _ = site.live([([request], Plan(call, after=after))])
        if not died:
            break
    assert 6 <= call < MOST_CALLS
    site.check()
    for study, _ in studies:
        assert shown(site, study) in ({"Crashed"}, {"Zzyzx^Sentinel"})
    acts: list[Act] = [([request for _, request in studies], WELL)]
    died, answered = site.live(acts)
    assert not died
    assert all(answer == [True] for answer in answered.values())
    site.check()
    assert [shown(site, study) for study, _ in studies] == [{"Crashed"}] * len(studies)


def test_a_store_that_fails_at_any_call_does_no_harm(site: Site, fhir: httpx.Client) -> None:
    studies = [site.study() for _ in range(12)]
    requests = [corrected(fhir, site, study, "Failed") for study in studies]
    acts: list[Act] = [
        ([request], Plan(call, after=True, dies=False)) for call, request in enumerate(requests)
    ]
    died, _ = site.live([*acts, (requests, WELL)])
    assert not died
    site.check()
    assert [shown(site, study) for study in studies] == [{"Failed"}] * len(studies)
