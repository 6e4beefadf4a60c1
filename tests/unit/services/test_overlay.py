"""Whose a study is, and how its documents are made to show it."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.dicom.correction import ORIGINAL_ATTRIBUTES
from app.dicom.instance import InstanceRecord, StoredInstance
from app.fhir.demographics import Demographics
from app.fhir.identifiers import IdentifierSystems
from app.index.documents import (
    Links,
    instance_document,
    linked,
    own_attributes,
    read_correction,
    study_document,
)
from app.index.packing import unpack_json
from app.limits import Limits
from app.services.overlay import Overlay
from app.services.snapshot import Snapshot
from app.services.study_patient import StudyPatient, patient_of
from app.settings import Settings
from app.stores.elasticsearch import Guard, Write, WriteResult

SYSTEMS = IdentifierSystems.from_settings(Settings())
LIMITS = Limits()
STUDY = "1.2.3"
NAME = "00100010"
LINKS = Links("Patient/p", "ImagingStudy/s", 3)


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def patient(key: str, family: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "meta": {"versionId": "2"}, "name": [{"family": family}], **more}


def stored(number: int, family: str = "Doe") -> StoredInstance:
    attributes = {
        "00080018": element("UI", f"{STUDY}.{number}"),
        NAME: element("PN", {"Alphabetic": family}),
        "0020000D": element("UI", STUDY),
        "00290010": element("LO", "MAKER"),
        "00291001": element("LO", "kept"),
    }
    record = InstanceRecord(STUDY, f"{STUDY}.0", f"{STUDY}.{number}", "1.2", "1.2", attributes)
    return StoredInstance(record, f"key-{number}", 1, "d", "v", "2026-01-01T00:00:00Z")


@dataclass
class World:
    """An index with one study, and a FHIR server with some Patients."""

    patients: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    documents: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    written: list[Write] = field(default_factory=list)
    fails_once: set[str] = field(default_factory=set)
    # the subject that reports' resources were given, by study
    followed: dict[str, str] = field(default_factory=dict)

    def put(self, instances: int, linked_to: str = "Patient/p") -> Snapshot:
        """Store a study; return it."""
        added = [stored(number) for number in range(1, instances + 1)]
        links = replace(LINKS, patient=linked_to)
        study = study_document(
            None,
            added,
            links,
            number_of_series=0,
            number_of_instances=instances,
            modalities=[],
            limits=LIMITS,
        )
        known = StudyPatient(linked_to, {}, None, SYSTEMS, (linked_to,))
        study = known.remembered_in(study)
        self.documents["studies", STUDY] = study
        for each in added:
            uid = each.record.sop_instance_uid
            document = linked(instance_document(each, LIMITS), links)
            lost = ("tokens", "items", "values")
            self.documents["instances", uid] = {k: v for k, v in document.items() if k not in lost}
        resource = {"id": "s", "subject": {"reference": linked_to}}
        return Snapshot(STUDY, resource, 3, study)

    async def chain(self, reference: str) -> list[Mapping[str, Any]]:
        found = []
        while reference in self.patients:
            found.append(self.patients[reference])
            reference = self.patients[reference].get("by", "")
        return found

    def demographics(self, resource: Mapping[str, Any]) -> Demographics:
        return Demographics.of(resource)

    async def with_series(self, snapshot: Snapshot, _: Any) -> Snapshot:
        return snapshot

    async def search(self, _: str, body: Mapping[str, Any]) -> dict[str, Any]:
        after = body.get("search_after", [""])[0]
        hits = [
            {"_id": uid, "_source": source, "_seq_no": 1, "_primary_term": 1, "sort": [uid]}
            for (name, uid), source in sorted(self.documents.items())
            if name == "instances" and uid > after
        ]
        return {"hits": {"hits": hits[: body["size"]]}}

    async def get_places(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    async def get_many(self, name: str, ids: list[str], **_: Any) -> dict[str, Any]:
        return {key: self.documents[name, key] for key in ids if (name, key) in self.documents}

    async def write(self, writes: list[Write]) -> list[WriteResult]:
        self.written += writes
        for each in writes:
            if each.id not in self.fails_once and each.source is not None:
                self.documents[each.index, each.id] = dict(each.source)
        return [
            WriteResult(409, "conflict") if each.id in self.fails_once else WriteResult(200)
            for each in writes
        ]

    def overlay(self) -> Overlay:
        fake: Any = self
        return Overlay(
            index=fake,
            lane=fake,
            snapshots=fake,
            patients=fake,
            systems=SYSTEMS,
            threads=ThreadPoolExecutor(1),
            limits=LIMITS,
            derived=fake,
        )

    async def follow_subject(self, study_instance_uid: str, subject: str) -> None:
        self.followed[study_instance_uid] = subject

    def names(self, name: str) -> set[str]:
        return {
            unpack_json(source["metadata"])[NAME]["Value"][0]["Alphabetic"]
            for (index, _), source in self.documents.items()
            if index == name
        }


async def test_documents_show_the_patient_and_keep_the_objects_own() -> None:
    world = World({"Patient/p": patient("p", "Roe")})
    before = world.put(3)
    own = {key: own_attributes(source) for key, source in world.documents.items()}
    overlay = world.overlay()

    now = await overlay.patient_now(before, {})
    after = await overlay.rewrite_study(before, now)
    assert await overlay.rewrite_instances(after, now) == 3

    assert (world.names("studies"), world.names("instances")) == ({"Roe"}, {"Roe"})
    assert {key: own_attributes(source) for key, source in world.documents.items()} == own
    for each in world.written:
        assert each.source is not None
        assert f"{NAME}^roe" in each.source["tokens"]
        recorded = ORIGINAL_ATTRIBUTES in unpack_json(each.source["metadata"])
        assert recorded is (each.index == "instances")
    assert all(w.guard == Guard(1, 1) for w in world.written if w.index == "instances")
    assert after.study is not None
    assert patient_of(after.study, SYSTEMS).same_as(now)


async def test_what_is_as_it_should_be_is_not_written() -> None:
    world = World({"Patient/p": patient("p", "Roe")})
    before = world.put(2)
    overlay = world.overlay()
    now = await overlay.patient_now(before, {})
    await overlay.rewrite_instances(before, now)
    world.written.clear()

    assert await overlay.rewrite_instances(before, now) == 0
    assert world.written == []


async def test_a_patient_that_agrees_takes_the_correction_off() -> None:
    world = World({"Patient/p": patient("p", "Roe")})
    before = world.put(1)
    overlay = world.overlay()
    await overlay.follow_subject(before)
    world.patients["Patient/p"] = patient("p", "DOE")
    await overlay.follow_subject(replace(before, study=world.documents["studies", STUDY]))

    assert world.names("instances") == {"Doe"}
    assert [read_correction(source) for source in world.documents.values()] == [None, None]


async def test_instances_are_left_to_whoever_gave_the_study_another_patient() -> None:
    world = World({"Patient/p": patient("p", "Roe")}, fails_once={f"{STUDY}.1"})
    before = world.put(1)
    overlay = world.overlay()
    now = await overlay.patient_now(before, {})

    assert await overlay.rewrite_instances(before, now) == 1  # the study's document knows no Roe
    assert len(world.written) == 1


@pytest.mark.parametrize(
    ("patients", "remembered", "subject", "found"),
    [
        # nothing happened
        ({"p": None}, ("p",), "p", ("p",)),
        # merged, over two steps
        ({"p": "q", "q": "r", "r": None}, ("p",), "p", ("p", "q", "r")),
        # merged before, and taken back
        ({"p": None, "q": None}, ("p", "q"), "q", ("p",)),
        # the one it was linked to is deleted after the merge
        ({"q": None}, ("p", "q"), "q", ("q",)),
        # somebody gave the study to another patient, who is merged
        ({"p": None, "x": "y", "y": None}, ("p",), "x", ("x", "y")),
        # the FHIR server itself moved the subject with the merge
        ({"p": "q", "q": None}, ("p",), "q", ("p", "q")),
        # all are gone: it stays as it was
        ({}, ("p", "q"), "q", ("p", "q")),
    ],
)
async def test_merges_are_followed_and_taken_back(
    patients: dict[str, str | None],
    remembered: tuple[str, ...],
    subject: str,
    found: tuple[str, ...],
) -> None:
    world = World()
    before = world.put(1, f"Patient/{remembered[-1]}")
    assert before.study is not None
    known = replace(
        patient_of(before.study, SYSTEMS), linked=tuple(f"Patient/{each}" for each in remembered)
    )
    for key, by in patients.items():
        world.patients[f"Patient/{key}"] = patient(
            key, "Roe", **({"by": f"Patient/{by}"} if by else {})
        )
    snapshot = replace(
        before,
        study=known.remembered_in(before.study),
        imaging_study={"id": "s", "subject": {"reference": f"Patient/{subject}"}},
    )

    now = await world.overlay().patient_now(snapshot, {})

    assert now.linked == tuple(f"Patient/{each}" for each in found)
    assert now.reference == now.linked[-1]
