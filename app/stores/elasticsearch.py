"""Elasticsearch: the indices, looking up by id, searching, and bulk writing.

Strategy: each index has an alias `{prefix}-{name}` that the code uses, over a concrete index
`{prefix}-{name}-{mapping version}`, so that a rebuilt index takes over by moving the alias. Every failure
to reach the server leaves here as IndexUnavailable.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from uuid import uuid4

import orjson
from elastic_transport import AiohttpHttpNode, ConnectionTimeout, TransportError
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    BadRequestError,
    ConflictError,
    NotFoundError,
    OrjsonSerializer,
)

from app.errors import ConfigurationError, IndexUnavailable
from app.index.rehearsal import rehearsed_document, rehearsed_searches
from app.limits import Limits
from app.stores.freshness import Freshness

RETRY_AFTER_SECONDS = 5
CONNECTIONS = 12  # requests are coalesced; httpx looks at every idle one each time
HTTP_CONFLICT = 409
GET_AT_ONCE = 5_000  # documents of one request, so that no answer grows without bound


@dataclass(frozen=True, slots=True)
class Guard:
    """Which write of a document was looked at (Elasticsearch's optimistic concurrency control)."""

    seq_no: int
    primary_term: int


@dataclass(frozen=True, slots=True)
class Place:
    """A document as it was looked at."""

    source: Mapping[str, Any]
    guard: Guard


@dataclass(frozen=True, slots=True)
class Write:
    """One operation of a bulk request.

    `create` fails where the id is there; `index` and `delete` with a version are refused where the index
    has this version or a newer one (external versions: the ImagingStudy's), without a version they overwrite
    and remove. With a guard they are refused where the document is not the very one that was looked at.
    """

    action: Literal["create", "index", "delete"]
    index: str  # the name without prefix
    id: str
    source: Mapping[str, Any] | None = None
    version: int | None = None
    again: bool = (
        False  # the same version may be there: it was written before the study was complete
    )
    guard: Guard | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one operation: the HTTP-like status and, if it failed, the kind of failure."""

    status: int
    failure: str | None = None

    @property
    def conflict(self) -> bool:
        """Tell whether the index had the document already, or a newer one."""
        return self.status == HTTP_CONFLICT

    @property
    def failed(self) -> bool:
        """Tell whether the index lacks what was to be written; of a conflict it has as much or more."""
        return self.failure is not None and not self.conflict


class ElasticsearchIndex:
    """The search side of the archive."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        """Connect lazily to the server at `url`."""
        self._prefix = prefix
        self._freshness: dict[str, Freshness] = {}
        self._client = AsyncElasticsearch(
            url,
            api_key=api_key,
            node_class=AiohttpHttpNode,
            # on one machine or one network, deflating answers costs both sides more than it saves
            headers={"accept-encoding": "identity"},
            connections_per_node=CONNECTIONS,
            request_timeout=timeout_seconds,
            max_retries=0,  # retrying is decided where the whole request's time budget is known
            retry_on_timeout=False,
            serializers={"application/json": OrjsonSerializer()},
        )

    def alias(self, name: str) -> str:
        """Return the alias under which an index is used."""
        return f"{self._prefix}-{name}"

    async def ensure(
        self, definitions: Mapping[str, Mapping[str, Any]], *, shards: int, replicas: int
    ) -> None:
        """Make the indices that are missing; `definitions` is name → settings, mappings, version.

        `shards` is the number of primary shards of the instances, by far the largest index. Raises
        ConfigurationError where an index has another version: what it holds cannot be asked as it is here.
        """
        for name, definition in definitions.items():
            async with _translated():
                if await self._client.indices.exists_alias(name=self.alias(name)):
                    await self._check_version(name, definition["version"])
                    continue
                settings = {**definition["settings"]["index"], "number_of_replicas": replicas}
                if name == "instances":
                    settings["number_of_shards"] = shards
                await self._create(name, definition, settings)

    async def _check_version(self, name: str, version: int) -> None:
        alias = self.alias(name)
        found = await self._client.indices.get_alias(name=alias)
        for concrete in found.body:
            if concrete != f"{alias}-{version}":
                raise ConfigurationError(
                    f"The index {concrete} was made by another version of Coregister; this one needs mapping "
                    f"version {version}. Set COREGISTER_INDEX_PREFIX to a new prefix and import the objects "
                    "again, or go back to the version that made it."
                )

    async def _create(
        self, name: str, definition: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> None:
        concrete = f"{self.alias(name)}-{definition['version']}"
        try:
            await self._client.indices.create(
                index=concrete,
                settings=dict(settings),
                mappings=definition["mappings"],
                aliases={self.alias(name): {}},
                wait_for_active_shards=1,
            )
        except BadRequestError as exc:
            # another worker made it between the question and now
            if exc.error != "resource_already_exists_exception":
                raise

    async def get_many(
        self, name: str, ids: Sequence[str], *, fields: Sequence[str] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Return id → source of those ids that exist, as of now (no refresh needed)."""
        docs = await self._found(name, ids, fields)
        return {doc["_id"]: doc["_source"] for doc in docs}

    async def get_places(
        self, name: str, ids: Sequence[str], *, fields: Sequence[str]
    ) -> dict[str, Place]:
        """Return what `get_many` does, ready to be changed under guard."""
        return {
            doc["_id"]: Place(doc["_source"], Guard(doc["_seq_no"], doc["_primary_term"]))
            for doc in await self._found(name, ids, fields)
        }

    async def _found(
        self, name: str, ids: Sequence[str], fields: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), GET_AT_ONCE):
            async with _translated():
                answer = await self._client.mget(
                    index=self.alias(name),
                    ids=list(ids[start : start + GET_AT_ONCE]),
                    source_includes=list(fields) if fields is not None else None,
                )
            found += [doc for doc in answer["docs"] if doc.get("found")]
        return found

    async def search(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the raw answer to a search body; it sees all that was written before the call."""
        await self._fresh(name)
        async with _translated():
            answer = await self._client.search(index=self.alias(name), body=dict(body))
        return dict(answer.body)

    async def search_with(
        self, name: str, body: Mapping[str, Any], beside: Mapping[str, Any] | None
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the raw answers to a search body and, asked in the same request, to another."""
        if beside is None:
            return await self.search(name, body), None
        await self._fresh(name)
        async with _translated():
            answer = await self._client.msearch(
                index=self.alias(name), searches=[{}, dict(body), {}, dict(beside)]
            )
        first, second = answer["responses"]
        for each in (first, second):
            if "error" in each:
                raise IndexUnavailable(
                    f"Elasticsearch answered {each['status']}.", retry_after=RETRY_AFTER_SECONDS
                )
        return first, second

    async def _fresh(self, name: str) -> None:
        if name not in self._freshness:
            self._freshness[name] = Freshness(partial(self._refresh, name))
        await self._freshness[name].ensure()

    async def bulk(self, writes: Sequence[Write]) -> list[WriteResult]:
        """Carry out all writes; on return they are durable, and whoever reads sees them."""
        if not writes:
            return []
        async with _translated():
            answer = await self._client.perform_request(
                "POST",
                "/_bulk",
                headers={"content-type": "application/x-ndjson", "accept": "application/json"},
                body=b"".join(self._lines(writes)),
            )
        return [_result(item) for item in answer.body["items"]]

    def _lines(self, writes: Iterable[Write]) -> Iterable[bytes]:
        for write in writes:
            target: dict[str, Any] = {"_index": self.alias(write.index), "_id": write.id}
            if write.version is not None:
                kind = "external_gte" if write.again else "external"
                target |= {"version": write.version, "version_type": kind}
            if write.guard is not None:
                guard = write.guard
                target |= {"if_seq_no": guard.seq_no, "if_primary_term": guard.primary_term}
            yield orjson.dumps({write.action: target}) + b"\n"
            if write.source is not None:
                yield orjson.dumps(write.source) + b"\n"

    async def _refresh(self, name: str) -> None:
        async with _translated():
            await self._client.indices.refresh(index=self.alias(name))

    async def warm_up(
        self, definition: Mapping[str, Any], limits: Limits, *, rounds: int = 50
    ) -> None:
        """Write into an index made for it, search and remove it again, until the server's code is compiled."""
        name = f"warm-up-{uuid4().hex}"
        async with _translated():
            await self._create(name, definition, {**definition["settings"]["index"]})
        try:
            for number in range(rounds):
                write = Write("create", name, str(number), rehearsed_document(number, limits))
                await self.bulk([write])
                await self.get_many(name, [str(number)])
                for body in rehearsed_searches(limits):
                    await self.search(name, body)
        finally:
            self._freshness.pop(name, None)
            concrete = f"{self.alias(name)}-{definition['version']}"
            async with _translated():
                await self._client.indices.delete(index=concrete)

    async def drop(self) -> None:
        """Remove every index of this prefix, with all that is in it."""
        async with _translated():
            found = await self._client.indices.get(index=f"{self._prefix}-*", features="aliases")
            for concrete in found.body:
                await self._client.indices.delete(index=concrete)

    async def ping(self) -> None:
        """Return if the cluster can serve. Raises IndexUnavailable."""
        async with _translated():
            health = await self._client.cluster.health(
                index=f"{self._prefix}-*", timeout="1s", wait_for_status="yellow"
            )
        if health["status"] == "red":
            raise IndexUnavailable("An index is red.", retry_after=RETRY_AFTER_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _result(item: Mapping[str, Any]) -> WriteResult:
    (outcome,) = item.values()
    error = outcome.get("error")
    return WriteResult(status=outcome["status"], failure=error["type"] if error else None)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Turn failures to reach the server, or of the server, into IndexUnavailable."""
    try:
        yield
    except ConnectionTimeout as exc:
        raise IndexUnavailable(
            "Elasticsearch did not answer in time.", retry_after=RETRY_AFTER_SECONDS
        ) from exc
    except TransportError as exc:
        raise IndexUnavailable(
            "Elasticsearch cannot be reached.", retry_after=RETRY_AFTER_SECONDS
        ) from exc
    except (NotFoundError, ConflictError, BadRequestError):
        raise  # a mistake of ours, not of the server's state
    except ApiError as exc:
        raise IndexUnavailable(
            f"Elasticsearch answered {exc.status_code}.", retry_after=RETRY_AFTER_SECONDS
        ) from exc
