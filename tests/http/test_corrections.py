"""What is corrected in FHIR shows in imaging: searched, read, the original kept; merged, and taken back."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.agreement import assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.conftest import archive_of
from tests.server import Server, store, values

pytestmark = pytest.mark.stack

SYSTEM = "urn:coregister:patient-id"
SECONDS = 90
NAME, PATIENT_ID, ISSUER, BIRTH_DATE, SEX = (
    "00100010",
    "00100020",
    "00100021",
    "00100030",
    "00100040",
)
ORIGINAL_ATTRIBUTES, MODIFIED, REASON = "04000561", "04000550", "04000565"


@pytest.fixture(scope="module")
def following(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Coregister that asks for changes all the time; when all have run, its stores agree."""
    settings = {"COREGISTER_LIMIT_CHANGES_SECONDS": "0.3"}
    folder = tmp_path_factory.mktemp("following")
    running = Server(folder, stack.elasticsearch_url, stack.fhir_url, settings=settings)
    running.start()
    try:
        yield running
        assert_agreement(archive_of(running))
    finally:
        running.discard()


@pytest.fixture
def client(following: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=following.base, timeout=60, trust_env=False) as http:
        yield http


@dataclass
class Person:
    """Somebody with an identifier of their own."""

    name: str = "Doe^Jane"
    number: str = field(default_factory=lambda: f"P{generate_uid()[-16:]}")

    def study(self, client: httpx.Client, instances: int = 1, **attributes: Any) -> str:
        """Store a study; return its Study Instance UID."""
        uid, series = generate_uid(), generate_uid()
        files = [
            make_instance(
                StudyInstanceUID=uid,
                SeriesInstanceUID=series,
                **{
                    "PatientName": self.name,
                    "PatientID": self.number,
                    "PatientBirthDate": "19800102",
                    "PatientSex": "F",
                    **attributes,
                },
            )
            for _ in range(instances)
        ]
        assert store(client, *files).status_code == 200
        return uid

    def patient(self, fhir: httpx.Client) -> dict[str, Any]:
        """Return the Patient as FHIR has it."""
        found = fhir.get(
            "/Patient",
            params={"identifier": f"{SYSTEM}|{self.number}"},
            headers={"Cache-Control": "no-cache"},
        ).json()
        (entry,) = found["entry"]
        resource: dict[str, Any] = entry["resource"]
        return resource


def put(fhir: httpx.Client, resource: dict[str, Any]) -> dict[str, Any]:
    answer = fhir.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
    answer.raise_for_status()
    written: dict[str, Any] = answer.json()
    return written


def eventually(true: Callable[[], Any]) -> None:
    """Return once something is so."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def rows(client: httpx.Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = client.get(path, params=parameters)
    return answer.json() if answer.status_code == 200 else []


def metadata(client: httpx.Client, study: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/studies/{study}/metadata").json()
    return found


def name_in(client: httpx.Client, study: str) -> str:
    """Return the name that every level shows, or what they show where they differ."""
    shown = [
        *rows(client, "/studies", StudyInstanceUID=study),
        *rows(client, "/series", StudyInstanceUID=study, includefield="PatientName"),
        *rows(client, "/instances", StudyInstanceUID=study, includefield="PatientName"),
        *metadata(client, study),
    ]
    names = {values(row, NAME)[0]["Alphabetic"] if values(row, NAME) else "" for row in shown}
    return " | ".join(sorted(names))


def names_in(client: httpx.Client, studies: list[str]) -> set[str]:
    return {name_in(client, study) for study in studies}


def shows(client: httpx.Client, study: str, name: str) -> bool:
    return name_in(client, study) == name


def imaging_study(fhir: httpx.Client, study: str) -> dict[str, Any]:
    found: dict[str, Any] = fhir.get(f"/ImagingStudy/{uuid5(NAMESPACE_OID, study)}").json()
    return found


def renamed(fhir: httpx.Client, person: Person, family: str) -> None:
    patient = person.patient(fhir)
    patient["name"] = [{"use": "usual", "family": family, "given": ["Jane"]}]
    put(fhir, patient)


def test_a_corrected_name_is_found_at_all_levels_and_the_old_one_no_more(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    person = Person()
    study = person.study(client, instances=3)
    renamed(fhir, person, "Roe")
    eventually(lambda: name_in(client, study) == "Roe^Jane")

    for path in ("/studies", "/series", "/instances"):
        assert rows(client, path, PatientID=person.number, PatientName="Roe^Jane"), path
        assert not rows(client, path, PatientID=person.number, PatientName="Doe^Jane"), path
    for each in metadata(client, study):
        (item,) = values(each, ORIGINAL_ATTRIBUTES)
        (before,) = values(item, MODIFIED)
        assert before == {NAME: {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}}
        assert values(item, REASON) == ["CORRECT"]


def test_birth_date_and_sex_follow_and_a_year_contradicts_nothing(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    person = Person()
    study = person.study(client)
    patient = person.patient(fhir)
    put(fhir, {**patient, "birthDate": "1981-03-04", "gender": "male"})
    eventually(lambda: values(metadata(client, study)[0], BIRTH_DATE) == ["19810304"])
    (shown,) = metadata(client, study)
    assert values(shown, SEX) == ["M"]
    assert rows(client, "/studies", StudyInstanceUID=study, PatientBirthDate="19810304")

    put(fhir, {**person.patient(fhir), "birthDate": "1980", "gender": "unknown"})
    eventually(lambda: values(metadata(client, study)[0], SEX) == ["F"])
    (shown,) = metadata(client, study)
    assert values(shown, BIRTH_DATE) == ["19800102"]
    assert ORIGINAL_ATTRIBUTES not in shown


def test_a_second_correction_takes_the_place_of_the_first(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    person = Person()
    study = person.study(client, instances=2)
    for family in ("Roe", "Poe"):
        renamed(fhir, person, family)
        eventually(partial(shows, client, study, f"{family}^Jane"))
    for each in metadata(client, study):
        (item,) = values(each, ORIGINAL_ATTRIBUTES)
        assert values(values(item, MODIFIED)[0], NAME) == [{"Alphabetic": "Doe^Jane"}]


def test_a_name_as_the_objects_have_it_takes_the_correction_off(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    person = Person()
    study = person.study(client)
    before = metadata(client, study)
    renamed(fhir, person, "Roe")
    eventually(lambda: name_in(client, study) == "Roe^Jane")
    renamed(fhir, person, "DOE")
    eventually(lambda: name_in(client, study) == "Doe^Jane")
    assert metadata(client, study) == before


def test_what_is_stored_of_a_corrected_patient_is_corrected_and_warned_of(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    """B000: a new study, and a new instance of a study that is there."""
    person = Person()
    study = person.study(client)
    renamed(fhir, person, "Roe")
    eventually(lambda: name_in(client, study) == "Roe^Jane")
    for uid in (study, generate_uid()):
        answer = store(
            client,
            make_instance(
                StudyInstanceUID=uid,
                PatientName="DOE^JANE",
                PatientID=person.number,
                PatientBirthDate="19800102",
                PatientSex="F",
            ),
        )
        (stored,) = values(answer.json(), "00081199")
        assert values(stored, "00081196") == [0xB000]
        assert name_in(client, uid) == "Roe^Jane"
        assert values(values(metadata(client, uid)[-1], ORIGINAL_ATTRIBUTES)[0], REASON)


def test_what_says_the_same_in_other_letters_is_no_correction(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    person = Person()
    person.study(client)
    study = person.study(client, PatientName="DOE^JANE^^^")
    assert name_in(client, study) == "DOE^JANE^^^"
    assert ORIGINAL_ATTRIBUTES not in metadata(client, study)[0]
    assert person.patient(fhir)["meta"]["versionId"] == "1"


def test_a_merge_shows_the_survivor_and_its_end_the_one_before(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    gone, kept = Person(), Person("Survivor^Sam")
    studies = [gone.study(client), gone.study(client, instances=2)]
    other = kept.study(client)
    survivor = kept.patient(fhir)
    reference = f"Patient/{survivor['id']}"
    merged = gone.patient(fhir)
    before = f"Patient/{merged['id']}"
    put(
        fhir,
        {
            **merged,
            "active": False,
            "link": [{"other": {"reference": reference}, "type": "replaced-by"}],
        },
    )
    eventually(lambda: names_in(client, studies) == {"Survivor^Sam"})
    for study in studies:
        assert values(metadata(client, study)[0], PATIENT_ID) == [kept.number]
        assert imaging_study(fhir, study)["subject"]["reference"] == reference
    found = rows(client, "/studies", PatientID=kept.number)
    assert {values(row, "0020000D")[0] for row in found} == {*studies, other}
    assert not rows(client, "/studies", PatientID=gone.number)

    unmerged = {k: v for k, v in gone.patient(fhir).items() if k != "link"}
    put(fhir, {**unmerged, "active": True})
    eventually(lambda: names_in(client, studies) == {"Doe^Jane"})
    for study in studies:
        assert values(metadata(client, study)[0], PATIENT_ID) == [gone.number]
        assert imaging_study(fhir, study)["subject"]["reference"] == before
        assert ORIGINAL_ATTRIBUTES not in metadata(client, study)[0]
    assert name_in(client, other) == "Survivor^Sam"


def test_the_operation_merge_moves_studies_too(client: httpx.Client, fhir: httpx.Client) -> None:
    """The FHIR server itself gives the ImagingStudy its new subject; documents follow."""
    gone, kept = Person(), Person("Survivor^Sam")
    study = gone.study(client, instances=2)
    kept.study(client)
    source, target = (person.patient(fhir)["id"] for person in (gone, kept))
    parameters = [
        {"name": "source-patient", "valueReference": {"reference": f"Patient/{source}"}},
        {"name": "target-patient", "valueReference": {"reference": f"Patient/{target}"}},
    ]
    answer = fhir.post(
        "/Patient/$merge", json={"resourceType": "Parameters", "parameter": parameters}
    )
    answer.raise_for_status()
    eventually(partial(shows, client, study, "Survivor^Sam"))
    assert imaging_study(fhir, study)["subject"]["reference"] == f"Patient/{target}"
    assert values(metadata(client, study)[0], PATIENT_ID) == [kept.number]


def test_a_patient_that_replaces_another_takes_its_place(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    """Also where the other one does not say so, and as long as it is so."""
    gone, kept = Person(), Person("Survivor^Sam")
    study = gone.study(client)
    kept.study(client)
    other = {"reference": f"Patient/{gone.patient(fhir)['id']}"}
    before = kept.patient(fhir)
    after = put(fhir, {**before, "link": [{"other": other, "type": "replaces"}]})
    eventually(partial(shows, client, study, "Survivor^Sam"))
    put(fhir, {k: v for k, v in after.items() if k != "link"})
    eventually(partial(shows, client, study, "Doe^Jane"))


def test_a_deleted_patient_changes_nothing(client: httpx.Client, fhir: httpx.Client) -> None:
    """A Patient that others still refer to cannot be deleted; one that was merged away can."""
    gone, kept = Person(), Person("Survivor^Sam")
    study = gone.study(client)
    kept.study(client)
    reference = f"Patient/{kept.patient(fhir)['id']}"
    merged = gone.patient(fhir)
    put(fhir, {**merged, "link": [{"other": {"reference": reference}, "type": "replaced-by"}]})
    eventually(lambda: name_in(client, study) == "Survivor^Sam")
    fhir.delete(f"/Patient/{merged['id']}", params={"_cascade": "none"})
    renamed(fhir, kept, "Renamed")
    eventually(lambda: name_in(client, study) == "Renamed^Jane")


def test_another_identifier_of_the_same_issuer_becomes_the_patient_id(
    client: httpx.Client, fhir: httpx.Client
) -> None:
    person = Person()
    study = person.study(client)
    patient = person.patient(fhir)
    number = f"N{generate_uid()[-12:]}"
    patient["identifier"] = [
        {**patient["identifier"][0], "use": "old"},
        {"system": SYSTEM, "value": number, "use": "usual"},
    ]
    put(fhir, patient)
    eventually(lambda: values(metadata(client, study)[0], PATIENT_ID) == [number])
    assert rows(client, "/studies", PatientID=number)
    assert not rows(client, "/studies", PatientID=person.number)


def test_what_nobody_sees_in_dicom_writes_nothing(
    client: httpx.Client, fhir: httpx.Client, following: Server
) -> None:
    person = Person()
    study = person.study(client)
    before = imaging_study(fhir, study)["meta"]["versionId"]
    put(fhir, {**person.patient(fhir), "telecom": [{"system": "phone", "value": "1"}]})
    renamed_later = Person()
    later = renamed_later.study(client)
    renamed(fhir, renamed_later, "Roe")
    eventually(lambda: name_in(client, later) == "Roe^Jane")
    assert following.running
    assert imaging_study(fhir, study)["meta"]["versionId"] == before


def test_where_dicom_is_the_master_the_patient_follows_the_newest_study(
    stack: Stack, tmp_path: Path, fhir: httpx.Client
) -> None:
    running = Server(
        tmp_path, stack.elasticsearch_url, stack.fhir_url, settings={"COREGISTER_PATIENT": "dicom"}
    )
    running.start()
    try:
        with httpx.Client(base_url=running.base, timeout=60, trust_env=False) as http:
            person = Person()
            person.study(http)
            patient = person.patient(fhir)
            named = [*patient["name"], {"use": "nickname", "text": "Jinny"}]
            put(fhir, {**patient, "name": named, "telecom": [{"system": "phone", "value": "1"}]})
            study = person.study(http, PatientName="Roe^Jane", PatientSex="")
            assert name_in(http, study) == "Roe^Jane"
        after = person.patient(fhir)
        assert [name.get("family") for name in after["name"]] == ["Roe", None]
        assert (after["gender"], after["telecom"][0]["value"]) == ("female", "1")
        assert_agreement(archive_of(running))
    finally:
        running.discard()
