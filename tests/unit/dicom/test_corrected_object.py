"""A corrected object is the object as it was but for what was corrected (PS3.3 §C.12.1.1.9, §C.12.1.1.2)."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from app.dicom.corrected_bytes import corrected_bytes
from app.dicom.corrected_object import Splice
from app.dicom.correction import Correction, corrected, restored
from app.dicom.instance import ByteRange, Inserted
from app.dicom.object_changes import ObjectChanges
from app.dicom.part10 import read_instance
from app.dicom.rewriting import element
from app.errors import CoregisterError
from app.limits import Limits
from tests.corpus import fragments, make_instance

LIMITS = Limits(inline_bytes=2**30, inline_text_bytes=2**30)
ROOT = Path(pydicom.__file__).parent / "data"
AT = "2026-05-04T03:02:01.5Z"
NAMES = {
    "latin": "Müller^Jörg",
    "greek": "Διονυσιος",
    "japanese": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "korean": "Hong^Gildong=洪^吉洞=홍^길동",
    "plain": "Smith^John",
}
UTF_8 = {"vr": "CS", "Value": ["ISO_IR 192"]}


def files() -> list[Path]:
    found = []
    for path in sorted([*ROOT.glob("test_files/**/*"), *ROOT.glob("charset_files/*.dcm")]):
        if path.is_file() and path.stat().st_size < 2**21:
            try:
                record = read_instance(path.read_bytes(), LIMITS)
            except CoregisterError:
                continue
            if not record.deflated:
                found.append(path)
    return found


FILES = files()


def person(name: str) -> dict[str, Any]:
    scripts = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    return {"vr": "PN", "Value": [{script: group for script, group in scripts if group}]}


def correction_of(attributes: dict[str, Any], name: str) -> Correction:
    shown = {
        "00100010": person(name),
        "00100020": {"vr": "LO", "Value": ["NEW-4711"]},
        "00100021": {"vr": "LO", "Value": ["Hospital"]},
        "00100030": {"vr": "DA", "Value": ["19500102"]},
        "00100040": None,
    }
    found = Correction.of(shown, attributes, patient="Patient/x", at=AT)
    assert found is not None
    return found


def changed(data: bytes, correction: Correction) -> bytes:
    return corrected_bytes(data, ObjectChanges.of(correction))


def without(attributes: dict[str, Any], *tags: str) -> dict[str, Any]:
    return {tag: element for tag, element in attributes.items() if tag not in tags}


def check(data: bytes, name: str) -> dict[str, Any]:
    """Compare a corrected object with the corrected DICOM JSON; return what it says."""
    before = read_instance(data, LIMITS)
    correction = correction_of(dict(before.attributes), name)
    outcome = changed(data, correction)
    after = read_instance(outcome, LIMITS)
    expected = corrected(before.attributes, correction, instance=True)
    own: tuple[str, ...] = ("00080005",)
    if after.attributes.get("00080005") == before.attributes.get("00080005"):
        own = ()
    else:
        assert after.attributes["00080005"] == UTF_8
    if before.transfer_syntax_uid == ImplicitVRLittleEndian:
        expected = {tag: expected[tag] for tag in after.attributes if tag in expected}
    pixels = ("7FE00010", *own)  # their address is compared elsewhere
    assert without(dict(after.attributes), *pixels) == without(expected, *pixels)
    assert after.transfer_syntax_uid == before.transfer_syntax_uid
    assert pixel_bytes(outcome) == pixel_bytes(data)
    if not own:
        assert restored(after.attributes, correction) == before.attributes
    return dict(after.attributes)


def pixel_bytes(data: bytes) -> list[bytes]:
    record = read_instance(data, LIMITS)
    places = [record.bulk[tag] for tag in record.bulk if tag.startswith("7FE000")]
    return [data[place.offset : place.offset + place.length] for place in places]


def test_there_are_files() -> None:
    assert len(FILES) > 100
    syntaxes = {read_instance(path.read_bytes(), LIMITS).transfer_syntax_uid for path in FILES}
    assert len(syntaxes) > 9


@pytest.mark.parametrize("name", ["plain", "japanese"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_else_of_pydicoms_files_changes(path: Path, name: str) -> None:
    check(path.read_bytes(), NAMES[name])


SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, JPEGBaseline8Bit]


def image(syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> bytes:
    pixels: dict[str, Any]
    pixels = {"PixelData": fragments(b"\xff\xd8" + bytes(60))} if syntax == JPEGBaseline8Bit else {}
    return make_instance(transfer_syntax=syntax, **pixels, **attributes)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("declared", [None, "ISO_IR 100", ["", "ISO 2022 IR 87"], "ISO_IR 192"])
def test_pydicom_reads_the_corrected_name(
    syntax: str, name: str, declared: str | list[str] | None
) -> None:
    data = image(syntax, SpecificCharacterSet=declared, StudyDescription="plain")
    before = read_instance(data, LIMITS)

    outcome = changed(data, correction_of(dict(before.attributes), name))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = pydicom.dcmread(BytesIO(outcome))
        assert str(dataset.PatientName) == name
        assert dataset.PatientID == "NEW-4711"
        assert "PatientSex" not in dataset
        (item,) = dataset.OriginalAttributesSequence
        assert item.AttributeModificationDateTime == "20260504030201.500000+0000"
        (modified,) = item.ModifiedAttributesSequence
        assert modified.PatientName == pydicom.dcmread(BytesIO(data)).PatientName
        assert modified.IssuerOfPatientID == ""
        dataset.to_json()
    check(data, name)


@pytest.mark.parametrize(
    ("declared", "name", "expected"),
    [
        (["", "ISO 2022 IR 87"], NAMES["japanese"], ["", "ISO 2022 IR 87"]),
        (["", "ISO 2022 IR 149"], NAMES["korean"], ["", "ISO 2022 IR 149"]),
        ("ISO_IR 126", NAMES["greek"], "ISO_IR 126"),
        ("ISO_IR 100", NAMES["latin"], "ISO_IR 100"),
        ("GB18030", NAMES["japanese"], "GB18030"),
        ("ISO_IR 100", NAMES["greek"], "ISO_IR 192"),
        ("ISO_IR 13", NAMES["japanese"], "ISO_IR 192"),
        (None, NAMES["latin"], "ISO_IR 192"),
        (None, NAMES["plain"], None),
    ],
)
def test_the_character_set_changes_only_where_it_has_to(
    declared: Any, name: str, expected: Any
) -> None:
    data = image(SpecificCharacterSet=declared)
    attributes = check(data, name)
    found = attributes.get("00080005", {}).get("Value")
    if found is not None:
        found = [value or "" for value in found]
    assert found == ([expected] if isinstance(expected, str) else expected)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_all_text_is_brought_to_utf8_with_the_name(syntax: str) -> None:
    data = image(
        syntax,
        SpecificCharacterSet="ISO_IR 100",
        StudyDescription="Schädel".encode("latin-1"),
        ReferencedStudySequence=[{"ReferencedSOPInstanceUID": "1.2"}],
        RequestAttributesSequence=[
            {
                "ScheduledProcedureStepDescription": "Knöchel".encode("latin-1"),
                "ScheduledProcedureStepID": "1",
            },
            {
                "SpecificCharacterSet": "ISO_IR 126",
                "ScheduledProcedureStepDescription": "Ώμος".encode("iso8859-7"),
            },
        ],
    )
    attributes = check_recoded(data, NAMES["greek"])
    assert attributes["00081030"]["Value"] == ["Schädel"]
    first, second = attributes["00400275"]["Value"]
    assert first["00400007"]["Value"] == ["Knöchel"]
    assert second["00400007"]["Value"] == ["Ώμος"]
    assert second["00080005"]["Value"] == ["ISO_IR 192"]


def check_recoded(data: bytes, name: str) -> dict[str, Any]:
    before = read_instance(data, LIMITS)
    outcome = changed(data, correction_of(dict(before.attributes), name))
    after = read_instance(outcome, LIMITS)
    assert after.findings == before.findings
    assert pixel_bytes(outcome) == pixel_bytes(data)
    return dict(after.attributes)


@pytest.mark.parametrize("name", ["plain", "greek"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_items_that_the_object_has_stay_in_front(syntax: str, name: str) -> None:
    had = [{"ReasonForTheAttributeModification": "CORRECT", "ModifyingSystem": "Other"}] * 2
    data = image(syntax, OriginalAttributesSequence=had, SpecificCharacterSet="ISO_IR 100")

    found = check(data, NAMES[name])["04000561"]["Value"]

    assert [item["04000563"]["Value"] for item in found] == [["Other"], ["Other"], ["Coregister"]]


@pytest.mark.parametrize("name", ["plain", "greek"])
def test_a_sequence_without_a_length_keeps_none(name: str) -> None:
    data = image(SpecificCharacterSet="ISO_IR 100")
    inside = element(0x04000563, "LO", b"Other ")
    undefined = b"\xff\xff\xff\xff"
    sequence = (
        b"\x00\x04\x61\x05SQ\0\0" + undefined
        + b"\xfe\xff\x00\xe0" + undefined + inside + b"\xfe\xff\x0d\xe0\0\0\0\0"
        + b"\xfe\xff\xdd\xe0\0\0\0\0"
    )  # fmt: skip
    at = data.index(b"\xe0\x7f\x10\x00")
    whole = data[:at] + sequence + data[at:]

    found = check(whole, NAMES[name])["04000561"]["Value"]

    assert [item["04000563"]["Value"] for item in found] == [["Other"], ["Coregister"]]


def test_a_group_length_that_would_be_wrong_is_left_out() -> None:
    data = image()
    for group in (b"\x10\0", b"\x20\0"):
        at = data.index(group + (b"\x10\0PN" if group == b"\x10\0" else b"\x0d\0UI"))
        data = data[:at] + group + b"\0\0UL\4\0" + b"\x63\0\0\0" + data[at:]
    correction = correction_of(dict(read_instance(data, LIMITS).attributes), NAMES["plain"])

    outcome = pydicom.dcmread(BytesIO(changed(data, correction)))

    assert 0x00100000 not in outcome
    assert outcome[0x00200000].value == 99


def test_file_meta_information_stays_as_it_is() -> None:
    data = image()
    outcome = changed(data, correction_of(dict(read_instance(data, LIMITS).attributes), "A^B"))
    end = data.index(b"\x08\x00\x16\x00UI")
    assert outcome[:end] == data[:end]


def test_a_large_object_is_corrected_by_its_beginning() -> None:
    data = image(PixelData=bytes(5_000_000))
    attributes = dict(read_instance(data, LIMITS).attributes)
    splice = Splice(len(data), ObjectChanges.of(correction_of(attributes, "A^B")))
    looked_at = 0
    needed = 4096
    while needed:
        looked_at += needed
        needed = splice.feed(data[splice.position : splice.position + needed])
    assert looked_at < 100_000
    assert sum(p.length for p in splice.pieces if isinstance(p, Inserted)) < 1000
    assert assembled(data, splice) == changed(data, correction_of(attributes, "A^B"))


def assembled(data: bytes, splice: Splice) -> bytes:
    return b"".join(
        data[p.offset : p.offset + p.length] if isinstance(p, ByteRange) else p.data
        for p in splice.pieces
    )


@pytest.mark.parametrize("name", ["plain", "greek"])
@pytest.mark.parametrize("first", [1, 132, 200, 331, 1000])
def test_windows_may_end_anywhere(first: int, name: str) -> None:
    data = image(
        JPEGBaseline8Bit, SpecificCharacterSet="ISO_IR 100", StudyDescription="Schädel".encode("latin-1") * 5,
        RequestAttributesSequence=[{"ScheduledProcedureStepDescription": "Knöchel".encode("latin-1")}],
    )  # fmt: skip
    attributes = dict(read_instance(data, LIMITS).attributes)
    correction = correction_of(attributes, NAMES[name])
    splice = Splice(len(data), ObjectChanges.of(correction))
    needed = first
    while needed:
        needed = splice.feed(data[splice.position : splice.position + needed])
    assert assembled(data, splice) == changed(data, correction)


def test_an_attribute_that_occurs_twice_is_corrected_twice() -> None:
    data = image()
    start = data.index(b"\x10\x00\x10\x00PN")
    length = 8 + int.from_bytes(data[start + 6 : start + 8], "little")
    twice = data[: start + length] + data[start : start + length] + data[start + length :]

    outcome = changed(twice, correction_of(dict(read_instance(data, LIMITS).attributes), "A^B"))

    assert outcome.count(b"\x10\x00\x10\x00PN") == 2  # the new one, and in the sequence the old one
    assert str(pydicom.dcmread(BytesIO(outcome)).PatientName) == "A^B"


def test_a_materialized_copy_says_who_made_it() -> None:
    data = image(ContributingEquipmentSequence=[{"Manufacturer": "Other"}])
    correction = correction_of(dict(read_instance(data, LIMITS).attributes), "A^B")

    made = corrected_bytes(data, ObjectChanges.materialized(correction, "1.0"))

    dataset = pydicom.dcmread(BytesIO(made))
    assert dataset.InstanceCoercionDateTime == "20260504030201.500000+0000"
    other, ours = dataset.ContributingEquipmentSequence
    assert (other.Manufacturer, ours.Manufacturer) == ("Other", "Coregister")
    (purpose,) = ours.PurposeOfReferenceCodeSequence
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109103", "DCM")
    assert len(dataset.OriginalAttributesSequence) == 1
    assert made == corrected_bytes(data, ObjectChanges.materialized(correction, "1.0"))


TERMS = [
    None, "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 126", "ISO_IR 127",
    "ISO_IR 138", "ISO_IR 144", "ISO_IR 148", "ISO_IR 166", "ISO_IR 13", "ISO_IR 192", "GB18030",
    "GBK", ["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 149"], ["", "ISO 2022 IR 58"],
    ["ISO 2022 IR 13", "ISO 2022 IR 87"], ["ISO 2022 IR 6", "ISO 2022 IR 100", "ISO 2022 IR 126"],
    ["", "ISO 2022 IR 87", "ISO 2022 IR 159"],
]  # fmt: skip
component = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\\^="),
    min_size=1, max_size=8,
).map(lambda text: text.strip() or "x")  # fmt: skip
spoken = st.lists(
    st.lists(component, min_size=1, max_size=3).map("^".join), min_size=1, max_size=3
).map("=".join)


@given(name=spoken, declared=st.sampled_from(TERMS), syntax=st.sampled_from(SYNTAXES))
def test_any_name_goes_into_any_object(name: str, declared: Any, syntax: str) -> None:
    data = image(syntax, SpecificCharacterSet=declared)
    attributes = check(data, name)
    assert attributes["00100010"] == person(name)
