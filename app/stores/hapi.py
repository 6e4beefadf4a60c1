"""HAPI FHIR: reading a resource with its version, finding a patient, committing a study.

`W/"0"` in a bundle means that the resource is not there. One that was deleted is not there either, but
HAPI counts on from its tombstone; the store finds that number where a first try conflicts.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from app.errors import FhirUnavailable, VersionConflict
from app.fhir.bundle import study_transaction
from app.fhir.ids import patient_id
from app.fhir.patient import PatientKey
from app.fhir.rehearsal import rehearsed
from app.stores.hapi_client import RETRY_AFTER_SECONDS, HapiClient, body_of

_VERSION = re.compile(r'(?:W/)?"?(\d+)"?')
_HISTORY = re.compile(r"/_history/(\d+)$")
_TOKEN_SPECIAL = re.compile(r"([\\,|$])")

_ENDPOINT_TRIES = 5
_DELETE_TRIES = 5
_DELETE_PAUSE_SECONDS = 0.1
_LONGEST_CHAIN = 10  # of patients, each replaced by the next
_PATIENTS_PAGE = 50
_ABSENT = 'W/"0"'
_WARM_UP_AT_ONCE = 2


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


class HapiStore:
    """The FHIR side of the archive."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        """Talk through `http`, whose base URL is the FHIR base; `close` closes it."""
        self._http = http
        self._client = HapiClient(http)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ping(self) -> None:
        """See that the server and its database answer. Raises FhirUnavailable."""
        bundle = await self._search("Endpoint", {"_count": "1", "_elements": "id"})
        if bundle.get("resourceType") != "Bundle":
            raise FhirUnavailable("What answers at the FHIR address is no FHIR server.")

    async def read(self, resource_type: str, resource_id: str) -> Found:
        """Return a resource and its version. Raises FhirUnavailable."""
        response = await self._client.exchange("get", f"{resource_type}/{resource_id}")
        if response.is_success:
            return _found(body_of(response))
        if response.status_code != httpx.codes.GONE:
            _expect_outcome(response)
            return Found(None, 0)
        tombstone = _HISTORY.search(response.headers.get("Location", ""))
        if tombstone is None:
            raise FhirUnavailable("The FHIR server does not say when it deleted a resource.")
        return Found(None, int(tombstone[1]))

    async def find_patient(self, key: PatientKey) -> str | None:
        """Return the reference of the Patient with this identifier. Raises FhirUnavailable.

        A patient that was merged leads to the one that replaces it. Of several, active ones come first,
        then the order of ids decides. Where none has the identifier, the Patient that was once made
        for it still counts: somebody corrected its identifier.
        """
        system, value = (_TOKEN_SPECIAL.sub(r"\\\1", part) for part in (key.system, key.value))
        bundle = await self._search(
            "Patient",
            {
                "identifier": f"{system}|{value}",
                "_elements": "active,link",
                "_count": str(_PATIENTS_PAGE),
            },
        )
        matches = [
            entry["resource"]
            for entry in bundle.get("entry", ())
            if entry["resource"].get("resourceType") == "Patient"
        ]
        if not matches:
            made = await self.read("Patient", patient_id(key.system, key.value))
            matches = [made.resource] if made.resource else []
        present = [await self._replacement(patient) for patient in matches]
        if not present:
            return None
        best = min(present, key=lambda p: (p.get("active") is False, p["id"]))
        return f"Patient/{best['id']}"

    async def commit(self, bundle: Mapping[str, Any]) -> CommitResult:
        """Carry out a transaction of PUTs, all or nothing.

        Raises VersionConflict, LinkRefused, FhirUnavailable; after the last it may have happened.
        """
        try:
            return await self._commit(bundle)
        except VersionConflict:
            revived = await self._after_tombstones(bundle)
            if revived is None:
                raise
            return await self._commit(revived)

    async def delete(self, resource_type: str, resource_id: str, version: int) -> None:
        """Delete a resource that is at this version.

        Raises VersionConflict where it is at another one, or where others refer to it; FhirUnavailable.

        HAPI ignores If-Match of a DELETE, but refuses one whose URL names a version that is not current. A
        young server may answer 409 to a lone DELETE for no reason (HAPI-0826), so it is tried again.
        """
        for attempt in range(_DELETE_TRIES):
            try:
                await self._client.exchange(
                    "delete", f"{resource_type}/{resource_id}/_history/{version}"
                )
            except VersionConflict:
                found = await self.read(resource_type, resource_id)
                if found.resource is None and found.version > version:
                    return  # an answer before this one was lost
                if found.version != version or attempt == _DELETE_TRIES - 1:
                    raise
                await asyncio.sleep(_DELETE_PAUSE_SECONDS)
                continue
            return

    async def ensure_endpoint(self, resource: Mapping[str, Any]) -> None:
        """See that this Endpoint is there as given. Raises LinkRefused, FhirUnavailable."""
        for _ in range(_ENDPOINT_TRIES):
            found = await self.read("Endpoint", resource["id"])
            if found.resource is not None and resource.items() <= found.resource.items():
                return
            merged = {**(found.resource or {}), **resource}
            merged.pop("meta", None)
            try:
                await self._put(merged, f'W/"{found.version}"')
            except VersionConflict:
                continue
            return
        raise VersionConflict("Others keep changing the Endpoint.", retry_after=1)

    async def warm_up(self, existing: Mapping[str, Any], *, transactions: int = 100) -> None:
        """Have the server do what a first study needs, and undo it, until its code is compiled.

        `existing` is a resource that is there, such as the Endpoint: creating it once more fails, and takes the
        rest of each transaction with it. Raises FhirUnavailable.
        """
        for start in range(0, transactions, _WARM_UP_AT_ONCE):
            count = min(_WARM_UP_AT_ONCE, transactions - start)
            undone = await asyncio.gather(*(self._rehearse(existing) for _ in range(count)))
            if not all(undone):
                return

    async def _rehearse(self, existing: Mapping[str, Any]) -> bool:
        """Make a patient and a study in a transaction that cannot succeed; tell whether it did not."""
        key = PatientKey("urn:coregister:warm-up", str(uuid4()))
        await self.find_patient(key)
        patient, study = rehearsed(key)
        bundle = study_transaction(study, 0, patient)
        bundle["entry"] += study_transaction(existing, 0, None)["entry"]
        try:
            await self._client.execute("", data=bundle)
        except VersionConflict:
            return True
        for made in (study, patient):  # a server that ignores If-Match
            await self._client.delete(made["resourceType"], made["id"])
        return False

    async def _commit(self, bundle: Mapping[str, Any]) -> CommitResult:
        entries = bundle["entry"]
        if len(entries) == 1:  # a PUT alone is as atomic, and takes two thirds of the time
            (entry,) = entries
            version = await self._put(entry["resource"], entry["request"]["ifMatch"])
            return CommitResult({entry["request"]["url"]: version})
        answer = await self._client.execute("", data=dict(bundle))
        answered = answer.get("entry", ()) if isinstance(answer, dict) else ()
        if len(answered) != len(entries):
            raise FhirUnavailable("The FHIR server answered another transaction than was sent.")
        return CommitResult(
            {
                entry["request"]["url"]: _answered_version(one.get("response", {}))
                for entry, one in zip(entries, answered, strict=True)
            }
        )

    async def _put(self, resource: Mapping[str, Any], if_match: str) -> int:
        response = await self._client.exchange(
            "put",
            f"{resource['resourceType']}/{resource['id']}",
            data=resource,
            headers={"If-Match": if_match},
        )
        return _version(response.headers.get("ETag", ""))

    async def _after_tombstones(self, bundle: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the bundle with the numbers of tombstones, or None where there are none."""
        entries, revived = [], False
        for entry in bundle["entry"]:
            if entry["request"]["ifMatch"] == _ABSENT:
                found = await self.read(*entry["request"]["url"].split("/"))
                if found.resource is None and found.version:
                    request = {**entry["request"], "ifMatch": f'W/"{found.version}"'}
                    entry, revived = {**entry, "request": request}, True  # noqa: PLW2901
            entries.append(entry)
        return {**bundle, "entry": entries} if revived else None

    async def _replacement(self, patient: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the Patient that a merge left in place of this one (`link.type` replaced-by)."""
        for _ in range(_LONGEST_CHAIN):
            reference = next(
                (
                    link.get("other", {}).get("reference", "")
                    for link in patient.get("link", ())
                    if link.get("type") == "replaced-by"
                ),
                "",
            )
            kind, _, other_id = reference.partition("/")
            if kind != "Patient" or not other_id or "/" in other_id:
                return patient
            other = await self.read("Patient", other_id)
            if other.resource is None:
                return patient
            patient = other.resource
        return patient

    async def _search(self, resource_type: str, params: Mapping[str, str]) -> dict[str, Any]:
        response = await self._client.exchange("get", resource_type, params=params)
        if not response.is_success:
            raise FhirUnavailable(
                f"The FHIR server cannot search {resource_type}.", retry_after=RETRY_AFTER_SECONDS
            )
        bundle = body_of(response)
        return bundle if isinstance(bundle, dict) else {}


def _found(resource: Any) -> Found:
    try:
        return Found(resource, int(resource["meta"]["versionId"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise FhirUnavailable("What answers at the FHIR address keeps no versions.") from exc


def _answered_version(response: Mapping[str, Any]) -> int:
    if not str(response.get("status", "")).startswith("2"):
        raise FhirUnavailable("The FHIR server left an entry of a transaction out.")
    return _version(str(response.get("etag", "")))


def _version(etag: str) -> int:
    match = _VERSION.fullmatch(etag)
    if match is None:
        raise FhirUnavailable("The FHIR server does not tell the version of what it wrote.")
    return int(match[1])


def _expect_outcome(response: httpx.Response) -> None:
    """See that a 404 is the FHIR server's word on a resource, not a wrong address."""
    body = body_of(response)
    if not isinstance(body, dict) or body.get("resourceType") != "OperationOutcome":
        raise FhirUnavailable("What answers at the FHIR address is no FHIR server.")
