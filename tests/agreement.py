"""Asserts that the three stores tell the same: objects, index documents and ImagingStudy (P1, P6).

Written against the servers' own HTTP, not with Coregister's code, so that a mistake there does not hide itself.
"""

import hashlib
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import httpx

SETTLE_SECONDS = 20.0  # a list of instances may still be on its way, an intent about to be removed
PAGE = 2_000

PLAIN = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # nothing here is encrypted; made once, because it takes longer than a request

Documents = dict[str, dict[str, Any]]
Series = tuple[str, str]  # Study and Series Instance UID


def _request(method: str, url: str, *, json: Any = None) -> httpx.Response:
    return httpx.request(method, url, json=json, timeout=60, trust_env=False, verify=PLAIN)


@dataclass(frozen=True, slots=True)
class Archive:
    """One Coregister's stores."""

    elasticsearch_url: str
    prefix: str
    fhir_url: str
    blobs: Path

    def documents(self, name: str, fields: Iterable[str] = ()) -> Documents:
        """Return every document of an index by id, as a search finds them."""
        refresh = f"{self.elasticsearch_url}/{self.prefix}-{name}/_refresh"
        _request("POST", refresh).raise_for_status()
        found: Documents = {}
        body: dict[str, Any] = {
            "size": PAGE,
            "sort": [{"_doc": "asc"}],
            "track_total_hits": True,
            "_source": list(fields) or True,
        }
        url = f"{self.elasticsearch_url}/{self.prefix}-{name}/_search?scroll=1m"
        answer = _request("POST", url, json=body).raise_for_status().json()
        while hits := answer["hits"]["hits"]:
            found |= {hit["_id"]: hit["_source"] for hit in hits}
            more = {"scroll": "1m", "scroll_id": answer["_scroll_id"]}
            url = f"{self.elasticsearch_url}/_search/scroll"
            answer = _request("POST", url, json=more).raise_for_status().json()
        scroll = {"scroll_id": answer["_scroll_id"]}
        _request("DELETE", f"{self.elasticsearch_url}/_search/scroll", json=scroll)
        return found

    def intents(self) -> Documents:
        """Return what is begun and not finished; of the rest only the Provenance may be outstanding."""
        found = self.documents("intents", ["study_instance_uid", "deed.id"])
        return {key: source for key, source in found.items() if "deed" not in source}

    def former_versions(self) -> Documents:
        """Return what was replaced or deleted, by version."""
        return self.documents("versions")

    def imaging_study(self, study_instance_uid: str) -> dict[str, Any] | None:
        """Return the ImagingStudy of a study, if there is one."""
        url = f"{self.fhir_url}/ImagingStudy/{uuid5(NAMESPACE_OID, study_instance_uid)}"
        answer = _request("GET", url)
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
            return None
        resource: dict[str, Any] = answer.raise_for_status().json()
        return resource


def assert_agreement(
    archive: Archive,
    *,
    studies: Iterable[str] = (),
    stored: Mapping[str, bytes] | None = None,
    orphan_blobs: bool = False,
) -> Documents:
    """Assert that everything agrees; return the instance documents.

    `studies` are Study Instance UIDs that were sent, stored or not; `stored` maps SOP Instance UIDs that
    were acknowledged to their bytes; `orphan_blobs` permits objects that no document names (a crash before
    the intent was durable leaves them).
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        instances = archive.documents("instances")
        wrong = list(_disagreements(archive, instances, frozenset(studies), orphan_blobs))
        wrong += _lost(instances, stored or {})
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if wrong:
        raise AssertionError("\n".join(wrong))
    return instances


def assert_empty(archive: Archive, studies: Iterable[str]) -> None:
    """Assert that nothing at all is left of these studies, in any store."""
    assert not assert_agreement(archive, studies=studies).keys()
    assert [study for study in studies if archive.imaging_study(study)] == []
    assert list(_objects(archive.blobs)) == []


def _disagreements(
    archive: Archive, instances: Documents, sent: frozenset[str], orphan_blobs: bool
) -> Iterator[str]:
    if intents := archive.intents():
        yield f"{len(intents)} intents are left"
    yield from _of_blobs(archive, instances, orphan_blobs)
    yield from _of_former_versions(archive, instances)
    studies = archive.documents("studies")
    series = {_series_of(each): each for each in archive.documents("series").values()}
    by_study = Counter(each["study_instance_uid"] for each in instances.values())
    by_series = Counter(_series_of(each) for each in instances.values())
    if by_study.keys() != studies.keys():
        yield f"study documents: {sorted(by_study.keys() ^ studies.keys())}"
    if by_series.keys() != series.keys():
        yield f"series documents: {sorted(by_series.keys() ^ series.keys())}"
    for key, document in series.items():
        if document["number_of_instances"] != by_series[key]:
            yield f"series {key[1]} counts {document['number_of_instances']} of {by_series[key]}"
    for uid in by_study.keys() | sent:
        yield from _of_study(archive.imaging_study(uid), uid, studies.get(uid), instances, series)


def _of_study(
    resource: Mapping[str, Any] | None,
    uid: str,
    study: Mapping[str, Any] | None,
    instances: Documents,
    series: Mapping[Series, Mapping[str, Any]],
) -> Iterator[str]:
    own = {sop: each for sop, each in instances.items() if each["study_instance_uid"] == uid}
    if resource is not None and _is_retired(resource):
        resource = None
    if resource is None or study is None:
        if own or resource or study:
            yield f"study {uid}: {len(own)} instances, FHIR {bool(resource)}, index {bool(study)}"
        return
    counted = Counter(each["series_instance_uid"] for each in own.values())
    version = int(resource["meta"]["versionId"])
    facts = {
        "instances in FHIR": (resource["numberOfInstances"], len(own)),
        "series in FHIR": (resource["numberOfSeries"], len(counted)),
        "each series in FHIR": (
            {each["uid"]: each["numberOfInstances"] for each in resource["series"]},
            dict(counted),
        ),
        "instances in the index": (study["number_of_instances"], len(own)),
        "series in the index": (study["number_of_series"], len(counted)),
        "version": (study["fhir"]["imaging_study_version"], version),
        "patient": (study["fhir"]["patient"], resource["subject"]["reference"]),
        "patient of instances": (
            {each["fhir"]["patient"] for each in own.values()},
            {resource["subject"]["reference"]},
        ),
    }
    listed = [i["uid"] for each in resource["series"] for i in each.get("instance", ())]
    if listed:
        facts["list"] = (sorted(listed), sorted(own))
    versions = [
        each["fhir"]["imaging_study_version"] for (of, _), each in series.items() if of == uid
    ]
    facts["series newer than their study"] = ([v for v in versions if v > version], [])
    yield from (f"study {uid}: {n}: {a} != {b}" for n, (a, b) in facts.items() if a != b)


def _is_retired(resource: Mapping[str, Any]) -> bool:
    """Tell whether the last instance of a study was deleted and the resource says so."""
    counts = resource.get("numberOfSeries"), resource.get("numberOfInstances")
    retired = resource["status"] in ("entered-in-error", "cancelled")
    return retired and counts == (0, 0) and not {"series", "endpoint", "modality"} & resource.keys()


def _of_former_versions(archive: Archive, instances: Documents) -> Iterator[str]:
    current = {each["version"] for each in instances.values()}
    for name, version in archive.former_versions().items():
        if name in current:
            yield f"a version is current and was before: {name}"
        if not {"replaced_at", "deleted_at"} & version.keys():
            yield f"a former version that is none: {name}"
        if "deleted_at" not in version and version["sop_instance_uid"] not in instances:
            yield f"a replaced version of an instance that is not there: {name}"


def _series_of(document: Mapping[str, Any]) -> Series:
    return document["study_instance_uid"], document["series_instance_uid"]


def _of_blobs(archive: Archive, instances: Documents, orphans: bool) -> Iterator[str]:
    documented = {each["blob_key"]: each for each in instances.values()}
    former = archive.former_versions().values()
    documented_too = {each["blob_key"]: each for each in former if "removed_at" not in each}
    removed = {each["blob_key"] for each in former if "removed_at" in each}
    objects = dict(_objects(archive.blobs))
    if len(documented) != len(instances):
        yield "two documents name the same object"
    documented |= documented_too
    if left := removed & objects.keys():
        yield f"{len(left)} objects that were removed"
    if missing := documented.keys() - objects.keys():
        yield f"{len(missing)} documents without object"
    if not orphans and (unseen := objects.keys() - documented.keys()):
        yield f"{len(unseen)} objects without document"
    for key in documented.keys() & objects.keys():
        data = objects[key].read_bytes()
        if hashlib.sha256(data).hexdigest() != documented[key]["sha256"]:
            yield f"other bytes under {key}"
        if len(data) != documented[key]["size"]:
            yield f"another size of {key}"


def _lost(instances: Documents, stored: Mapping[str, bytes]) -> Iterator[str]:
    for sop, data in stored.items():
        if sop not in instances:
            yield f"acknowledged and not found: {sop}"
        elif instances[sop]["sha256"] != hashlib.sha256(data).hexdigest():
            yield f"acknowledged with other bytes: {sop}"


def _objects(blobs: Path) -> Iterator[tuple[str, Path]]:
    for path in blobs.rglob("*.dcm"):
        yield path.relative_to(blobs).as_posix(), path
