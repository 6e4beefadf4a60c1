"""Whatever is written on ImagingStudies and Patients, no search, retrieve or store fails (P5)."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.server import STOPPED, Server, store

pytestmark = pytest.mark.stack

STUDIES = 4
AT_FIRST = 3  # instances of each
QUIET_SECONDS = 4.0
GOOD = {
    "search": {httpx.codes.OK},
    "retrieve": {httpx.codes.OK},
    "metadata": {httpx.codes.OK},
    "store": {httpx.codes.OK, httpx.codes.ACCEPTED},  # with warnings: FHIR says otherwise
}

words = st.text("Aß中 ^=\\'\"<&", max_size=12)
codes = st.sampled_from(["CT", "MR", "available", "cancelled", "male", "x", ""])
references = st.sampled_from(["Patient/fuzz-0", "Patient/fuzz-1", "Group/none", "#contained", "x"])
dates = st.sampled_from(["1970", "1970-01", "1970-01-01", "2999-12-31", "0001-01-01"])
uids = st.sampled_from(["1.2.3", "urn:oid:1.2.3", "not a uid"])
codings = st.fixed_dictionaries({}, optional={"system": st.just("urn:x"), "code": codes})
extensions = st.lists(
    st.fixed_dictionaries(
        {"url": st.sampled_from(["urn:x", "urn:coregister:commit", "urn:coregister:authored"])},
        optional={"valueString": words},
    ),
    max_size=2,
)
identifiers = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "system": st.sampled_from(["urn:dicom:uid", "urn:coregister:patient-id", "urn:x"]),
            "value": st.one_of(uids, words),
        },
    ),
    max_size=3,
)
instances = st.lists(
    st.fixed_dictionaries(
        {},
        optional={"uid": uids, "number": st.integers(-1, 3), "sopClass": codings, "title": words},
    ),
    max_size=2,
)
series = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "uid": uids, "number": st.integers(0, 3), "modality": codings,
            "numberOfInstances": st.integers(-1, 9), "instance": instances,
            "description": words, "bodySite": codings, "extension": extensions,
            "started": dates,
        },
    ),
    max_size=3,
)  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(
        ["registered", "available", "cancelled", "entered-in-error", "unknown"]
    ),
    "modality": st.lists(codings, max_size=2),
    "subject": st.fixed_dictionaries({}, optional={"reference": references, "display": words}),
    "started": dates,
    "endpoint": st.lists(st.fixed_dictionaries({"display": words}), max_size=2),
    "numberOfSeries": st.integers(-1, 9),
    "numberOfInstances": st.integers(-1, 9),
    "series": series,
    "identifier": identifiers,
    "extension": extensions,
    "note": st.lists(st.fixed_dictionaries({"text": words}), max_size=2),
    "basedOn": st.lists(st.fixed_dictionaries({"display": words}), max_size=2),
    "description": words,
    "meta": st.just({"source": "urn:somebody", "tag": [{"system": "urn:x", "code": "y"}]}),
    "referrer": st.fixed_dictionaries({}, optional={"display": words}),
    "name": st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "family": words, "given": st.lists(words, max_size=2), "text": words,
                "use": st.sampled_from(["usual", "old", "anonymous"]), "extension": extensions,
            },
        ),
        max_size=2,
    ),
    "birthDate": dates,
    "gender": st.sampled_from(["male", "female", "other", "unknown"]),
    "active": st.booleans(),
    "link": st.lists(
        st.fixed_dictionaries(
            {
                "other": st.fixed_dictionaries({"reference": references}),
                "type": st.sampled_from(["replaced-by", "replaces", "seealso"]),
            }
        ),
        max_size=2,
    ),
}  # fmt: skip
OF_STUDY = (
    "status", "modality", "subject", "started", "endpoint", "numberOfSeries", "numberOfInstances",
    "series", "identifier", "extension", "note", "basedOn", "description", "meta", "referrer",
)  # fmt: skip
OF_PATIENT = (
    "name", "birthDate", "gender", "active", "link", "identifier", "extension", "meta",
)  # fmt: skip


def edits_of(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Return edits: new values of elements, None takes one away."""
    return st.fixed_dictionaries(
        {}, optional={name: st.none() | VALUES[name] for name in names}
    ).filter(bool)


edits: st.SearchStrategy[list[tuple[str, int, dict[str, Any]]]] = st.lists(
    st.one_of(
        st.tuples(st.just("ImagingStudy"), st.integers(0, STUDIES - 1), edits_of(OF_STUDY)),
        st.tuples(st.just("Patient"), st.integers(0, STUDIES - 1), edits_of(OF_PATIENT)),
        st.tuples(st.just("delete"), st.integers(0, STUDIES - 1), st.just({})),
    ),
    min_size=3,
    max_size=8,
)


class Ward:
    """Studies, and clients that never cease to use them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.archive = Archive(
            server.elasticsearch_url, server.index_prefix, server.fhir_url, server.blobs
        )
        self.fhir = httpx.Client(base_url=server.fhir_url, timeout=60, trust_env=False)
        self.studies = [str(generate_uid()) for _ in range(STUDIES)]
        self.series = [str(generate_uid()) for _ in range(STUDIES)]
        self.patients = [f"P{generate_uid()[-12:]}" for _ in range(STUDIES)]
        self.stored: dict[str, bytes] = {}
        self.answers: Counter[tuple[str, int]] = Counter()
        self.accepted = 0
        self._over = threading.Event()
        self._clients: list[threading.Thread] = []

    def instance(self, number: int) -> tuple[str, bytes]:
        sop = str(generate_uid())
        made = make_instance(
            StudyInstanceUID=self.studies[number], SeriesInstanceUID=self.series[number],
            SOPInstanceUID=sop, PatientID=self.patients[number],
        )  # fmt: skip
        return sop, made

    def open(self) -> None:
        for number in range(2):  # whom subjects and links may come to point at
            patient = {"resourceType": "Patient", "id": f"fuzz-{number}"}
            self.fhir.put(f"Patient/fuzz-{number}", json=patient).raise_for_status()
        with httpx.Client(base_url=self.server.base, timeout=90, trust_env=False) as dicom:
            for number in range(STUDIES):
                for _ in range(AT_FIRST):
                    self.store(dicom, number)
        for work in (self.read, self.write):
            thread = threading.Thread(target=work)
            self._clients.append(thread)
            thread.start()

    def close(self) -> None:
        self._over.set()
        for thread in self._clients:
            thread.join()

    def store(self, dicom: httpx.Client, number: int) -> None:
        sop, made = self.instance(number)
        answer = store(dicom, made)
        self.answers["store", answer.status_code] += 1
        if answer.status_code in GOOD["store"]:
            self.stored[sop] = made

    def write(self) -> None:
        turn = 0
        with httpx.Client(base_url=self.server.base, timeout=90, trust_env=False) as dicom:
            while not self._over.wait(0.3):
                self.store(dicom, turn % STUDIES)
                turn += 1

    def read(self) -> None:
        turn = 0
        with httpx.Client(base_url=self.server.base, timeout=90, trust_env=False) as dicom:
            while not self._over.wait(0.05):
                study = self.studies[turn % STUDIES]
                turn += 1
                kinds = {
                    "search": f"/instances?StudyInstanceUID={study}",
                    "retrieve": f"/studies/{study}",
                    "metadata": f"/studies/{study}/metadata",
                }
                for kind, path in kinds.items():
                    self.answers[kind, dicom.get(path).status_code] += 1

    def edit(self, kind: str, number: int, changes: dict[str, Any]) -> None:
        """Write on a study, or on its patient, as somebody does who read it before."""
        found = self.archive.imaging_study(self.studies[number])
        if found is None:
            return  # deleted, and not yet back
        if kind == "delete":
            self.fhir.delete(f"ImagingStudy/{found['id']}")
            return
        if kind == "Patient":
            reference = found.get("subject", {}).get("reference", "")
            if not reference.startswith("Patient/"):
                return
            answer = self.fhir.get(reference)
            if answer.status_code != httpx.codes.OK:
                return
            found = answer.json()
        resource = deepcopy(found)
        for name, value in changes.items():
            resource.pop(name, None)
            if value is not None:
                resource[name] = value
        answer = self.fhir.put(
            f"{resource['resourceType']}/{resource['id']}", content=json.dumps(resource),
            headers={"Content-Type": "application/fhir+json"},
        )  # fmt: skip
        self.accepted += answer.is_success


@pytest.fixture(scope="module")
def ward(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("ward")
    asking = {
        "COREGISTER_LIMIT_CHANGES_SECONDS": "0.5",
        "COREGISTER_LIMIT_FHIR_REPAIRS": "1000",  # more than there are edits
    }
    server = Server(folder, stack.elasticsearch_url, stack.fhir_url, asking)
    server.start()
    made = Ward(server)
    made.open()
    yield made
    made.close()
    made.fhir.close()
    server.discard()


@settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # the studies are other ones by now: nothing to shrink
)
@given(made=edits)
def test_no_edit_makes_a_request_fail(ward: Ward, made: list[tuple[str, int, Any]]) -> None:
    for edit in made:
        ward.edit(*edit)
        time.sleep(0.1)

    wrong = [(k, status) for k, status in ward.answers if status not in GOOD[k]]
    assert wrong == []


def test_afterwards_everything_agrees(ward: Ward) -> None:
    """What is left of the edits is what the rules leave."""
    ward.close()
    assert ward.accepted > 20
    assert ward.answers["store", httpx.codes.OK] + ward.answers["store", httpx.codes.ACCEPTED] > 10
    assert [(k, status) for k, status in ward.answers if status not in GOOD[k]] == []
    time.sleep(QUIET_SECONDS)
    found = assert_agreement(ward.archive, studies=ward.studies, stored=ward.stored)

    assert found.keys() == ward.stored.keys()
    for study in ward.studies:
        resource = ward.archive.imaging_study(study)
        assert resource is not None
        assert resource["status"] == "available"
        assert resource["identifier"][0]["value"] == f"urn:oid:{study}"
    assert ward.server.stop() in STOPPED
    log = ward.server.log.read_text()
    assert [line for line in log.splitlines() if '"level": "error"' in line] == []
