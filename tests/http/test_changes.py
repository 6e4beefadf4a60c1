"""What is changed in FHIR is heard: by hooks, by asking, and after Coregister was down."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from app.fhir.subscription import SECRET_HEADER
from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.conftest import archive_of
from tests.server import STOPPED, Server, store, values

pytestmark = pytest.mark.stack

WAIT_SECONDS = 40.0
NEVER = "3600"  # seconds: only a hook can be the reason
SOON = "0.5"
HOOKED = {
    "COREGISTER_SUBSCRIPTIONS": "on",
    "COREGISTER_LIMIT_CHANGES_SECONDS": NEVER,
    "COREGISTER_LIMIT_SUBSCRIPTION_SECONDS": "0.5",
}
ASKING = {"COREGISTER_LIMIT_CHANGES_SECONDS": SOON}
ALL_SUBSCRIPTIONS = {"_count": "200", "type": "rest-hook"}


def until(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"in vain waited for {what}"
        time.sleep(0.1)


class Hospital:
    """A Coregister, its FHIR server, and what the tests do with them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.archive: Archive = archive_of(server)
        self.dicom = httpx.Client(base_url=server.base, timeout=60, trust_env=False)
        self.fhir = httpx.Client(base_url=server.fhir_url, timeout=60, trust_env=False)

    def stored(self, number: int = 2, **attributes: Any) -> str:
        """Store a study; return its UID."""
        study = str(generate_uid())
        patient: dict[str, Any] = {
            "PatientID": f"P{generate_uid()[-12:]}",
            "PatientName": "Before^Ann",
        }
        files = [
            make_instance(StudyInstanceUID=study, **{**patient, **attributes})
            for _ in range(number)
        ]
        assert store(self.dicom, *files).status_code == httpx.codes.OK
        return study

    def imaging_study(self, study: str) -> dict[str, Any]:
        found = self.archive.imaging_study(study)
        assert found is not None
        return found

    def patient_of(self, study: str) -> dict[str, Any]:
        reference = self.imaging_study(study)["subject"]["reference"]
        patient: dict[str, Any] = self.fhir.get(reference).raise_for_status().json()
        return patient

    def put(self, resource: dict[str, Any]) -> None:
        url = f"{resource['resourceType']}/{resource['id']}"
        self.fhir.put(url, json=resource).raise_for_status()

    def rename(self, study: str, family: str) -> None:
        patient = self.patient_of(study)
        patient["name"] = [{"family": family, "given": ["Ann"]}]
        self.put(patient)

    def family(self, study: str) -> str:
        (row,) = self.dicom.get("/studies", params={"StudyInstanceUID": study}).json()
        (name,) = values(row, "00100010")
        return str(name["Alphabetic"]).partition("^")[0]

    def subscriptions(self) -> dict[str, dict[str, Any]]:
        """Return this Coregister's Subscriptions by type."""
        bundle = self.fhir.get("Subscription", params=ALL_SUBSCRIPTIONS).json()
        entries = [each["resource"] for each in bundle.get("entry", ())]
        own = [e for e in entries if e["channel"]["endpoint"].startswith(self.server.root)]
        return {each["criteria"].partition("?")[0]: each for each in own}

    def active(self) -> bool:
        found = self.subscriptions()
        return len(found) > 0 and all(each["status"] == "active" for each in found.values())

    def close(self) -> None:
        for each in self.subscriptions().values():
            self.fhir.delete(f"Subscription/{each['id']}")
        self.server.discard()
        self.dicom.close()
        self.fhir.close()


@pytest.fixture(scope="module")
def hooked(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A Coregister that hears by hooks alone."""
    folder = tmp_path_factory.mktemp("hooked")
    hospital = Hospital(Server(folder, stack.elasticsearch_url, stack.fhir_url, HOOKED))
    hospital.server.start()
    try:
        until(hospital.active, "the FHIR server to activate the subscriptions")
        yield hospital
    finally:
        hospital.close()


@pytest.fixture
def asking(stack: Stack, tmp_path: Path) -> Iterator[Hospital]:
    """A Coregister that hears by asking alone."""
    hospital = Hospital(Server(tmp_path, stack.elasticsearch_url, stack.fhir_url, ASKING))
    hospital.server.start()
    yield hospital
    hospital.close()


def test_a_hook_brings_a_corrected_name(hooked: Hospital) -> None:
    study = hooked.stored()
    hooked.rename(study, "After")

    until(lambda: hooked.family(study) == "After", "the corrected name")
    assert_agreement(hooked.archive, studies=[study])


def test_a_hook_brings_an_order_that_comes_after_the_images(hooked: Hospital) -> None:
    accession = f"A{generate_uid()[-12:]}"
    study = hooked.stored(AccessionNumber=accession)
    (named,) = hooked.imaging_study(study)["basedOn"]
    order = {
        "resourceType": "ServiceRequest",
        "id": f"order-{accession}",
        "status": "active",
        "intent": "order",
        "subject": hooked.imaging_study(study)["subject"],
        "identifier": [named["identifier"]],
    }
    hooked.put(order)

    wanted = f"ServiceRequest/order-{accession}"
    until(
        lambda: hooked.imaging_study(study)["basedOn"][0].get("reference") == wanted,
        "the study to refer to its order",
    )
    assert_agreement(hooked.archive, studies=[study])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_call_without_the_secret_is_refused(hooked: Hospital, method: str) -> None:
    subscriptions = hooked.subscriptions()
    (header,) = subscriptions["Patient"]["channel"]["header"]
    secret = header.partition(": ")[2]
    root = f"{hooked.server.root}/hooks/fhir"
    behind = "/Patient/some-id"

    def call(path: str, **headers: str) -> int:
        answer = httpx.request(method, root + path, headers=headers, content=b"{", timeout=30)
        return answer.status_code

    assert call("/Patient" + behind, **{SECRET_HEADER: secret}) == httpx.codes.ACCEPTED
    assert call("/Patient" + behind) == httpx.codes.UNAUTHORIZED
    assert call("/Patient" + behind, **{SECRET_HEADER: secret[:-1]}) == httpx.codes.UNAUTHORIZED
    assert call("/ServiceRequest/x", **{SECRET_HEADER: secret}) == httpx.codes.UNAUTHORIZED
    assert call("/Observation/x", **{SECRET_HEADER: secret}) == httpx.codes.UNAUTHORIZED
    plain = httpx.post(f"{root}/Patient", headers={SECRET_HEADER: secret}, timeout=30)
    assert plain.status_code == httpx.codes.ACCEPTED


def test_a_subscription_at_rest_is_not_written_again(hooked: Hospital) -> None:
    until(hooked.active, "the subscriptions to be active")
    before = {name: each["meta"]["versionId"] for name, each in hooked.subscriptions().items()}
    time.sleep(2)  # looked after several times

    assert {n: e["meta"]["versionId"] for n, e in hooked.subscriptions().items()} == before


@pytest.mark.parametrize("harm", ["deleted", "off", "error"])
def test_a_subscription_that_ended_is_made_again_and_works(hooked: Hospital, harm: str) -> None:
    subscription = hooked.subscriptions()["Patient"]
    version = int(subscription["meta"]["versionId"])
    if harm == "deleted":
        hooked.fhir.delete(f"Subscription/{subscription['id']}").raise_for_status()
    else:
        hooked.put({**subscription, "status": harm})
    until(
        lambda: int(_version(hooked, "Patient")) > version + 1 and hooked.active(),
        "the subscription to be made again",
    )
    study = hooked.stored()
    hooked.rename(study, "Again")
    until(lambda: hooked.family(study) == "Again", "the corrected name")


def _version(hospital: Hospital, resource_type: str) -> str:
    found = hospital.subscriptions().get(resource_type, {"meta": {"versionId": "0"}})
    return str(found["meta"]["versionId"])


def test_without_hooks_changes_are_found_by_asking(asking: Hospital) -> None:
    assert asking.subscriptions() == {}
    study = asking.stored()
    asking.rename(study, "Asked")

    until(lambda: asking.family(study) == "Asked", "the corrected name")


def test_what_was_changed_while_coregister_was_down_is_caught_up_with(asking: Hospital) -> None:
    renamed, damaged, deleted = (asking.stored() for _ in range(3))
    lag = _metric(asking, "coregister_changes_lag_seconds")
    assert lag < WAIT_SECONDS
    assert asking.server.stop() in STOPPED

    asking.rename(renamed, "Meanwhile")
    resource = asking.imaging_study(damaged)
    del resource["series"]
    asking.put({**resource, "numberOfInstances": 0})
    asking.fhir.delete(f"ImagingStudy/{asking.imaging_study(deleted)['id']}").raise_for_status()

    asking.server.start()
    until(lambda: asking.family(renamed) == "Meanwhile", "the corrected name")
    until(lambda: "series" in asking.imaging_study(damaged), "the damage to be repaired")
    until(lambda: asking.archive.imaging_study(deleted) is not None, "the study to come back")
    assert_agreement(asking.archive, studies=[renamed, damaged, deleted])


def test_another_worker_takes_over_from_one_that_dies(asking: Hospital) -> None:
    one = asking.server
    other = Server(one.folder, one.elasticsearch_url, one.fhir_url, ASKING, one.index_prefix)
    other.start()
    try:
        study = asking.stored()
        one.kill()
        asking.rename(study, "Survived")
        asking.dicom.close()
        asking.dicom = httpx.Client(base_url=other.base, timeout=60, trust_env=False)
        until(lambda: asking.family(study) == "Survived", "the corrected name")
    finally:
        assert other.stop() in STOPPED


def _metric(hospital: Hospital, name: str) -> float:
    lines = httpx.get(f"{hospital.server.root}/metrics", timeout=30).text.splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(name)))
