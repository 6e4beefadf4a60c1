"""What a Patient says of the person in an object, and what of it contradicts the object."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.correction import corrected
from app.fhir.demographics import Demographics, correction_for
from app.fhir.identifiers import IdentifierSystems
from app.fhir.patient import patient_key, patient_resource
from tests.unit.fhir.dicom_json import STUDY, attributes

SYSTEMS = IdentifierSystems(
    patient_id_system="urn:test:patient",
    issuer_system_prefix="urn:test:issuer:",
    accession_system="urn:test:accession",
)
NAME, PATIENT_ID, ISSUER, QUALIFIERS = "00100010", "00100020", "00100021", "00100024"
BIRTH_DATE, SEX = "00100030", "00100040"
REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
OBJECT = attributes(
    PatientName={"Alphabetic": "Doe^Jane"},
    PatientID="4711",
    PatientBirthDate="19800102",
    PatientSex="F",
)


def shown(patient: dict[str, Any], said: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what is shown otherwise than an object says."""
    return Demographics.of({"id": "p", **patient}).shown(OBJECT if said is None else said, SYSTEMS)


def name(**more: Any) -> dict[str, Any]:
    return {"name": [{"family": "Doe", "given": ["Jane"], **more}]}


def group(patient: dict[str, Any], said: dict[str, Any] | None = None) -> str | None:
    """Return the alphabetic name that is shown otherwise."""
    element = shown(patient, said).get(NAME)
    alphabetic: str | None = element and element["Value"][0]["Alphabetic"]
    return alphabetic


@pytest.mark.parametrize(
    "same",
    [
        name(),
        name(family="DOE"),
        name(given=[" jane "]),
        {"name": [{"text": "Jane Doe"}]},
        {"name": [{"text": "doe, jane"}]},
        {"name": [{"use": "old", "family": "Smith"}, {"use": "usual", **name()["name"][0]}]},
        {"name": [{"use": "anonymous", "family": "X"}]},
        {"name": []},
        {"name": [{"_family": {}}]},
        {"name": None},
    ],
)
def test_the_same_name_is_no_correction(same: dict[str, Any]) -> None:
    assert shown(same) == {}


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (name(family="Roe"), "Roe^Jane"),
        (name(given=["Jane", "Mary", "Ann"]), "Doe^Jane^Mary Ann"),
        (name(prefix=["Dr.", "Prof."]), "Doe^Jane^^Dr. Prof."),
        (name(suffix=["Jr."]), "Doe^Jane^^^Jr."),
        ({"name": [{"given": ["Jane"]}]}, "^Jane"),
        ({"name": [{"text": "Janet Doe"}]}, "Janet Doe"),
        ({"name": [{"text": "Roe, Jane"}]}, "Roe^Jane"),
        (name(family="R^o=e\\x"), "R o e x^Jane"),
        (name(family="x" * 80), "x" * 64),
    ],
)
def test_another_name_has_its_components(said: dict[str, Any], written: str) -> None:
    assert group(said) == written


def test_the_usual_name_comes_first() -> None:
    names = [{"use": "official", "family": "Legal"}, {"use": "usual", "family": "Called"}]
    assert group({"name": names}) == "Called"


def test_a_name_that_was_cut_off_is_the_same() -> None:
    long = {"name": [{"family": "x" * 80}]}
    assert shown(long, attributes(PatientName={"Alphabetic": "X" * 64})) == {}


def test_representations_are_component_groups() -> None:
    def represented(code: str, family: str) -> dict[str, Any]:
        return {"family": family, "extension": [{"url": REPRESENTATION, "valueCode": code}]}

    patient = {"name": [represented("ABC", "Yamada"), represented("IDE", "山田")]}
    both = {"Alphabetic": "Yamada", "Ideographic": "山田"}

    assert shown(patient)[NAME] == {"vr": "PN", "Value": [both]}
    assert shown(patient, attributes(PatientName={**both, "Phonetic": "やまだ"})) == {}


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("1980-01-02", None),
        ("1980-01", None),
        ("1980", None),
        ("1980-01-03", {"vr": "DA", "Value": ["19800103"]}),
        ("1979", {"vr": "DA"}),
        ("1980-02", {"vr": "DA"}),
        ("not a date", None),
        ("", None),
        (None, None),
    ],
)
def test_a_birth_date_as_exact_as_fhir_has_it(
    said: str | None, date: dict[str, Any] | None
) -> None:
    assert shown({"birthDate": said}).get(BIRTH_DATE) == date


@pytest.mark.parametrize(
    ("said", "code"),
    [("female", None), ("male", "M"), ("other", "O"), ("unknown", None), (7, None)],
)
def test_unknown_says_nothing_of_the_sex(said: object, code: str | None) -> None:
    assert shown({"gender": said}).get(SEX) == (code and {"vr": "CS", "Value": [code]})


def identifier(value: str, system: str = "urn:test:patient", **more: Any) -> dict[str, Any]:
    return {"system": system, "value": value, **more}


def numbers(*identifiers: dict[str, Any]) -> dict[str, Any]:
    return shown({"identifier": list(identifiers)})


def test_its_own_number_among_others_stays() -> None:
    assert numbers(identifier("1", use="usual"), identifier("4711", use="secondary")) == {}


def test_a_number_of_the_same_issuer_comes_before_others() -> None:
    found = numbers(identifier("9", "urn:oid:1.2.3", use="usual"), identifier("8"))
    assert found == {PATIENT_ID: {"vr": "LO", "Value": ["8"]}}


def test_an_old_number_is_not_shown_while_there_is_another() -> None:
    assert numbers(identifier("4711", use="old"), identifier("8"))[PATIENT_ID]["Value"] == ["8"]
    assert numbers(identifier("4711", use="old")) == {}


@pytest.mark.parametrize(
    ("system", "issuer"),
    [
        ("urn:test:issuer:Ward%20B", {ISSUER: {"vr": "LO", "Value": ["Ward B"]}, QUALIFIERS: None}),
        ("urn:oid:1.2.3", {ISSUER: None, QUALIFIERS: ("1.2.3", "ISO")}),
        ("https://example.org/mrn", {ISSUER: None, QUALIFIERS: ("https://example.org/mrn", "URI")}),
    ],
)
def test_a_number_of_another_issuer_brings_its_issuer(system: str, issuer: dict[str, Any]) -> None:
    found = numbers(identifier("9", system))
    assert found[PATIENT_ID] == {"vr": "LO", "Value": ["9"]}
    assert found[ISSUER] == issuer[ISSUER]
    if issuer[QUALIFIERS] is not None:
        entity, kind = issuer[QUALIFIERS]
        (item,) = found[QUALIFIERS]["Value"]
        assert (item["00400032"]["Value"], item["00400033"]["Value"]) == ([entity], [kind])
    after = correction_for(
        {"id": "p", "identifier": [identifier("9", system)]}, OBJECT, SYSTEMS, at=""
    )
    assert after is not None


@pytest.mark.parametrize(
    "unfit",
    [
        identifier("9", "no uri"),
        identifier("x" * 65),
        identifier("a\\b"),
        identifier("a\nb"),
        identifier(""),
        {"value": "9"},
        {"system": "urn:test:patient"},
        identifier("1.2", "urn:coregister:patient-of-study"),
        identifier("9", "urn:oid:1.2.3", type={"coding": [{"code": "PPN"}]}),
    ],
)
def test_what_can_be_no_patient_id_is_none(unfit: dict[str, Any]) -> None:
    assert numbers(unfit) == {}


# ---- round trips

components = st.text(
    st.characters(codec="utf-8", exclude_characters="^=\\", exclude_categories=["Cc", "Cs"]),
    max_size=8,
)
groups = st.lists(components, max_size=5).map("^".join)
names = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("Alphabetic", "Ideographic", "Phonetic"), groups)
)
words = st.text(max_size=12).filter(lambda text: "\\" not in text)
issuers = st.one_of(
    st.builds(lambda word: {"IssuerOfPatientID": word}, words),
    st.sampled_from(
        [
            {
                "IssuerOfPatientIDQualifiersSequence": attributes(
                    UniversalEntityID=entity, UniversalEntityIDType=kind
                )
            }
            for entity, kind in (("1.2.3", "ISO"), ("urn:x:y", "URI"), ("?", "DNS"))
        ]
    ),
    st.just({}),
)
objects = st.builds(
    lambda said, issuer: attributes(**said, **issuer),
    st.fixed_dictionaries(
        {},
        optional={
            "PatientName": names,
            "OtherPatientNames": names,
            "PatientID": words,
            "PatientBirthDate": st.one_of(st.dates().map(lambda d: f"{d:%Y%m%d}"), words),
            "PatientSex": st.sampled_from(["M", "F", "O", "m", "X", "", " F"]),
        },
    ),
    issuers,
)


@given(objects)
def test_a_patient_made_of_an_object_does_not_contradict_it(said: dict[str, Any]) -> None:
    key = patient_key(said, SYSTEMS, STUDY)
    patient = patient_resource(said, key, SYSTEMS)
    assert Demographics.of(patient).shown(said, SYSTEMS) == {}


strings = st.text(max_size=10)
human_names = st.fixed_dictionaries(
    {},
    optional={
        "use": st.sampled_from(["usual", "official", "old", "nickname"]),
        "family": strings,
        "given": st.lists(strings, max_size=3),
        "prefix": st.lists(strings, max_size=2),
        "suffix": st.lists(strings, max_size=2),
        "text": strings,
        "extension": st.sampled_from(
            [[{"url": REPRESENTATION, "valueCode": code}] for code in ("ABC", "IDE", "SYL", "?")]
        ),
    },
)
systems = st.sampled_from(
    ["urn:test:patient", "urn:test:issuer:a", "urn:oid:1.2", "urn:uuid:X", "http://a", "b c", ""]
)
patients = st.fixed_dictionaries(
    {"id": st.just("p")},
    optional={
        "name": st.lists(human_names, max_size=3),
        "gender": st.sampled_from(["male", "female", "other", "unknown"]),
        "birthDate": st.one_of(st.dates().map(str), st.sampled_from(["1980", "1980-02"])),
        "identifier": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "system": systems,
                    "value": strings,
                    "use": st.sampled_from(["usual", "old", "official"]),
                },
            ),
            max_size=3,
        ),
    },
)


@given(patients, objects)
def test_what_is_corrected_needs_no_correction(
    patient: dict[str, Any], said: dict[str, Any]
) -> None:
    correction = correction_for(patient, said, SYSTEMS, at="2026-01-01T00:00:00Z")
    if correction is not None:
        after = corrected(said, correction, instance=True)
        assert correction_for(patient, after, SYSTEMS, at="2026-01-01T00:00:00Z") is None


@given(patients, objects)
def test_what_is_shown_is_a_person_name_of_dicom(
    patient: dict[str, Any], said: dict[str, Any]
) -> None:
    """PS3.5 §6.2.1: at most 64 characters a component group, no separators of values or groups."""
    element = Demographics.of(patient).shown(said, SYSTEMS).get(NAME)
    for written in element["Value"][0].values() if element else ():
        assert 0 < len(written) <= 64
        assert not re.search(r"[\\=\x00-\x1f]", written)
        assert written.count("^") <= 4
