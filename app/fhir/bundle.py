"""The transaction that commits a study.

`If-Match: W/"0"` is HAPI's race-free create: it makes a resource that is not there and conflicts with
one that is (`If-None-Match: *` is ignored there and overwrites).
"""

from collections.abc import Mapping
from typing import Any


def study_transaction(
    imaging_study: Mapping[str, Any], version: int, new_patient: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the Bundle that writes a study after `version`, and its Patient where that is missing.

    `version` is the one that the study was read at: 0 where it is new, the tombstone's after a delete.
    """
    entries = [] if new_patient is None else [_put(new_patient, 0)]
    entries.append(_put(imaging_study, version))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _put(resource: Mapping[str, Any], version: int) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    request = {"method": "PUT", "url": url, "ifMatch": f'W/"{version}"'}
    return {"resource": resource, "request": request}
