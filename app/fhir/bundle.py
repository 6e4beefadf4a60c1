"""The bundles that are sent to the FHIR server: a study's transaction, many resources, many questions.

`If-Match: W/"0"` is HAPI's race-free create: it makes a resource that is not there and conflicts with
one that is (`If-None-Match: *` is ignored there and overwrites).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode


def study_transaction(
    imaging_study: Mapping[str, Any],
    version: int,
    new_patient: Mapping[str, Any] | None,
    *,
    new: Sequence[Mapping[str, Any]] = (),
    written: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the Bundle that writes a study after `version`, and its Patient where that is missing or changes.

    `version` is the one that the study was read at: 0 where it is new, the tombstone's after a delete.
    `new` are further resources to make where they are missing, such as a Device; `written` are made or
    replaced, whatever is there.
    """
    entries = [] if new_patient is None else [_put(new_patient, _version_of(new_patient))]
    entries += [_put(resource, 0) for resource in new]
    entries += [_put(resource, None) for resource in written]
    entries.append(_put(imaging_study, version))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _version_of(resource: Mapping[str, Any]) -> int:
    """Return the version that a resource was read at; 0 of one that was made here."""
    return int(resource.get("meta", {}).get("versionId", 0))


def with_derived(
    transaction: Mapping[str, Any],
    written: Iterable[tuple[Mapping[str, Any], int]],
    removed: Iterable[str] = (),
) -> dict[str, Any]:
    """Return a transaction that besides writes resources after their versions, and removes others.

    `removed` are references. Each resource that is written is new where its version is 0.
    """
    entries = [_put(resource, version) for resource, version in written]
    entries += [{"request": {"method": "DELETE", "url": reference}} for reference in removed]
    return {**transaction, "entry": [*transaction["entry"], *entries]}


def transaction_of_puts(resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the Bundle that makes or replaces resources, whatever is there."""
    entries = [_put(resource, None) for resource in resources]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def batch_of_questions(questions: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, Any]:
    """Return the Bundle that asks several questions at once: a path, and the parameters of a search."""
    urls = [f"{path}?{urlencode(params)}" if params else path for path, params in questions]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    return {"resourceType": "Bundle", "type": "batch", "entry": entries}


def _put(resource: Mapping[str, Any], version: int | None) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    request = {"method": "PUT", "url": url}
    if version is not None:
        request["ifMatch"] = f'W/"{version}"'
    return {"resource": resource, "request": request}
