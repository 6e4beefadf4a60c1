"""The tables of mappings/fhir say what the standards say."""

import re
from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts

from app.fhir.coding import CodingSchemes, codeable_concept, coding
from app.fhir.conversions import CONVERSIONS
from app.fhir.patient_conversions import PATIENT_CONVERSIONS
from app.fhir.snomed import sct_of
from app.fhir.tables import LEVELS, Level, body_sites, lateralities, rows
from tests.unit.fhir.dicom_json import attributes

NOT_IN_A_CONTEXT_GROUP = {
    "63337009",
    "67734004",
}  # lower and upper trunk: PS3.16 Annex L alone has them
SCHEMES = CodingSchemes("urn:test:scheme:", {})


def meanings() -> dict[str, set[str]]:
    """What each SNOMED CT code of a context group means, as pydicom has it of PS3.16."""
    known: dict[str, set[str]] = {}
    by_name: Any = concepts["SCT"]
    for by_code in by_name.values():
        for code, (meaning, _) in by_code.items():
            known.setdefault(code, set()).add(meaning.lower())
    return known


def test_each_body_site_has_a_code_of_the_standard() -> None:
    known = meanings()
    codes = {code for code, _ in body_sites().values()}
    named_otherwise = [
        term
        for term, (code, meaning) in body_sites().items()
        if not any(meaning.lower() in each for each in known.get(code, ()))
    ]

    assert len(body_sites()) > 300
    assert codes - known.keys() == NOT_IN_A_CONTEXT_GROUP
    assert len(named_otherwise) < 15  # synonyms
    assert all(re.fullmatch(r"[A-Z0-9_]{1,16}", term) for term in body_sites())  # CS


def test_lateralities_mean_what_snomed_has() -> None:
    known = meanings()

    for code, meaning in lateralities().values():
        assert any(meaning.lower() in each for each in known[code])


@pytest.mark.parametrize("level", LEVELS)
def test_each_row_names_a_conversion(level: Level) -> None:
    known = PATIENT_CONVERSIONS if level == "patient" else CONVERSIONS

    for row in rows(level):
        assert row.conversion in known
        assert row.sources


@pytest.mark.parametrize("scheme", ["SRT", "SNM3", "99SDM"])
def test_a_code_of_snomed_rt_becomes_its_successor(scheme: str) -> None:
    item = attributes(CodeValue="T-D1100", CodingSchemeDesignator=scheme, CodeMeaning="Head")

    assert sct_of("T-D1100") == "69536005"
    made = coding(item, SCHEMES)
    assert made is not None
    assert (made["system"], made["code"]) == ("http://snomed.info/sct", "69536005")


def test_a_code_of_snomed_rt_without_successor_keeps_its_scheme() -> None:
    item = attributes(CodeValue="T-NONE", CodingSchemeDesignator="SRT")

    assert coding(item, SCHEMES) == {
        "system": "urn:oid:2.16.840.1.113883.6.99",
        "code": "T-NONE",
    }


def test_a_long_code_value_is_a_code() -> None:
    item = attributes(LongCodeValue="A" * 40, CodingSchemeDesignator="99 ACME/1")

    made = codeable_concept(item, SCHEMES)

    assert made == {"coding": [{"system": "urn:test:scheme:99%20ACME%2F1", "code": "A" * 40}]}


def test_an_object_may_explain_its_schemes() -> None:
    url = attributes(CodingSchemeURLType="FHIR", CodingSchemeURL="https://codes.example/acme")
    told = attributes(
        CodingSchemeIdentificationSequence=[
            attributes(CodingSchemeDesignator="99A", CodingSchemeUID="1.2.3"),
            attributes(CodingSchemeDesignator="99B", CodingSchemeResourcesSequence=[url]),
            attributes(CodingSchemeDesignator="LN", CodingSchemeUID="1.2.4"),
        ]
    )
    schemes = CodingSchemes("urn:test:scheme:", told)

    items = [
        attributes(CodeValue="1", CodingSchemeDesignator=d) for d in ("99A", "99B", "LN", "99C")
    ]

    assert [schemes.uri_of(item) for item in items] == [
        "urn:oid:1.2.3",
        "https://codes.example/acme",
        "http://loinc.org",
        "urn:test:scheme:99C",
    ]
