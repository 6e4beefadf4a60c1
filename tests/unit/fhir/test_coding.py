"""Codes of a data set in FHIR: one system for each coding scheme (PS3.3 §8, PS3.16 Table 8-1)."""

from typing import Any

import pytest

from app.fhir.coding import CodingSchemes, codeable_concept, coding, concept_key
from tests.unit.fhir.dicom_json import attributes

PREFIX = "urn:test:scheme:"
NONE = CodingSchemes(PREFIX, {})


def item(scheme: str, value: str, meaning: str = "Meaning", **more: Any) -> dict[str, Any]:
    """Return an item of a code sequence."""
    return attributes(CodingSchemeDesignator=scheme, CodeValue=value, CodeMeaning=meaning, **more)


@pytest.mark.parametrize(
    ("scheme", "system"),
    [
        ("DCM", "http://dicom.nema.org/resources/ontology/DCM"),
        ("SCT", "http://snomed.info/sct"),
        ("LN", "http://loinc.org"),
        ("UCUM", "http://unitsofmeasure.org"),
        ("99 ours", "urn:test:scheme:99%20ours"),
    ],
)
def test_scheme_has_its_uri(scheme: str, system: str) -> None:
    assert coding(item(scheme, "1"), NONE) == {"system": system, "code": "1", "display": "Meaning"}


def test_code_of_snomed_rt_is_there_beside_its_successor() -> None:
    lung = item("SRT", "T-28000", "Lung")

    concept = codeable_concept(lung, NONE)

    assert concept is not None
    assert [c["code"] for c in concept["coding"]] == ["39607008", "T-28000"]
    assert concept["text"] == "Lung"
    assert coding(lung, NONE) == concept["coding"][0]
    assert concept_key(lung) == "SCT:39607008"


def test_local_scheme_has_the_uid_that_the_object_tells() -> None:
    told = attributes(
        CodingSchemeIdentificationSequence=attributes(
            CodingSchemeDesignator="99X", CodingSchemeUID="1.2.3"
        )
    )

    assert coding(item("99X", "1"), CodingSchemes(PREFIX, told)) == {
        "system": "urn:oid:1.2.3",
        "code": "1",
        "display": "Meaning",
    }
    own = coding(item("99X", "1", CodingSchemeUID="1.2.4"), NONE)
    assert own is not None
    assert own["system"] == "urn:oid:1.2.4"


def test_object_cannot_rename_a_scheme_of_the_standard() -> None:
    told = attributes(
        CodingSchemeIdentificationSequence=attributes(
            CodingSchemeDesignator="DCM", CodingSchemeUID="1.2.3"
        )
    )

    found = coding(item("DCM", "1"), CodingSchemes(PREFIX, told))

    assert found is not None
    assert found["system"] == "http://dicom.nema.org/resources/ontology/DCM"


def test_meaning_alone_is_a_text_and_nothing_is_nothing() -> None:
    meaning = attributes(CodeMeaning="Lung")

    assert codeable_concept(meaning, NONE) == {"text": "Lung"}
    assert coding(meaning, NONE) == {"display": "Lung"}
    assert codeable_concept({}, NONE) is None
    assert coding({}, NONE) is None


def test_urn_as_a_code_is_of_the_system_of_uris() -> None:
    assert coding(attributes(URNCodeValue="urn:x:y"), NONE) == {
        "system": "urn:ietf:rfc:3986",
        "code": "urn:x:y",
    }
