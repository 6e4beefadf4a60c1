"""Lists the versions of an instance, and finds the bytes of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import Gone, NotFound
from app.index.versions import KEPT_FIELDS, versions_of
from app.limits import Limits
from app.services.snapshot import INSTANCES, VERSIONS
from app.services.tombstones import Target, Tombstones
from app.stores.elasticsearch import ElasticsearchIndex


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an instance: its bytes as they came in at one time."""

    name: str
    stored_at: str
    size: int
    sha256: str
    transfer_syntax_uid: str
    blob_key: str
    current: bool
    deleted: bool


class Versions:
    """The verb behind the versions of an instance (an extension)."""

    def __init__(self, index: ElasticsearchIndex, tombstones: Tombstones, limits: Limits) -> None:
        """Look in `index`; ask `tombstones` where nothing is found."""
        self._index = index
        self._tombstones = tombstones
        self._limits = limits

    async def of(self, target: Target) -> list[Version]:
        """Return the versions of an instance, the newest first. Raises NotFound, Gone."""
        uid = target.sop_instance_uid or ""
        current = (await self._index.get_many(INSTANCES, [uid], fields=KEPT_FIELDS)).get(uid)
        if current is None or not _within(current, target):
            raise await self._tombstones.absence(target)
        body = {
            "size": self._limits.versions,
            "query": versions_of([uid]),
            "sort": [{"stored_at": "desc"}],
        }
        hits = (await self._index.search(VERSIONS, body))["hits"]["hits"]
        former = [
            _version(hit["_source"])
            for hit in hits
            if _within(hit["_source"], target) and hit["_id"] != current["version"]
        ]
        return [_version(current, current=True), *former]

    async def one(self, target: Target, name: str) -> Version:
        """Return one version of an instance. Raises NotFound, Gone where it is deleted."""
        for version in await self.of(target):
            if version.name == name:
                if version.deleted:
                    raise Gone("This version was deleted.")
                return version
        raise NotFound("The instance has no such version.")


def _version(source: Mapping[str, Any], *, current: bool = False) -> Version:
    return Version(
        name=source["version"],
        stored_at=source["stored_at"],
        size=source["size"],
        sha256=source["sha256"],
        transfer_syntax_uid=source["transfer_syntax_uid"],
        blob_key=source["blob_key"],
        current=current,
        deleted="deleted_at" in source and not current,
    )


def _within(source: Mapping[str, Any], target: Target) -> bool:
    return target.holds(
        source["study_instance_uid"], source["series_instance_uid"], source["sop_instance_uid"]
    )
