"""Links studies to the order that they were made for, also where the order comes after the images.

Strategy: whatever is heard of a ServiceRequest, what studies should say of it follows from what it says now.
Studies that name its accession number get the literal reference, by the rules of a commit
(`app.services.references`); studies that were linked to it by a number that it no longer has are named only
again. Doing that twice changes nothing, and it is done twice: a study may have been looking for the order
just before that came, and be written just after it was followed.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from app.errors import CoregisterError
from app.fhir.imaging_study import without_server_meta
from app.fhir.listing import listed
from app.fhir.ownership import study_uid_of
from app.fhir.references import Logical, logical_references, named_by, unlinked
from app.index.documents import relinked
from app.limits import Limits
from app.services.commit import StudyCommits
from app.services.index_writes import insist
from app.services.link import StudyLinker
from app.services.references import References
from app.services.snapshot import STUDIES, Snapshot, links_of
from app.stores.elasticsearch import Write
from app.stores.hapi import HapiStore
from app.stores.hapi_questions import Question, identified_by
from app.stores.lane import Lane

log = structlog.get_logger(__name__)


class Orders:
    """Follows changes of ServiceRequests."""

    def __init__(
        self,
        *,
        fhir: HapiStore,
        commits: StudyCommits,
        linker: StudyLinker,
        references: References,
        lane: Lane,
        limits: Limits,
    ) -> None:
        """Write studies through `commits` and `linker`, their documents through `lane`."""
        self._fhir = fhir
        self._commits = commits
        self._linker = linker
        self._references = references
        self._lane = lane
        self._limits = limits
        self._later: dict[str, asyncio.Task[None]] = {}

    async def changed(self, service_request_id: str) -> None:
        """Let all studies follow an order as it is now, and once more a little later.

        Raises VersionConflict, LinkRefused, FhirUnavailable, IndexUnavailable; then it is to be done again.
        """
        await self._follow(service_request_id)
        if len(self._later) < self._limits.orders_later and service_request_id not in self._later:
            again = asyncio.create_task(self._follow_later(service_request_id))
            self._later[service_request_id] = again

    async def close(self) -> None:
        """Let go of what was to be looked at again."""
        for task in self._later.values():
            task.cancel()
        await asyncio.gather(*self._later.values(), return_exceptions=True)

    async def _follow_later(self, service_request_id: str) -> None:
        try:
            await asyncio.sleep(self._limits.store_seconds)
            await self._follow(service_request_id)
        except CoregisterError as error:
            log.warning("order_not_followed_again", error=type(error).__name__)
        finally:
            del self._later[service_request_id]

    async def _follow(self, service_request_id: str) -> None:
        found = await self._fhir.read("ServiceRequest", service_request_id)
        names = _names(found.resource)
        reference = f"ServiceRequest/{service_request_id}"
        for uid in await self._studies(reference, names):
            await self._commits.exclusively(uid, self._rewriting(reference, names))

    async def _studies(self, reference: str, names: Iterable[Logical]) -> list[str]:
        """Return the Study Instance UIDs of studies that refer to an order, or may."""
        most = self._limits.order_studies
        count = {"_count": str(most), "_elements": "identifier"}
        questions = [Question("ImagingStudy", {"basedon": reference, **count})]
        for name in names:
            question = identified_by("ImagingStudy", name.system, name.value, most=most)
            questions.append(replace(question, params={**question.params, **count}))
        answers = await self._fhir.ask(questions)
        studies = [study for answer in answers for study in answer or ()]
        uids = [study_uid_of(study.get("identifier", ())) for study in studies]
        return list(dict.fromkeys(uid for uid in uids if uid is not None))

    def _rewriting(self, reference: str, names: frozenset[Logical]) -> "_Rewriting":
        return _Rewriting(
            self._linker, self._references, self._lane, self._limits, reference, names
        )


class _Rewriting:
    """The work on one study."""

    def __init__(
        self,
        linker: StudyLinker,
        references: References,
        lane: Lane,
        limits: Limits,
        reference: str,
        names: frozenset[Logical],
    ) -> None:
        self._linker = linker
        self._references = references
        self._lane = lane
        self._limits = limits
        self._reference = reference
        self._names = names

    async def __call__(self, before: Snapshot, _: frozenset[str]) -> Snapshot:
        """Return the study as it refers to the order now."""
        if before.imaging_study is None or before.study is None:
            return before
        study = unlinked(before.imaging_study, self._reference, self._names)
        named = logical_references(study)
        wanted = {each: named[each] for each in named if each in self._names}
        answers = await self._references.ask(wanted)
        linked = await self._references.link(study, wanted, answers, before.study_instance_uid)
        if linked.imaging_study == before.imaging_study:
            return before
        resource = without_server_meta(linked.imaging_study)
        version = await self._linker.put(resource, before.version)
        document = relinked(before.study, links_of(resource, version), self._limits)
        document["instances_listed"] = listed(resource)
        await insist(
            self._lane, [Write("index", STUDIES, before.study_instance_uid, document, version)]
        )
        log.info("order_followed", study_version=version)
        return replace(before, imaging_study=resource, version=version, study=document)


def _names(order: Mapping[str, Any] | None) -> frozenset[Logical]:
    """Return the accession numbers of an order that studies may be linked to."""
    if order is None or order.get("status") == "entered-in-error":
        return frozenset()
    return named_by(order)
