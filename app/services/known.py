"""Tells which of the instances that come in the archive has, and which of them are to be stored."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from app.services.compare import KNOWN_FIELDS, stays
from app.services.intake import Spooled
from app.services.intents import INTENTS
from app.services.snapshot import INSTANCES
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.lane import Lookup

INTENTS_LOOKED_AT = 10_000  # of the studies of one request: far more than can be under way


@dataclass(frozen=True, slots=True)
class Known:
    """What the archive had of some instances when it was asked."""

    documents: Mapping[str, Mapping[str, Any]]  # by SOP Instance UID
    removing: AbstractSet[
        str
    ]  # SOP Instance UIDs that are here with the same bytes, but not for long
    replace_duplicates: bool

    def to_store(self, item: Spooled) -> bool:
        """Tell whether an instance is to be stored: unknown, or to become a new version."""
        document = self.documents.get(item.sop_instance_uid)
        if item.restates is not None and (document or {}).get("version") != item.restates:
            return False  # it was replaced or deleted meanwhile
        if document is None or item.sop_instance_uid in self.removing:
            return True
        return not self.has(item) and self._replaces(item) and stays(document, item)

    def _replaces(self, item: Spooled) -> bool:
        return self.replace_duplicates or item.restates is not None

    def has(self, item: Spooled) -> bool:
        """Tell whether the very same bytes are here."""
        document = self.documents.get(item.sop_instance_uid)
        return document is not None and document["sha256"] == item.sha256

    def versions(self, uids: Iterable[str]) -> dict[str, str]:
        """Return SOP Instance UID → current version of those that are here."""
        return {uid: self.documents[uid]["version"] for uid in uids if uid in self.documents}


class KnownInstances:
    """Asks what the archive has: one request, shared with others that ask at the moment."""

    def __init__(self, index: ElasticsearchIndex, *, replace_duplicates: bool) -> None:
        """Ask `index`; with `replace_duplicates` other bytes are to be stored as a new version."""
        self._index = index
        self._documents = Lookup(index, INSTANCES, fields=KNOWN_FIELDS)
        self._replace_duplicates = replace_duplicates

    async def look_up(self, items: Mapping[str, Spooled]) -> Known:
        """Return what is known of these, by SOP Instance UID. Raises IndexUnavailable."""
        documents = await self._documents.get(list(items))
        same = {uid for uid, found in documents.items() if found["sha256"] == items[uid].sha256}
        studies = {items[uid].study_instance_uid for uid in same}
        removing = same & await self._being_removed(studies) if same else set[str]()
        return Known(documents, removing, self._replace_duplicates)

    async def _being_removed(self, studies: Iterable[str]) -> set[str]:
        """Return instances that somebody was deleting who died, or whose store failed.

        How far that went is known when the study is read. Asked only where the same bytes come again.
        """
        body = {
            "size": INTENTS_LOOKED_AT,
            "query": {"terms": {"study_instance_uid": list(studies)}},
            "_source": ["removed"],
        }
        hits = (await self._index.search(INTENTS, body))["hits"]["hits"]
        return {each[0] for hit in hits for each in hit["_source"].get("removed", ())}
