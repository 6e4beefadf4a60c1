from typing import Any

import pytest

from app.fhir.identifiers import IdentifierSystems
from app.settings import Settings
from tests.unit.fhir.dicom_json import attributes


def qualifiers(**values: Any) -> dict[str, Any]:
    return attributes(IssuerOfPatientIDQualifiersSequence=attributes(**values))


def test_a_patient_id_without_issuer_has_the_system_of_the_site(
    systems: IdentifierSystems,
) -> None:
    assert systems.of_patient_id({}) == "urn:test:patient"


def test_the_word_for_an_issuer_becomes_part_of_a_uri(systems: IdentifierSystems) -> None:
    given = attributes(IssuerOfPatientID="St. Anna/Ost")

    assert systems.of_patient_id(given) == "urn:test:issuer:St.%20Anna%2FOst"


@pytest.mark.parametrize(
    ("kind", "identifier", "system"),
    [
        ("ISO", "1.2.40.0.34", "urn:oid:1.2.40.0.34"),
        (
            "UUID",
            "A7F3C2D4-0000-4000-8000-000000000001",
            "urn:uuid:a7f3c2d4-0000-4000-8000-000000000001",
        ),
        ("URI", "https://a.example/mrn", "https://a.example/mrn"),
    ],
)
def test_a_universal_id_is_the_system(
    systems: IdentifierSystems, kind: str, identifier: str, system: str
) -> None:
    given = qualifiers(UniversalEntityID=identifier, UniversalEntityIDType=kind)

    assert systems.of_patient_id(given) == system


@pytest.mark.parametrize(
    ("kind", "identifier"),
    [("ISO", "1.02"), ("ISO", "x"), ("UUID", "1"), ("URI", "a b"), ("DNS", "a.example"), ("", "")],
)
def test_a_universal_id_that_is_none_leaves_the_local_issuer(
    systems: IdentifierSystems, kind: str, identifier: str
) -> None:
    given = qualifiers(UniversalEntityID=identifier, UniversalEntityIDType=kind)
    given |= attributes(IssuerOfPatientID="Ward")

    assert systems.of_patient_id(given) == "urn:test:issuer:Ward"


def test_an_accession_number_takes_the_system_of_its_issuer(systems: IdentifierSystems) -> None:
    oid = attributes(UniversalEntityID="1.2.3", UniversalEntityIDType="ISO")
    local = attributes(LocalNamespaceEntityID="RIS")

    for issuer, system in [
        ([oid], "urn:oid:1.2.3"),
        ([local], "urn:test:issuer:RIS"),
        ([], "urn:test:accession"),
    ]:
        given = attributes(IssuerOfAccessionNumberSequence=issuer)
        assert systems.of_accession_number(given) == system


def test_the_settings_name_the_systems() -> None:
    settings = Settings()

    made = IdentifierSystems.from_settings(settings)

    assert made.patient_id_system == settings.patient_id_system
    assert made.accession_system == settings.accession_system
    assert made.issuer_system_prefix == settings.issuer_system_prefix
