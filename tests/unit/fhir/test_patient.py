from typing import Any

import pytest

from app.fhir.identifiers import IdentifierSystems
from app.fhir.patient import PatientKey, patient_key, patient_resource
from tests.unit.fhir.dicom_json import STUDY, attributes

SYSTEMS = IdentifierSystems(
    patient_id_system="urn:test:patient",
    issuer_system_prefix="urn:test:issuer:",
    accession_system="urn:test:accession",
)
KEY = PatientKey("urn:test:patient", "4711")
REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


def names(**groups: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = patient_resource(attributes(PatientName=groups), KEY, SYSTEMS)[
        "name"
    ]
    return made


def test_a_patient_is_known_by_id_and_issuer(systems: IdentifierSystems) -> None:
    given = attributes(PatientID=" 4711 ", IssuerOfPatientID="Ward")

    assert patient_key(given, systems, STUDY) == PatientKey("urn:test:issuer:Ward", "4711")


@pytest.mark.parametrize("value", ["", "  ", None])
def test_studies_without_a_patient_id_are_of_different_patients(
    systems: IdentifierSystems, value: str | None
) -> None:
    given = attributes(PatientID=value)

    one, two = patient_key(given, systems, "1.2.3"), patient_key(given, systems, "1.2.4")

    assert one != two
    assert one.of_study
    assert "type" not in patient_resource(given, one, systems)["identifier"][0]


def test_the_identifier_is_a_medical_record_number() -> None:
    (identifier,) = patient_resource({}, KEY, SYSTEMS)["identifier"]

    assert identifier == {
        "use": "usual",
        "type": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]
        },
        "system": "urn:test:patient",
        "value": "4711",
    }


def test_a_name_has_its_five_components() -> None:
    assert names(Alphabetic="Adams^John Robert^Quincy^Rev.^B.A. M.Div.") == [
        {
            "use": "usual",
            "text": "Rev. John Robert Quincy Adams B.A. M.Div.",
            "family": "Adams",
            "given": ["John Robert", "Quincy"],
            "prefix": ["Rev."],
            "suffix": ["B.A. M.Div."],
        }
    ]


def test_each_group_of_a_name_says_how_it_is_written() -> None:
    """PS3.5 Annex H.3: the same name in Roman letters, in Kanji and in Hiragana."""
    made = names(Alphabetic="Yamada^Tarou", Ideographic="山田^太郎", Phonetic="やまだ^たろう")

    assert [(n["family"], n["extension"][0]["valueCode"]) for n in made] == [
        ("Yamada", "ABC"),
        ("山田", "IDE"),
        ("やまだ", "SYL"),
    ]
    assert {n["extension"][0]["url"] for n in made} == {REPRESENTATION}


@pytest.mark.parametrize("empty", ["", "^^^^", " ^ "])
def test_an_empty_name_is_no_name(empty: str) -> None:
    assert "name" not in patient_resource(
        attributes(PatientName={"Alphabetic": empty}), KEY, SYSTEMS
    )


@pytest.mark.parametrize(
    ("sex", "gender"), [("M", "male"), ("F", "female"), ("O", "other"), ("X", "unknown")]
)
def test_every_sex_has_a_gender(sex: str, gender: str) -> None:
    assert patient_resource(attributes(PatientSex=sex), KEY, SYSTEMS)["gender"] == gender


def test_what_is_missing_or_impossible_is_left_out() -> None:
    made = patient_resource(attributes(PatientSex="", PatientBirthDate="19810231"), KEY, SYSTEMS)

    assert set(made) == {"resourceType", "id", "identifier"}


def test_a_birth_date_is_a_date() -> None:
    assert (
        patient_resource(attributes(PatientBirthDate="19810228"), KEY, SYSTEMS)["birthDate"]
        == "1981-02-28"
    )
