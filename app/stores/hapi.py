"""HAPI FHIR: reading a resource with its version, finding a patient, committing a study.

`W/"0"` in a bundle means that the resource is not there. One that was deleted is not there either, but
HAPI counts on from its tombstone; the store finds that number where a first try conflicts.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx

from app.errors import FhirUnavailable, VersionConflict
from app.fhir.bundle import batch_of_questions, study_transaction, transaction_of_puts
from app.fhir.ids import patient_id
from app.fhir.patient import PatientKey
from app.fhir.rehearsal import rehearsed
from app.stores.hapi_answers import (
    CommitResult,
    Found,
    answered_version,
    expect_outcome,
    found_in,
    version_of,
)
from app.stores.hapi_client import RETRY_AFTER_SECONDS, SEARCH_HEADERS, HapiClient, body_of
from app.stores.hapi_questions import Question, answer, found_by, patients_with

__all__ = ["CommitResult", "Found", "HapiStore"]

_HISTORY = re.compile(r"/_history/(\d+)$")

_ENDPOINT_TRIES = 5
_DELETE_TRIES = 5
_DELETE_PAUSE_SECONDS = 0.1
_LONGEST_CHAIN = 10  # of patients, each replaced by the next
_ABSENT = 'W/"0"'
# who makes them has to know of one that is there
_DECIDED = frozenset(
    {"Patient", "ImagingStudy", "Observation", "DiagnosticReport", "DocumentReference"}
)
_WARM_UP_AT_ONCE = 2
_READ_AT_ONCE = 20


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
            return found_in(body_of(response))
        if response.status_code != httpx.codes.GONE:
            expect_outcome(response)
            return Found(None, 0)
        tombstone = _HISTORY.search(response.headers.get("Location", ""))
        if tombstone is None:
            raise FhirUnavailable("The FHIR server does not say when it deleted a resource.")
        return Found(None, int(tombstone[1]))

    async def ask(self, questions: Sequence[Question]) -> list[list[dict[str, Any]] | None]:
        """Return the first page that each search finds, in one round trip; None where one is refused.

        Raises FhirUnavailable.
        """
        if len(questions) == 1:  # a search alone is quicker than in a bundle
            (question,) = questions
            bundle = await self._search(question.resource_type, question.params)
            return [found_by(question, bundle)]
        asked = batch_of_questions((q.resource_type, q.params) for q in questions)
        headers = {**SEARCH_HEADERS, "Prefer": "return=representation"}
        response = await self._client.exchange("post", "", data=asked, headers=headers)
        answered = body_of(response).get("entry", ())
        if len(answered) != len(questions):
            raise FhirUnavailable("The FHIR server answered another batch than was sent.")
        return [
            found_by(question, answer(entry))
            for question, entry in zip(questions, answered, strict=True)
        ]

    async def find_patient(self, key: PatientKey) -> Mapping[str, Any] | None:
        """Return the Patient with this identifier, whole. Raises FhirUnavailable."""
        (matches,) = await self.ask([patients_with(key)])
        return await self.chosen_patient(key, matches)

    async def chosen_patient(
        self, key: PatientKey, matches: Sequence[Mapping[str, Any]] | None
    ) -> Mapping[str, Any] | None:
        """Return which of the Patients with an identifier is meant. Raises FhirUnavailable.

        A patient that was merged leads to the one that replaces it. Of several, active ones come first,
        then the order of ids decides. Where none has the identifier, the Patient that was once made
        for it still counts: somebody corrected its identifier.
        """
        if matches is None:
            raise FhirUnavailable("The FHIR server cannot search Patient.")
        if not matches:
            made = await self.read("Patient", patient_id(key.system, key.value))
            matches = [made.resource] if made.resource else []
        present = [await self.replacement(patient) for patient in matches]
        if not present:
            return None
        return min(present, key=lambda p: (p.get("active") is False, p["id"]))

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

    async def write(self, resources: Sequence[Mapping[str, Any]]) -> None:
        """Make or replace resources, whatever is there, all or none.

        Raises VersionConflict, LinkRefused, FhirUnavailable.
        """
        await self._client.exchange("post", "", data=transaction_of_puts(resources))

    async def index_again(self, resource_type: str) -> None:
        """Ask the server to index what it has of a type by the search parameters that it has now.

        It does so by and by (`$reindex`). Raises LinkRefused, FhirUnavailable.
        """
        url = {"name": "url", "valueString": f"{resource_type}?"}
        asked = {"resourceType": "Parameters", "parameter": [url]}
        await self._client.exchange(
            "post", "$reindex", data=asked, headers={"Prefer": "respond-async"}
        )

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
        if (
            len(entries) == 1 and "resource" in entries[0]
        ):  # a PUT alone is as atomic, and takes two thirds of the time
            (entry,) = entries
            version = await self._put(entry["resource"], entry["request"]["ifMatch"])
            return CommitResult({entry["request"]["url"]: version})
        answer = await self._client.execute("", data=dict(bundle))
        answered = answer.get("entry", ()) if isinstance(answer, dict) else ()
        if len(answered) != len(entries):
            raise FhirUnavailable("The FHIR server answered another transaction than was sent.")
        return CommitResult(
            {
                entry["request"]["url"]: answered_version(one.get("response", {}))
                for entry, one in zip(entries, answered, strict=True)
                if "resource" in entry  # or it was removed
            }
        )

    async def _put(self, resource: Mapping[str, Any], if_match: str) -> int:
        response = await self._client.exchange(
            "put",
            f"{resource['resourceType']}/{resource['id']}",
            data=resource,
            headers={"If-Match": if_match},
        )
        return version_of(response.headers.get("ETag", ""))

    async def _after_tombstones(self, bundle: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the bundle with the numbers of tombstones, and without what is there; None where it stays.

        A Patient or ImagingStudy that is there is another writer's, of which the sender has to know.
        """
        entries, revived = [], False
        absent = [e["request"]["url"] for e in bundle["entry"] if _is_new(e)]
        present = await self._read_all(absent)
        for entry in bundle["entry"]:
            if _is_new(entry):
                kind, _, _ = entry["request"]["url"].partition("/")
                found = present[entry["request"]["url"]]
                if found.resource is not None and kind not in _DECIDED:
                    revived = True
                    continue  # such as a Device that somebody else made meanwhile
                if found.resource is None and found.version:
                    request = {**entry["request"], "ifMatch": f'W/"{found.version}"'}
                    entry, revived = {**entry, "request": request}, True  # noqa: PLW2901
            entries.append(entry)
        return {**bundle, "entry": entries} if revived else None

    async def _read_all(self, references: Sequence[str]) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for start in range(0, len(references), _READ_AT_ONCE):
            some = references[start : start + _READ_AT_ONCE]
            answers = await asyncio.gather(*(self.read(*each.split("/")) for each in some))
            found.update(zip(some, answers, strict=True))
        return found

    async def replacement(self, patient: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the Patient that a merge left in place of this one (`link.type` replaced-by).

        Raises FhirUnavailable.
        """
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

    async def current_patient(self, reference: str) -> str:
        """Return the reference of the Patient that replaces this one, or itself. Raises FhirUnavailable."""
        kind, _, resource_id = reference.partition("/")
        if kind != "Patient" or not resource_id or "/" in resource_id:
            return reference
        found = await self.read("Patient", resource_id)
        if found.resource is None:
            return reference
        return f"Patient/{(await self.replacement(found.resource))['id']}"

    async def _search(self, resource_type: str, params: Mapping[str, str]) -> dict[str, Any]:
        response = await self._client.exchange("get", resource_type, params=params)
        if not response.is_success:
            raise FhirUnavailable(
                f"The FHIR server cannot search {resource_type}.", retry_after=RETRY_AFTER_SECONDS
            )
        bundle = body_of(response)
        return bundle if isinstance(bundle, dict) else {}


def _is_new(entry: Mapping[str, Any]) -> bool:
    return bool(entry["request"].get("ifMatch") == _ABSENT)
