"""What FHIR says of a patient is in every object that goes out, and the original is to be had."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)

from tests.agreement import assert_agreement
from tests.conftest import Stack
from tests.corpus import fragments, make_instance
from tests.http.conftest import archive_of
from tests.server import Server, store, values
from tests.wado import DICOM, parts

pytestmark = pytest.mark.stack

PATIENT_ID_SYSTEM = "urn:coregister:patient-id"
ALONE = "application/dicom; transfer-syntax=*"
AS_STORED = f"{DICOM}; transfer-syntax=*"
NAME, GREEK = "Corrected^Anna", "Διονυσία^Άννα"
SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "encapsulated": JPEGBaseline8Bit,
}
LARGE = 3_000_000
SECONDS = 90


@dataclass
class Corrected:
    """A study whose objects say another name than FHIR does."""

    study: str = field(default_factory=generate_uid)
    series: str = field(default_factory=generate_uid)
    patient_id: str = field(default_factory=lambda: f"P{generate_uid()[-12:]}")
    files: dict[str, bytes] = field(default_factory=dict)  # by SOP Instance UID

    @property
    def path(self) -> str:
        return f"/studies/{self.study}"

    def instance(self, uid: str) -> str:
        return f"{self.path}/series/{self.series}/instances/{uid}"

    def add(self, **attributes: Any) -> str:
        uid = generate_uid()
        self.files[uid] = make_instance(
            StudyInstanceUID=self.study, SeriesInstanceUID=self.series, SOPInstanceUID=uid,
            PatientID=self.patient_id, PatientName="Wrong^Name", InstanceNumber=len(self.files),
            **attributes,
        )  # fmt: skip
        return uid


def patient(identifier: str, name: str) -> dict[str, Any]:
    family, given = name.split("^")
    return {
        "resourceType": "Patient",
        "identifier": [{"system": PATIENT_ID_SYSTEM, "value": identifier}],
        "name": [{"use": "usual", "family": family, "given": [given]}],
        "birthDate": "1950-02-01",
    }


def put_patient(fhir: httpx.Client, identifier: str, name: str) -> None:
    logical = "c" + hashlib.sha256(identifier.encode()).hexdigest()[:30]
    body = {**patient(identifier, name), "id": logical}
    fhir.put(f"/Patient/{logical}", json=body).raise_for_status()


def pixels(syntax: str) -> dict[str, Any]:
    if syntax == JPEGBaseline8Bit:
        return {"PixelData": fragments(b"\xff\xd8" + bytes(510) + b"\xff\xd9")}
    return {}


@pytest.fixture(scope="module")
def study(server: Server, stack: Stack) -> Corrected:
    made = Corrected()
    for syntax in SYNTAXES.values():
        made.add(transfer_syntax=syntax, **pixels(syntax))
    made.add(PixelData=bytes(range(256)) * (LARGE // 256))
    with httpx.Client(base_url=stack.fhir_url, timeout=60, trust_env=False) as fhir:
        put_patient(fhir, made.patient_id, NAME)
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        answer = store(http, *made.files.values())
        assert answer.status_code == 202  # B000: it is shown otherwise
    return made


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as client:
        yield client


def get(http: httpx.Client, path: str, accept: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.get(path, headers={"Accept": accept, **named})


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data))


def check(data: bytes, stored: bytes) -> None:
    """See that an object is the stored one but for what was corrected."""
    shown, before = read(data), read(stored)
    assert (shown.PatientName, shown.PatientBirthDate) == (NAME, "19500201")
    (item,) = shown.OriginalAttributesSequence
    assert item.ModifiedAttributesSequence[0].PatientName == "Wrong^Name"
    assert item.ReasonForTheAttributeModification == "COERCE"
    for changed in ("PatientName", "PatientBirthDate"):
        shown[changed] = before[changed]
    del shown.OriginalAttributesSequence
    assert shown.file_meta == before.file_meta
    assert shown == before


def test_every_transfer_syntax_goes_out_corrected(http: httpx.Client, study: Corrected) -> None:
    answer = get(http, study.path, AS_STORED)

    sent = {read(body).SOPInstanceUID: body for _, body in parts(answer)}
    assert sent.keys() == study.files.keys()
    for uid, data in sent.items():
        check(data, study.files[uid])


def test_an_archive_is_corrected(http: httpx.Client, study: Corrected) -> None:
    answer = get(http, study.path, "application/zip")

    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            check(archive.read(name), study.files[name.rpartition("/")[2].removesuffix(".dcm")])
        assert len(archive.namelist()) == len(study.files)


def test_one_instance_is_the_same_alone_and_in_parts(http: httpx.Client, study: Corrected) -> None:
    together = {
        read(body).SOPInstanceUID: body for _, body in parts(get(http, study.path, AS_STORED))
    }
    for uid in study.files:
        alone = get(http, study.instance(uid), ALONE)
        assert alone.content == together[uid]
        assert int(alone.headers["Content-Length"]) == len(alone.content)


def test_ranges_are_of_the_corrected_object(http: httpx.Client, study: Corrected) -> None:
    for uid in study.files:
        whole = get(http, study.instance(uid), ALONE)
        middle = len(whole.content) // 2
        last = len(whole.content) - 1
        for start, stop in ((0, 1), (128, 600), (200, middle), (middle, last)):
            part = get(
                http, study.instance(uid), ALONE, Range=f"bytes={start}-{stop}",
            )  # fmt: skip
            assert part.status_code == 206
            assert part.content == whole.content[start : stop + 1]
            assert part.headers["ETag"] == whole.headers["ETag"]


@pytest.mark.parametrize("how", ["parameter", "header"])
def test_the_original_is_had_byte_for_byte(http: httpx.Client, study: Corrected, how: str) -> None:
    query = "?original=true" if how == "parameter" else ""
    headers = {"msdicom_request_original": "true"} if how == "header" else {}
    for uid, data in study.files.items():
        answer = get(http, study.instance(uid) + query, ALONE, **headers)
        assert answer.content == data
        assert answer.headers["ETag"] != get(http, study.instance(uid), ALONE).headers["ETag"]
    together = get(http, study.path + query, AS_STORED, **headers)
    assert {body for _, body in parts(together)} == set(study.files.values())
    archive = get(http, study.path + query, "application/zip", **headers)
    with ZipFile(BytesIO(archive.content)) as files:
        assert {files.read(name) for name in files.namelist()} == set(study.files.values())


def test_metadata_are_corrected_or_original(http: httpx.Client, study: Corrected) -> None:
    for path in (study.path, study.instance(next(iter(study.files)))):
        for row in http.get(f"{path}/metadata").json():
            assert values(row, "00100010") == [{"Alphabetic": NAME}]
            assert "04000561" in row
        for row in http.get(f"{path}/metadata?original=true").json():
            assert values(row, "00100010") == [{"Alphabetic": "Wrong^Name"}]
            assert values(row, "00100030") == ["19700101"]
            assert "04000561" not in row


def test_original_is_true_or_false(http: httpx.Client, study: Corrected) -> None:
    assert http.get(f"{study.path}?original=perhaps").status_code == 400


def test_a_transcoded_object_is_corrected(http: httpx.Client, study: Corrected) -> None:
    for uid, data in study.files.items():
        if read(data).file_meta.TransferSyntaxUID == JPEGBaseline8Bit:
            continue
        wanted = DeflatedExplicitVRLittleEndian
        answer = get(http, study.instance(uid), f"application/dicom; transfer-syntax={wanted}")
        shown = read(answer.content)
        assert shown.PatientName == NAME
        assert shown.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientName == (
            "Wrong^Name"
        )
        original = get(
            http, f"{study.instance(uid)}?original=true",
            f"application/dicom; transfer-syntax={wanted}",
        )  # fmt: skip
        assert read(original.content).PatientName == "Wrong^Name"


def test_wado_uri_gives_either(http: httpx.Client, study: Corrected) -> None:
    uid = next(iter(study.files))
    query = f"?requestType=WADO&studyUID={study.study}&seriesUID={study.series}&objectUID={uid}"
    query += "&contentType=application/dicom&transferSyntax=*"

    check(http.get(f"/wado{query}").content, study.files[uid])
    assert http.get(f"/wado{query}&original=true").content == study.files[uid]


def test_a_head_tells_the_length_of_the_corrected_object(
    http: httpx.Client, study: Corrected
) -> None:
    for uid in study.files:
        head = http.head(study.instance(uid), headers={"Accept": ALONE})
        assert int(head.headers["Content-Length"]) == len(
            get(http, study.instance(uid), ALONE).content
        )


def test_frames_are_those_of_the_object(http: httpx.Client, study: Corrected) -> None:
    for uid, data in study.files.items():
        dataset = read(data)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            continue
        answer = http.get(
            f"{study.instance(uid)}/frames/1", headers={"Accept": "application/octet-stream"}
        )
        if dataset.file_meta.TransferSyntaxUID.is_little_endian:
            assert answer.content == dataset.PixelData[: len(answer.content)]


def test_annotations_show_the_corrected_patient(http: httpx.Client, study: Corrected) -> None:
    uid = next(iter(study.files))
    other = Corrected()
    same = other.add(transfer_syntax=ImplicitVRLittleEndian)
    bytes_of = read(other.files[same])
    bytes_of.PatientName, bytes_of.PatientID = NAME, study.patient_id
    bytes_of.PatientBirthDate = "19500201"
    buffer = BytesIO()
    bytes_of.save_as(buffer)
    assert store(http, buffer.getvalue()).status_code == 200
    wanted = "rendered?annotation=patient&viewport=512,512"

    shown = http.get(f"{study.instance(uid)}/{wanted}", headers={"Accept": "image/png"})
    expected = http.get(f"{other.instance(same)}/{wanted}", headers={"Accept": "image/png"})
    assert shown.status_code == expected.status_code == 200
    assert shown.content == expected.content


def test_a_name_that_the_character_set_lacks_brings_the_object_to_utf8(
    http: httpx.Client, fhir: httpx.Client
) -> None:
    made = Corrected()
    uid = made.add(
        SpecificCharacterSet="ISO_IR 100", StudyDescription="Schädel".encode("latin-1"),
        RequestAttributesSequence=[{"ScheduledProcedureStepDescription": "Knöchel".encode("latin-1")}],
    )  # fmt: skip
    put_patient(fhir, made.patient_id, GREEK)
    assert store(http, made.files[uid]).status_code == 202

    shown = read(get(http, made.instance(uid), ALONE).content)

    assert shown.SpecificCharacterSet == "ISO_IR 192"
    assert shown.PatientName == GREEK
    assert shown.StudyDescription == "Schädel"
    step = shown.RequestAttributesSequence[0]
    assert step.ScheduledProcedureStepDescription == "Knöchel"
    assert get(http, f"{made.instance(uid)}?original=true", ALONE).content == made.files[uid]


def test_the_validator_changes_with_the_correction(http: httpx.Client, fhir: httpx.Client) -> None:
    made = Corrected()
    uid = made.add()
    put_patient(fhir, made.patient_id, "Wrong^Name")
    store(http, made.files[uid])
    first = get(http, made.instance(uid), ALONE)
    known = {"If_None_Match": first.headers["ETag"]}
    assert get(http, made.instance(uid), ALONE, **known).status_code == 304

    http.post(f"{made.path}/$materialize").raise_for_status()

    assert get(http, made.instance(uid), ALONE, **known).status_code == 200


def test_materializing_stores_what_was_shown(http: httpx.Client, fhir: httpx.Client) -> None:
    made = Corrected()
    for syntax in SYNTAXES.values():
        made.add(transfer_syntax=syntax, **pixels(syntax))
    put_patient(fhir, made.patient_id, NAME)
    store(http, *made.files.values())

    answer = http.post(f"{made.path}/$materialize")

    assert answer.status_code == 200
    report = answer.json()
    assert (report["status"], report["corrected"], report["failed"]) == (
        "finished", len(made.files), [],
    )  # fmt: skip
    assert sorted(report["materialized"]) == sorted(made.files)
    for uid, data in made.files.items():
        now = get(http, made.instance(uid), ALONE).content
        assert get(http, f"{made.instance(uid)}?original=true", ALONE).content == now
        dataset = read(now)
        assert dataset.InstanceCoercionDateTime
        (equipment,) = dataset.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109103"
        del dataset.InstanceCoercionDateTime, dataset.ContributingEquipmentSequence
        buffer = BytesIO()
        dataset.save_as(buffer)
        check(buffer.getvalue(), data)
        current, former = http.get(f"{made.instance(uid)}/versions").json()
        assert former["sha256"] == hashlib.sha256(data).hexdigest()
        assert current["sha256"] == hashlib.sha256(now).hexdigest()
        kept = http.get(
            f"{made.instance(uid)}/versions/{former['version']}", headers={"Accept": ALONE}
        )
        assert kept.content == data
    again = http.post(f"{made.path}/$materialize")
    assert (again.status_code, again.json()["corrected"]) == (200, 0)


def test_a_series_and_an_instance_can_be_materialized(
    http: httpx.Client, fhir: httpx.Client
) -> None:
    made = Corrected()
    first, second = made.add(), made.add()
    made.series = generate_uid()
    third = made.add()
    put_patient(fhir, made.patient_id, NAME)
    store(http, *made.files.values())
    series = {uid: str(read(data).SeriesInstanceUID) for uid, data in made.files.items()}
    before = clock_of(fhir, made)

    one = http.post(f"{made.path}/series/{series[first]}/instances/{first}/$materialize").json()
    rest = http.post(f"{made.path}/series/{series[first]}/$materialize").json()
    other = http.post(f"{made.path}/series/{series[third]}/$materialize").json()

    assert [each["materialized"] for each in (one, rest, other)] == [[first], [second], [third]]
    assert clock_of(fhir, made) > before
    for row in http.get(f"{made.path}/metadata").json():
        assert values(row, "00100010") == [{"Alphabetic": NAME}]
        assert len(values(row, "04000561")) == 1
    (row,) = http.get(f"/studies?StudyInstanceUID={made.study}").json()
    assert values(row, "00100010") == [{"Alphabetic": NAME}]
    assert values(row, "00201208") == [3]


def clock_of(fhir: httpx.Client, made: Corrected) -> int:
    found = fhir.get(
        "/ImagingStudy",
        params={"identifier": f"urn:dicom:uid|urn:oid:{made.study}"},
        headers={"Cache-Control": "no-cache"},
    ).json()
    (entry,) = found["entry"]
    return int(entry["resource"]["meta"]["versionId"])


def test_a_materialized_study_takes_what_its_modality_sends_later(
    http: httpx.Client, fhir: httpx.Client
) -> None:
    made = Corrected()
    made.add()
    put_patient(fhir, made.patient_id, NAME)
    store(http, *made.files.values())
    http.post(f"{made.path}/$materialize").raise_for_status()

    later = made.add()
    assert store(http, made.files[later]).status_code == 202

    check(get(http, made.instance(later), ALONE).content, made.files[later])
    assert http.post(f"{made.path}/$materialize").json()["materialized"] == [later]


def test_sending_the_same_again_after_materializing_is_a_duplicate_of_a_former_version(
    http: httpx.Client, fhir: httpx.Client
) -> None:
    made = Corrected()
    uid = made.add()
    put_patient(fhir, made.patient_id, NAME)
    store(http, made.files[uid])
    http.post(f"{made.path}/$materialize").raise_for_status()
    now = get(http, made.instance(uid), ALONE).content

    assert store(http, made.files[uid]).status_code == 409

    assert get(http, made.instance(uid), ALONE).content == now


def test_asking_several_times_at_once_makes_one_version(
    http: httpx.Client, fhir: httpx.Client
) -> None:
    made = Corrected()
    uids = [made.add() for _ in range(4)]
    put_patient(fhir, made.patient_id, NAME)
    store(http, *made.files.values())
    paths = [made.path, f"{made.path}/series/{made.series}", *map(made.instance, uids)]

    with ThreadPoolExecutor(len(paths)) as threads:
        answers = list(threads.map(lambda path: http.post(f"{path}/$materialize"), paths * 2))

    assert {answer.status_code for answer in answers} == {200}
    assert {uid for answer in answers for uid in answer.json()["materialized"]} == set(uids)
    for uid in uids:
        assert len(http.get(f"{made.instance(uid)}/versions").json()) == 2
        assert (
            len(read(get(http, made.instance(uid), ALONE).content).OriginalAttributesSequence) == 1
        )


def test_what_is_not_there_cannot_be_materialized(http: httpx.Client) -> None:
    assert http.post(f"/studies/{generate_uid()}/$materialize").status_code == 404
    assert http.post("/studies/nonsense/$materialize").status_code == 400
    assert http.get(f"/studies/{generate_uid()}/$materialize").status_code == 405


@pytest.fixture(scope="module")
def following(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for changes all the time; in the end its stores agree."""
    running = Server(
        tmp_path_factory.mktemp("following"),
        stack.elasticsearch_url,
        stack.fhir_url,
        {"COREGISTER_LIMIT_CHANGES_SECONDS": "0.3"},
    )
    running.start()
    try:
        yield running
        assert_agreement(archive_of(running))
    finally:
        running.discard()


def wait_for(http: httpx.Client, made: Corrected, name: str) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        rows = http.get(f"{made.path}/metadata").json()
        if all(values(row, "00100010") == [{"Alphabetic": name}] for row in rows):
            return
        time.sleep(0.2)
    raise AssertionError("the change was not followed")


def test_what_is_corrected_in_fhir_later_is_in_the_objects_and_after_materializing_too(
    following: Server, fhir: httpx.Client
) -> None:
    made = Corrected()
    uids = [made.add(transfer_syntax=syntax, **pixels(syntax)) for syntax in SYNTAXES.values()]
    put_patient(fhir, made.patient_id, "Wrong^Name")
    with httpx.Client(base_url=following.base, timeout=60, trust_env=False) as http:
        store(http, *made.files.values())
        shown = [get(http, made.instance(uid), ALONE) for uid in uids]

        put_patient(fhir, made.patient_id, NAME)
        wait_for(http, made, NAME)
        for uid, before in zip(uids, shown, strict=True):
            known = {"If_None_Match": before.headers["ETag"]}
            answer = get(http, made.instance(uid), ALONE, **known)
            assert answer.status_code == 200
            dataset = read(answer.content)
            assert dataset.PatientName == NAME
            (item,) = dataset.OriginalAttributesSequence
            assert item.ReasonForTheAttributeModification == "CORRECT"
        assert len(http.post(f"{made.path}/$materialize").json()["materialized"]) == len(uids)
        materialized = {uid: get(http, made.instance(uid), ALONE).content for uid in uids}

        put_patient(fhir, made.patient_id, "Wrong^Name")
        wait_for(http, made, "Wrong^Name")
        for uid in uids:
            dataset = read(get(http, made.instance(uid), ALONE).content)
            assert dataset.PatientName == "Wrong^Name"
            first, second = dataset.OriginalAttributesSequence
            assert first.ModifiedAttributesSequence[0].PatientName == "Wrong^Name"
            assert second.ModifiedAttributesSequence[0].PatientName == NAME
            original = get(http, f"{made.instance(uid)}?original=true", ALONE)
            assert original.content == materialized[uid]

        put_patient(fhir, made.patient_id, NAME)
        wait_for(http, made, NAME)
        for uid in uids:
            assert get(http, made.instance(uid), ALONE).content == materialized[uid]
