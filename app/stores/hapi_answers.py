"""What the FHIR server answers: versions of what is there and of what was written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from app.errors import FhirUnavailable
from app.stores.hapi_client import body_of

_VERSION = re.compile(r'(?:W/)?"?(\d+)"?')


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a resource's address.

    No resource and version 0: never was. No resource and a version: deleted, and that is the tombstone's.
    """

    resource: dict[str, Any] | None
    version: int


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The version that each resource of a bundle has now, by reference."""

    versions: Mapping[str, int]


def found_in(resource: Any) -> Found:
    """Return a resource that was read, with its version. Raises FhirUnavailable where it has none."""
    try:
        return Found(resource, int(resource["meta"]["versionId"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise FhirUnavailable("What answers at the FHIR address keeps no versions.") from exc


def answered_version(response: Mapping[str, Any]) -> int:
    """Return the version that an entry of a transaction made. Raises FhirUnavailable."""
    if not str(response.get("status", "")).startswith("2"):
        raise FhirUnavailable("The FHIR server left an entry of a transaction out.")
    return version_of(str(response.get("etag", "")))


def version_of(etag: str) -> int:
    """Return the version that an ETag is (FHIR R4 §3.1.0.1.3). Raises FhirUnavailable."""
    match = _VERSION.fullmatch(etag)
    if match is None:
        raise FhirUnavailable("The FHIR server does not tell the version of what it wrote.")
    return int(match[1])


def expect_outcome(response: httpx.Response) -> None:
    """See that a 404 is the FHIR server's word on a resource, not a wrong address."""
    body = body_of(response)
    if not isinstance(body, dict) or body.get("resourceType") != "OperationOutcome":
        raise FhirUnavailable("What answers at the FHIR address is no FHIR server.")
