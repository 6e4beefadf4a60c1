"""Does again what failed, after an operator has mended its cause, and closes the records that no longer hold.

Strategy: intents that were left are recovered first. Then each study with an open record is mapped anew: what
its instances say is read from their documents and brought into the ImagingStudy on the way that new versions
of instances take, page by page, while nobody else writes the study. What is still wrong is noted by whoever
finds it, and stays open; each other record is looked at, whether what it says still holds.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import structlog

from app.dicom.correction import restored
from app.dicom.instance import InstanceRecord, StoredInstance
from app.errors import CoregisterError
from app.index.documents import read_correction, read_metadata
from app.index.problem_records import ProblemSearch, path_of
from app.services.commit import StudyCommits
from app.services.index_writes import insist
from app.services.intake import Prepared, findings_of
from app.services.intents import INTENTS
from app.services.link import StudyLinker
from app.services.problems import Problems
from app.services.reconcile import Reconciled
from app.services.recover import Recovery
from app.services.redo import Redo
from app.services.snapshot import INSTANCES, STUDIES, Snapshot, Snapshots, writes_of
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.lane import Lane

PAGE = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: what became of one study, the `done`th `of` those with open records."""

    study_instance_uid: str
    done: int
    of: int
    resolved: int = 0  # records that were closed
    left: int = 0  # records that still hold
    error: str | None = None  # why the study could not be mapped anew


class Retry:
    """The verb behind `POST /errors/$retry`."""

    def __init__(
        self,
        *,
        index: ElasticsearchIndex,
        lane: Lane,
        problems: Problems,
        commits: StudyCommits,
        snapshots: Snapshots,
        linker: StudyLinker,
        redo: Redo,
        recovery: Recovery,
    ) -> None:
        """Write studies through `linker` and `lane`, one at a time through `commits`."""
        self._index = index
        self._lane = lane
        self._problems = problems
        self._commits = commits
        self._snapshots = snapshots
        self._linker = linker
        self._redo = redo
        self._recovery = recovery

    async def run(self, search: ProblemSearch) -> AsyncIterator[Progress]:
        """Do again what the open records that are searched for tell of; yield what became of each study.

        Raises IndexUnavailable.
        """
        records = await self._open_records(search)
        await self._recovery.run_once()
        for number, (uid, of_study) in enumerate(records.items(), 1):
            progress = partial(Progress, uid, number, len(records))
            started = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            try:
                if uid:
                    await self._commits.exclusively(uid, self._map_anew)
                resolved = await self._close(uid, of_study, started)
            except CoregisterError as error:
                yield progress(left=len(of_study), error=error.message)
            else:
                log.info("study_retried", resolved=resolved)
                yield progress(resolved=resolved, left=len(of_study) - resolved)

    async def _open_records(self, search: ProblemSearch) -> dict[str, list[Mapping[str, Any]]]:
        """Return the records by study, those seen last first."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        after: tuple[int, str] | None = None
        while True:
            page = await self._problems.find(
                ProblemSearch(
                    search.kinds, search.study_instance_uid, state="open",
                    limit=PAGE, after=after,
                )
            )  # fmt: skip
            for row in page.rows:
                found.setdefault(row["study_instance_uid"], []).append(row)
            if page.last is None:
                return found
            after = page.last

    async def _map_anew(self, before: Snapshot, confirmed: frozenset[str]) -> Snapshot:
        """Bring what the index knows of a study's instances into its ImagingStudy and documents."""
        snapshot = before
        if snapshot.imaging_study is None or snapshot.study is None:
            return snapshot  # nothing of it was ever stored
        async for page in self._instances(snapshot.study_instance_uid):
            series = {each.stored.record.series_instance_uid for each in page}
            snapshot = await self._snapshots.with_series(snapshot, series)
            snapshot = await self._linker.link(
                snapshot,
                (),
                replaced=page,
                reconciled=Reconciled(snapshot.own_patient or {}, {}, {}),
                marks=(),
                confirmed=confirmed,
            )
            await insist(self._lane, writes_of(snapshot, (), page))
        return snapshot

    async def _instances(self, study_instance_uid: str) -> AsyncIterator[list[Prepared]]:
        """Yield a study's instances as their objects are, in the order in which they were stored."""
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {"term": {"study_instance_uid": study_instance_uid}},
            "sort": [{"stored_at": "asc"}, {"order": "asc"}],
            "track_total_hits": False,
        }
        while True:
            hits = (await self._index.search(INSTANCES, body))["hits"]["hits"]
            if hits:
                yield [_as_stored(hit["_source"]) for hit in hits]
            if len(hits) < PAGE:
                return
            body["search_after"] = hits[-1]["sort"]

    async def _close(self, uid: str, records: Sequence[Mapping[str, Any]], started: str) -> int:
        """Close the records of a study that no longer hold; return how many."""
        await self._problems.flush()
        sops = sorted({each["sop_instance_uid"] for each in records} - {None})
        instances = await self._index.get_many(INSTANCES, sops)
        studies = await self._index.get_many(STUDIES, [uid] if uid else [])
        body = {"size": 1, "query": {"term": {"study_instance_uid": uid}}, "_source": False}
        begun = bool((await self._index.search(INTENTS, body))["hits"]["hits"])
        state = _State(studies.get(uid), instances, begun, await self._still_invalid(instances))
        over = [each["identity"] for each in records if not state.holds(each)]
        return await self._problems.resolve(over, before=started)

    async def _still_invalid(self, instances: Mapping[str, Mapping[str, Any]]) -> set[str | None]:
        """Return the paths of attributes that are not as they should be in these instances."""
        found: set[str | None] = set()
        for document in instances.values():
            again = await self._redo.read_again(_as_stored(document).stored)
            found |= {path_of(each.tag) for each in findings_of(again.stored.record)}
        return found


@dataclass(frozen=True, slots=True)
class _State:
    """What is there of a study by now."""

    study: Mapping[str, Any] | None  # its document
    instances: Mapping[str, Mapping[str, Any]]  # documents of instances that records name
    begun: bool  # an intent is left
    invalid: set[str | None]  # paths of attributes of those instances

    def holds(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a record still says the truth."""
        document = self.instances.get(record["sop_instance_uid"] or "")
        match record["kind"]:
            case "invalid-tag":
                return document is not None and record["tag"] in self.invalid
            case "patient-mismatch":
                return self.study is not None and "correction" in self.study
            case "inconsistent-study":
                return document is None or "correction" in document
            case "transient-retry":
                return False  # what came of it, other records tell
            case _ if record["sop_instance_uid"]:
                return document is None
            case _:
                return self.begun or self.study is None


def _as_stored(source: Mapping[str, Any]) -> Prepared:
    """Return an instance as its object says, read from its document."""
    attributes = orjson.loads(read_metadata(source))
    correction = read_correction(source)
    record = InstanceRecord(
        study_instance_uid=source["study_instance_uid"],
        series_instance_uid=source["series_instance_uid"],
        sop_instance_uid=source["sop_instance_uid"],
        sop_class_uid=source["sop_class_uid"],
        transfer_syntax_uid=source["transfer_syntax_uid"],
        attributes=attributes if correction is None else restored(attributes, correction),
    )
    stored = StoredInstance(
        record,
        source["blob_key"],
        source["size"],
        source["sha256"],
        source["version"],
        source["stored_at"],
    )
    return Prepared(stored, source)
