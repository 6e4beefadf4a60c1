"""What was changed on the FHIR server since some time, by whomever, deletions included.

HAPI's `_history` of a type (R4 §3.1.0.11) lists versions, the newest first, with pages by offset: what is
changed while they are read moves others to later pages, so a version may be read twice, but none is missed.
Bodies are not needed: a version comes with its `meta`, identifiers and links alone.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from app.errors import FhirUnavailable
from app.stores.hapi_client import HapiClient, body_of

PAGE = 500

_VERSIONED = re.compile(
    r"(?P<type>[A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})/_history/(?P<version>\d+)$"
)


@dataclass(frozen=True, slots=True)
class Change:
    """One version of a resource."""

    resource_type: str
    resource_id: str
    version: int
    deleted: bool
    identifiers: Sequence[Mapping[str, Any]] = ()
    linked: bool = False  # a Patient that tells of others

    @property
    def key(self) -> tuple[str, int]:
        """Return what tells it from every other change of its type."""
        return self.resource_id, self.version


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Some changes, and what the FHIR server's clock said when they were read."""

    at: datetime
    changes: tuple[Change, ...]


class HapiHistory:
    """Reads changes."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        """Ask through `http`, whose base URL is the FHIR base; others close it."""
        self._client = HapiClient(http)

    async def now(self) -> datetime:
        """Return what the FHIR server's clock says. Raises FhirUnavailable."""
        response = await self._client.exchange("get", "Patient/_history", params={"_count": "1"})
        return _page(response)[0].at

    async def version(
        self, resource_type: str, resource_id: str, version: int
    ) -> dict[str, Any] | None:
        """Return a version of a resource, or None where the server has not kept it. Raises FhirUnavailable."""
        path = f"{resource_type}/{resource_id}/_history/{version}"
        response = await self._client.exchange("get", path)
        body = body_of(response)
        kept = response.is_success and body.get("resourceType") == resource_type
        return body if kept else None

    async def since(self, resource_type: str, start: datetime) -> AsyncIterator[ChangePage]:
        """Yield the changes of a type since a time, newest first. Raises FhirUnavailable."""
        params: dict[str, str] | None = {
            "_since": start.astimezone(UTC).isoformat(timespec="milliseconds"),
            "_count": str(PAGE),
            "_elements": "meta,identifier,link",
        }
        path = f"{resource_type}/_history"
        while params is not None:
            response = await self._client.exchange("get", path, params=params)
            page, following = _page(response)
            yield page
            if following is not None and dict(following) == params:
                raise FhirUnavailable("The FHIR server's history has no end.")
            params = following
            # HAPI either counts on with an offset, or has kept the answer and names that
            path = "" if params is not None and "_getpages" in params else path


def _page(response: httpx.Response) -> tuple[ChangePage, dict[str, str] | None]:
    """Return a page, and the parameters that ask for the next one."""
    bundle = body_of(response)
    try:
        at = datetime.fromisoformat(bundle["meta"]["lastUpdated"])
        entries = bundle.get("entry", ())
        links = bundle.get("link", ())
        changes = tuple(filter(None, map(_change, entries)))
        following = next((link["url"] for link in links if link["relation"] == "next"), None)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise FhirUnavailable("The FHIR server's history cannot be understood.") from exc
    # of the link only its query: the server may be known to others by another address
    query = None if following is None else dict(parse_qsl(urlsplit(following).query))
    return ChangePage(at, changes), query


def _change(entry: Mapping[str, Any]) -> Change | None:
    request = entry["request"]
    found = _VERSIONED.search(request.get("url", ""))
    resource = entry.get("resource", {})
    if found is not None:
        kind, resource_id, version = found["type"], found["id"], int(found["version"])
    elif "id" in resource:
        kind, resource_id = resource["resourceType"], resource["id"]
        version = int(resource["meta"]["versionId"])
    else:
        return None
    deleted = request.get("method") == "DELETE"
    return Change(
        kind,
        resource_id,
        version,
        deleted,
        identifiers=tuple(resource.get("identifier", ())),
        linked="link" in resource,
    )
