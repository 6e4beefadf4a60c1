"""fhirpy over one pool of kept connections, and HAPI's answers as errors of our own tree.

fhirpy opens a connection for every request and drops the status of what goes wrong. This client
replaces the one method through which all of its requests go; that method is private, so the
version is pinned and `tests/unit/stores/test_hapi_client.py` holds it to its contract.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson
from fhirpy import AsyncFHIRClient

from app.errors import FhirUnavailable, LinkRefused, VersionConflict

RETRY_AFTER_SECONDS = 5

_HEADERS = {
    "Accept": "application/fhir+json",
    # what is sent back is small, and deflating it costs both sides more than it saves
    "Accept-Encoding": "identity",
}
# Searches: never an answer that was kept from before, and none to be kept. HAPI then also answers without
# writing the search to its database, in half the time.
SEARCH_HEADERS = {"Cache-Control": "no-cache, no-store"}
_WRITE_HEADERS = {
    "Content-Type": "application/fhir+json",
    "Prefer": "return=minimal",  # we know what we wrote
}

_CONFLICTS = frozenset({httpx.codes.CONFLICT, httpx.codes.PRECONDITION_FAILED})
_ABSENT = frozenset({httpx.codes.NOT_FOUND, httpx.codes.GONE})
# not the study's fault: our credentials, a proxy, too many requests
_NOT_NOW = frozenset({401, 403, 404, 407, 408, 410, 425, 429})
# two transactions that create the same row: the loser gets 500 where it should get 409
_LOST_RACE = re.compile(r"constraint|deadlock", re.IGNORECASE)

_ISSUE_CODE = re.compile(r"[a-z]+(-[a-z]+)*")
_ISSUE_PATH = re.compile(r"[A-Za-z][A-Za-z0-9.\[\]]*")
_HAPI_CODE = re.compile(r"HAPI-\d{4}")


class HapiClient(AsyncFHIRClient):
    """An asynchronous FHIR client on a given `httpx.AsyncClient`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        """Send everything through `http`, whose base URL is the FHIR base."""
        super().__init__(str(http.base_url).rstrip("/"))
        self._http = http

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        data: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Return the answer where it is a success, or says that the resource is not there.

        Raises VersionConflict, LinkRefused, FhirUnavailable.
        """
        request = self._http.build_request(
            method.upper(),
            self._build_request_url(path, params),
            content=None if data is None else orjson.dumps(data),
            headers={
                **_HEADERS,
                **(SEARCH_HEADERS if params is not None else {}),
                **(_WRITE_HEADERS if data is not None else {}),
                **(headers or {}),
            },
        )
        try:
            response = await self._http.send(request)
        except (httpx.TransportError, httpx.DecodingError) as exc:
            raise FhirUnavailable(
                f"The FHIR server does not answer ({type(exc).__name__}).",
                retry_after=RETRY_AFTER_SECONDS,
            ) from exc
        read = method.lower() == "get"
        if not response.is_success and not (read and response.status_code in _ABSENT):
            raise _error(response)
        return response

    async def _do_request(
        self,
        method: str,
        path: str,
        data: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        *,
        returning_status: bool = False,
    ) -> Any:
        """Carry out any request of fhirpy's own."""
        response = await self.exchange(
            method, path, data=data, params=params, headers=extra_headers
        )
        body = body_of(response) if response.content else None
        return (body, response.status_code) if returning_status else body


def body_of(response: httpx.Response) -> Any:
    """Return the JSON of an answer; what is none comes from a server that is not the FHIR server."""
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError as exc:
        raise FhirUnavailable(
            "What answers at the FHIR address does not speak FHIR JSON.",
            retry_after=RETRY_AFTER_SECONDS,
        ) from exc


def _error(response: httpx.Response) -> VersionConflict | LinkRefused | FhirUnavailable:
    """Return the error that an answer stands for."""
    status = response.status_code
    outcome = _outcome(response)
    lost_race = status >= 500 and any(  # noqa: PLR2004
        _LOST_RACE.search(str(issue.get("diagnostics", ""))) for issue in outcome
    )
    if status in _CONFLICTS or lost_race:
        return VersionConflict("Another writer changed the study meanwhile.", retry_after=1)
    if status >= 500 or status < 400 or status in _NOT_NOW or not outcome:  # noqa: PLR2004
        return FhirUnavailable(
            f"The FHIR server answers {status}.", retry_after=_retry_after(response)
        )
    said = "; ".join(dict.fromkeys(_described(outcome))) or "no reason given"
    return LinkRefused(f"The FHIR server refuses the study with {status}: {said}.")


def _outcome(response: httpx.Response) -> list[Mapping[str, Any]]:
    """Return the issues of an OperationOutcome."""
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(body, dict) or body.get("resourceType") != "OperationOutcome":
        return []
    return [issue for issue in body.get("issue", ()) if isinstance(issue, dict)]


def _described(issues: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what is wrong and where.

    The diagnostics quote the data and stay behind; of them only HAPI's message number is told.
    """
    for issue in issues:
        code = _ISSUE_CODE.fullmatch(str(issue.get("code", "")))
        numbers = _HAPI_CODE.findall(str(issue.get("diagnostics", "")))
        paths = [*issue.get("expression", ()), *issue.get("location", ())]
        where = [path for path in paths if _ISSUE_PATH.fullmatch(str(path))]
        yield " ".join([code[0] if code else "issue", *where, *numbers])


def _retry_after(response: httpx.Response) -> int:
    value = response.headers.get("Retry-After", "")
    return int(value) if value.isdecimal() else RETRY_AFTER_SECONDS
