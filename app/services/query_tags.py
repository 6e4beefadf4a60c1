"""Keeps extended query tags: which attributes clients registered, at which level, and whether they are enabled.

Strategy: one document a tag, its id the tag, so that of two clients that add the same one is told. As every
attribute is indexed already, an added tag is ready at once and the operation that clients wait for is complete
when they hear of it. Searches look at what is registered through a copy that is at most `COPY_SECONDS` old.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.dicom.extended_query_tag import ExtendedQueryTag
from app.dicom.qido_grammar import Level, Query
from app.errors import AlreadyThere, BadQuery, BadRequest, NotFound
from app.index.left_out import lacks
from app.limits import Limits
from app.services.snapshot import INSTANCES
from app.stores.elasticsearch import ElasticsearchIndex, Write

QUERY_TAGS = "query_tags"
COPY_SECONDS = 1.0
_TAG, _OPERATION = "tag", "operation"
_DEPTH = {Level.STUDY: 0, Level.SERIES: 1, Level.INSTANCE: 2}


@dataclass(frozen=True, slots=True)
class Operation:
    """What clients call the work of making a tag searchable; here it is always complete."""

    id: str
    created: str  # RFC 3339, UTC
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagError:
    """An instance with a value of a tag that could not be indexed."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    created: str  # RFC 3339, UTC


class QueryTags:
    """The verbs behind `/extendedquerytags` and `/operations`."""

    def __init__(self, index: ElasticsearchIndex, limits: Limits) -> None:
        """Keep them in `index`."""
        self._index = index
        self._limits = limits
        self._copy: Mapping[str, ExtendedQueryTag] = {}
        self._copied_at = -COPY_SECONDS

    async def add(self, tags: Sequence[ExtendedQueryTag]) -> Operation:
        """Register all of these tags or none. Raises AlreadyThere, BadRequest, IndexUnavailable."""
        registered = await self.all()
        taken = sorted(tag.tag for tag in tags if tag.tag in {each.tag for each in registered})
        if taken:
            raise AlreadyThere(f"Registered already: {', '.join(taken)}.")
        if len(registered) + len(tags) > self._limits.extended_query_tags:
            raise BadRequest("There would be more tags than the limit extended_query_tags.")
        operation = Operation(uuid.uuid4().hex, _now(), tuple(tag.tag for tag in tags))
        writes = [
            Write("create", QUERY_TAGS, tag.tag, _to_source(tag, operation.id)) for tag in tags
        ]
        results = await self._index.bulk(writes)
        lost = [tag.tag for tag, result in zip(tags, results, strict=True) if result.failure]
        if lost:  # somebody else was faster: take back what was added
            made = [tag.tag for tag in tags if tag.tag not in lost]
            await self._write([Write("delete", QUERY_TAGS, tag) for tag in made])
            raise AlreadyThere(f"Registered already: {', '.join(sorted(lost))}.")
        source = {"kind": _OPERATION, "created": operation.created, "tags": list(operation.tags)}
        await self._write([Write("create", QUERY_TAGS, operation.id, source)])
        return operation

    async def all(self) -> list[ExtendedQueryTag]:
        """Return every registered tag, in the order of tags. Raises IndexUnavailable."""
        body = {
            "size": self._limits.extended_query_tags,
            "query": {"term": {"kind": _TAG}},
            "sort": ["tag"],
        }
        hits = (await self._index.search(QUERY_TAGS, body))["hits"]["hits"]
        return [_from_source(hit["_source"]) for hit in hits]

    async def get(self, tag: str) -> ExtendedQueryTag:
        """Return a registered tag. Raises NotFound, IndexUnavailable."""
        source = (await self._index.get_many(QUERY_TAGS, [tag])).get(tag)
        if source is None or source["kind"] != _TAG:
            raise NotFound("This tag is not registered.")
        return _from_source(source)

    async def enable(self, tag: str, *, enabled: bool) -> ExtendedQueryTag:
        """Let a tag be searched, or not; return it as it is then. Raises NotFound, IndexUnavailable."""
        known = await self.get(tag)
        changed = ExtendedQueryTag(
            known.tag, known.vr, known.level, known.private_creator, enabled, known.operation
        )
        source = _to_source(changed, known.operation)
        await self._write([Write("index", QUERY_TAGS, tag, source)])
        return changed

    async def remove(self, tag: str) -> None:
        """Forget a tag; it stays searchable as every attribute is. Raises NotFound, IndexUnavailable."""
        await self.get(tag)
        await self._write([Write("delete", QUERY_TAGS, tag)])

    async def operation(self, operation_id: str) -> Operation:
        """Return an operation. Raises NotFound, IndexUnavailable."""
        source = (await self._index.get_many(QUERY_TAGS, [operation_id])).get(operation_id)
        if source is None or source["kind"] != _OPERATION:
            raise NotFound("There is no such operation.")
        return Operation(operation_id, source["created"], tuple(source["tags"]))

    async def error_count(self, tag: ExtendedQueryTag) -> int:
        """Return how many instances have a value of the tag that is not indexed. Raises IndexUnavailable."""
        body = {"size": 0, "track_total_hits": True, "query": lacks([tag.step])}
        return int((await self._index.search(INSTANCES, body))["hits"]["total"]["value"])

    async def errors(self, tag: ExtendedQueryTag, *, limit: int, offset: int) -> list[TagError]:
        """Return the instances with a value of the tag that is not indexed. Raises IndexUnavailable."""
        body = {
            "size": limit,
            "from": offset,
            "query": lacks([tag.step]),
            "sort": [{"stored_at": "asc"}, {"order": "asc"}],
            "_source": [
                "study_instance_uid", "series_instance_uid", "sop_instance_uid", "stored_at"
            ],
        }  # fmt: skip
        hits = (await self._index.search(INSTANCES, body))["hits"]["hits"]
        return [
            TagError(
                hit["_source"]["study_instance_uid"],
                hit["_source"]["series_instance_uid"],
                hit["_source"]["sop_instance_uid"],
                hit["_source"]["stored_at"],
            )
            for hit in hits
        ]

    async def erroneous(self, query: Query) -> tuple[str, ...]:
        """Return the registered tags among a query's keys with values that are not indexed.

        See that none of them is disabled, or registered below the query's level. Raises BadQuery,
        IndexUnavailable.
        """
        asked = await self._allowed(query)
        return tuple([tag.tag for tag in asked if await self.error_count(tag)])

    async def _allowed(self, query: Query) -> list[ExtendedQueryTag]:
        if time.monotonic() - self._copied_at >= COPY_SECONDS:
            self._copy = {tag.step: tag for tag in await self.all()}
            self._copied_at = time.monotonic()
        keys = [key.path[0] for key in query.keys if len(key.path) == 1]
        asked = [self._copy[step] for step in keys if step in self._copy]
        for tag in asked:
            if not tag.enabled:
                raise BadQuery(f"The extended query tag {tag.tag} is disabled.")
            if _DEPTH[tag.level] > _DEPTH[query.level]:
                raise BadQuery(
                    f"The extended query tag {tag.tag} is registered at the level {tag.level.value}; "
                    f"ask for it there, or remove it from the extended query tags."
                )
        return asked

    async def _write(self, writes: Sequence[Write]) -> None:
        self._copied_at = -COPY_SECONDS  # what this process changes, its searches see at once
        await self._index.bulk(writes)
        self._copied_at = -COPY_SECONDS


def _to_source(tag: ExtendedQueryTag, operation: str) -> dict[str, Any]:
    return {
        "kind": _TAG,
        "tag": tag.tag,
        "vr": tag.vr,
        "level": tag.level.value,
        "private_creator": tag.private_creator,
        "enabled": tag.enabled,
        "operation": operation,
    }


def _from_source(source: Mapping[str, Any]) -> ExtendedQueryTag:
    return ExtendedQueryTag(
        source["tag"],
        source["vr"],
        Level(source["level"]),
        source["private_creator"],
        source["enabled"],
        source["operation"],
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
