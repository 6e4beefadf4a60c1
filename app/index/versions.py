"""The documents of versions that are no longer current: replaced by a later one, or deleted.

Strategy: an instance's own document is always its current version. What was one before has a document
of its own under the version's name, with what is needed to serve its bytes and to remove them. That of a
deleted version is the tombstone: while it lives, reading is answered 410. Nothing of the data set is in it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.limits import Limits

# what a former version keeps of the instance's document
KEPT_FIELDS: tuple[str, ...] = (
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "sop_class_uid",
    "transfer_syntax_uid",
    "blob_key",
    "size",
    "sha256",
    "version",
    "stored_at",
)


def replaced_version(instance: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the document of a version that a later one takes the place of."""
    return {**_kept(instance), "replaced_at": now.isoformat()}


def deleted_version(instance: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the document of a version that is deleted; of one that was replaced before as well."""
    replaced = {name: instance[name] for name in ("replaced_at",) if name in instance}
    return {**_kept(instance), **replaced, "deleted_at": now.isoformat()}


def _kept(instance: Mapping[str, Any]) -> dict[str, Any]:
    return {name: instance[name] for name in KEPT_FIELDS}


def living_tombstones(
    limits: Limits,
    now: datetime,
    *,
    study_instance_uid: str,
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
) -> dict[str, Any]:
    """Return the query that finds a tombstone within a study, series or instance."""
    since = now - timedelta(seconds=limits.tombstone_seconds)
    within = {
        "study_instance_uid": study_instance_uid,
        "series_instance_uid": series_instance_uid,
        "sop_instance_uid": sop_instance_uid,
    }
    return {
        "bool": {
            "filter": [
                *({"term": {name: uid}} for name, uid in within.items() if uid is not None),
                {"range": {"deleted_at": {"gt": since.isoformat()}}},
            ]
        }
    }


def versions_of(sop_instance_uids: Sequence[str], *, deleted: bool | None = None) -> dict[str, Any]:
    """Return the query that finds former versions of instances: all, or only (un)deleted ones."""
    query: dict[str, Any] = {"filter": [{"terms": {"sop_instance_uid": list(sop_instance_uids)}}]}
    if deleted is not None:
        query["must" if deleted else "must_not"] = [{"exists": {"field": "deleted_at"}}]
    return {"bool": query}


def removable_bytes(limits: Limits, now: datetime) -> dict[str, Any]:
    """Return the query that finds deleted versions whose bytes are due, and in nobody's hands."""
    due = now - timedelta(seconds=limits.deleted_bytes_seconds)
    return {
        "bool": {
            "filter": [{"range": {"deleted_at": {"lte": due.isoformat()}}}],
            "must_not": [
                {"exists": {"field": "removed_at"}},
                {"range": {"lease_until": {"gt": now.isoformat()}}},
            ],
        }
    }


def outlived_tombstones(limits: Limits, now: datetime) -> dict[str, Any]:
    """Return the query that finds tombstones whose time is over and whose bytes are removed."""
    over = now - timedelta(seconds=limits.tombstone_seconds)
    return {
        "bool": {
            "filter": [
                {"range": {"deleted_at": {"lte": over.isoformat()}}},
                {"exists": {"field": "removed_at"}},
            ]
        }
    }
