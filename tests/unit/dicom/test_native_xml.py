"""The Native DICOM Model in XML and back (PS3.19 §A.1)."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # the reader to compare with

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from app.dicom.native_xml import NAMESPACE, from_xml, to_xml
from app.dicom.part10 import read_instance
from app.errors import BadMetadata, TooDeep
from app.limits import Limits

LIMITS = Limits()
N = f"{{{NAMESPACE}}}"
FILES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "rtplan.dcm",
    "reportsi.dcm",
    "test-SR.dcm",
    "JPEG2000.dcm",
    "waveform_ecg.dcm",
    "examples_overlay.dcm",
)

# ---- any DICOM JSON object that the gate could make

CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Cn"])
TEXT = st.text(CHARACTERS, min_size=1, max_size=12)
STRINGS = ("AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC", "UI")
INTEGERS = ("IS", "SL", "SS", "SV", "UL", "US", "UV")
BINARY = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    lists = st.lists(st.none() | values, min_size=1, max_size=4)
    return lists.filter(lambda found: found != [None])


def with_values(vrs: tuple[str, ...], values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"vr": st.sampled_from(vrs), "Value": values})


PERSON = st.dictionaries(
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]),
    st.lists(st.text(CHARACTERS, max_size=5), min_size=1, max_size=7).map("^".join).filter(bool),
    min_size=1,
)
LEAVES = st.one_of(
    with_values(STRINGS, several(TEXT)),
    with_values(("LT", "ST", "UR", "UT"), st.lists(TEXT, min_size=1, max_size=1)),
    with_values(INTEGERS, several(st.integers(-(2**31), 2**31))),
    with_values(("DS", "FD", "FL"), several(FINITE)),
    with_values(("FD", "FL"), several(st.sampled_from(["NaN", "inf", "-inf"]))),
    with_values(("AT",), several(st.integers(0, 2**32 - 1).map("{:08X}".format))),
    with_values(("PN",), several(PERSON)),
    st.fixed_dictionaries(
        {
            "vr": st.sampled_from(BINARY),
            "InlineBinary": st.binary(min_size=1).map(lambda raw: base64.b64encode(raw).decode()),
        }
    ),
    st.fixed_dictionaries({"vr": st.sampled_from(BINARY), "BulkDataURI": TEXT}),
    st.fixed_dictionaries({"vr": st.sampled_from([*STRINGS, *INTEGERS, *BINARY, "PN", "SQ"])}),
)
STANDARD = st.integers(0x0008, 0x7FE0).filter(lambda group: group % 2 == 0)
TAGS = st.builds("{:04X}{:04X}".format, STANDARD, st.integers(1, 0xFFFF))
CREATOR = TEXT.filter(lambda text: text.strip() == text)


@st.composite
def data_sets(draw: st.DrawFn, elements: st.SearchStrategy[Any]) -> dict[str, Any]:
    """An object with its keys ascending; private elements with or without a creator."""
    found = draw(st.dictionaries(TAGS, elements, max_size=4))
    for group in draw(st.sets(st.sampled_from(["0009", "0029"]))):
        creators = draw(st.dictionaries(st.integers(0x10, 0x13), CREATOR, max_size=3))
        for block, creator in creators.items():
            found[f"{group}00{block:02X}"] = {"vr": "LO", "Value": [creator]}
        numbers = draw(
            st.sets(st.tuples(st.integers(0x10, 0x14), st.integers(0, 0xFF)), max_size=4)
        )
        for block, number in numbers:
            found[f"{group}{block:02X}{number:02X}"] = draw(elements)
    return dict(sorted(found.items()))


OBJECTS = st.recursive(
    data_sets(LEAVES),
    lambda inner: data_sets(
        LEAVES
        | st.fixed_dictionaries(
            {"vr": st.just("SQ"), "Value": st.lists(inner, min_size=1, max_size=3)}
        )
    ),
    max_leaves=6,
)


@given(OBJECTS)
def test_any_object_comes_back_as_it_was(attributes: dict[str, Any]) -> None:
    assert from_xml(to_xml(attributes), LIMITS) == attributes


@pytest.mark.parametrize("name", FILES)
def test_a_real_object_comes_back_as_it_was(name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    attributes = dict(read_instance(Path(path).read_bytes(), LIMITS).attributes)

    assert from_xml(to_xml(attributes), LIMITS) == attributes


@pytest.mark.parametrize("name", FILES)
def test_a_real_object_has_the_values_that_pydicom_reads(name: str) -> None:
    """An independent reader of the file against an independent reader of the XML."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    raw = Path(path).read_bytes()
    root = ET.fromstring(to_xml(read_instance(raw, LIMITS).attributes))  # noqa: S314 - our own
    by_keyword = {each.get("keyword"): each for each in root}
    expected = {
        keyword: str(element.value)
        for element in dcmread(BytesIO(raw))
        if (keyword := element.keyword) and element.VR in {"CS", "DA", "LO", "SH", "UI"}
        if element.VM == 1 and element.value
    }

    assert expected
    assert {k: by_keyword[k].findtext(f"{N}Value") for k in expected} == expected


# ---- what it looks like


def test_a_private_attribute_is_named_by_its_creator_and_block_00() -> None:
    """PS3.19 Table A.1.5-2."""
    attributes = {
        "00290011": {"vr": "LO", "Value": ["ACME <1>"]},
        "00291108": {"vr": "CS", "Value": ["X"]},
    }

    attribute = ET.fromstring(to_xml(attributes))[1]  # noqa: S314 - our own

    assert attribute.attrib == {"tag": "00290008", "privateCreator": "ACME <1>", "vr": "CS"}


def test_person_names_are_cut_into_components() -> None:
    """PS3.19 Table A.1.5-5."""
    name = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}

    root = ET.fromstring(to_xml({"00100010": {"vr": "PN", "Value": [name]}}))  # noqa: S314

    person = root[0][0]
    assert (person.tag, person.get("number")) == (f"{N}PersonName", "1")
    assert person.findtext(f"{N}Ideographic/{N}GivenName") == "太郎"
    assert person.findtext(f"{N}Alphabetic/{N}FamilyName") == "Yamada"
    assert person.find(f"{N}Phonetic") is None


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    """XML 1.0 §2.2; line ends that a parser would change are kept."""
    attributes = {"00104000": {"vr": "LT", "Value": ["a\x0cb\r\nc\td"]}}

    assert from_xml(to_xml(attributes), LIMITS)["00104000"]["Value"] == ["a\ufffdb\r\nc\td"]


# ---- what others write


def document(body: str, root: str = "NativeDicomModel") -> bytes:
    return f'<?xml version="1.0"?><{root} xmlns="{NAMESPACE}">{body}</{root}>'.encode()


def test_a_document_without_namespace_is_read() -> None:
    xml = b"<NativeDicomModel><DicomAttribute tag='0020000d' vr='UI'><Value>1.2</Value></DicomAttribute>"

    assert from_xml(xml + b"</NativeDicomModel>", LIMITS) == {
        "0020000D": {"vr": "UI", "Value": ["1.2"]}
    }


def test_an_attribute_without_vr_has_that_of_the_dictionary() -> None:
    xml = document('<DicomAttribute tag="00280010"><Value number="1">512</Value></DicomAttribute>')

    assert from_xml(xml, LIMITS) == {"00280010": {"vr": "US", "Value": [512]}}


def test_values_that_are_counted_but_left_out_are_empty() -> None:
    xml = document(
        '<DicomAttribute tag="00080008" vr="CS"><Value number="1">A</Value><Value number="4">B</Value>'
        "</DicomAttribute>"
    )

    assert from_xml(xml, LIMITS)["00080008"]["Value"] == ["A", None, None, "B"]


@pytest.mark.parametrize("creator_first", [True, False])
def test_private_attributes_without_block_get_the_one_of_their_creator(
    *, creator_first: bool
) -> None:
    creator = (
        '<DicomAttribute tag="00090012" vr="LO"><Value number="1">ACME</Value></DicomAttribute>'
    )
    private = (
        '<DicomAttribute tag="00090001" vr="SH" privateCreator="ACME"><Value number="1">x</Value>'
        "</DicomAttribute>"
    )
    xml = document(creator + private if creator_first else private + creator)

    assert from_xml(xml, LIMITS) == {
        "00090012": {"vr": "LO", "Value": ["ACME"]},
        "00091201": {"vr": "SH", "Value": ["x"]},
    }


def test_private_attributes_whose_creator_reserves_nothing_get_a_block() -> None:
    """As dcm4che writes them: the creators' own elements are left out."""
    xml = document(
        '<DicomAttribute tag="00090001" vr="SH" privateCreator="A"><Value>x</Value></DicomAttribute>'
        '<DicomAttribute tag="00090001" vr="SH" privateCreator="B"><Value>y</Value></DicomAttribute>'
    )

    assert from_xml(xml, LIMITS) == {
        "00090010": {"vr": "LO", "Value": ["A"]},
        "00090011": {"vr": "LO", "Value": ["B"]},
        "00091001": {"vr": "SH", "Value": ["x"]},
        "00091101": {"vr": "SH", "Value": ["y"]},
    }


def test_inline_binary_may_be_folded() -> None:
    xml = document(
        '<DicomAttribute tag="00420011" vr="OB"><InlineBinary>\n AAEC\n Aw==\n</InlineBinary></DicomAttribute>'
    )

    assert from_xml(xml, LIMITS) == {"00420011": {"vr": "OB", "InlineBinary": "AAECAw=="}}


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "utf-8"])
def test_the_encoding_is_the_one_that_the_document_declares(encoding: str) -> None:
    xml = (
        f'<?xml version="1.0" encoding="{encoding}"?><NativeDicomModel>'
        '<DicomAttribute tag="00081030" vr="LO"><Value number="1">Schädel</Value></DicomAttribute>'
        "</NativeDicomModel>"
    ).encode(encoding)

    assert from_xml(xml, LIMITS)["00081030"]["Value"] == ["Schädel"]


# ---- what is refused

ENTITY_BOMB = (
    '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9))
    + ']><NativeDicomModel><DicomAttribute tag="00081030" vr="LO"><Value>&j;</Value></DicomAttribute>'
    "</NativeDicomModel>"
).encode()
EXTERNAL_ENTITY = (
    b'<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/hostname">]><NativeDicomModel>'
    b'<DicomAttribute tag="00081030" vr="LO"><Value>&a;</Value></DicomAttribute></NativeDicomModel>'
)
ATTRIBUTE = '<DicomAttribute tag="00081030" vr="LO">{}</DicomAttribute>'
REFUSED = {
    "entity bomb": ENTITY_BOMB,
    "external entity": EXTERNAL_ENTITY,
    "empty doctype": b"<!DOCTYPE NativeDicomModel><NativeDicomModel/>",
    "undeclared entity": document(ATTRIBUTE.format("<Value>&a;</Value>")),
    "empty": b"",
    "cut off": document("")[:-5],
    "json": b"[{}]",
    "not the model": document("", root="html"),
    "element out of place": document("<Value>1</Value>"),
    "unknown element": document(ATTRIBUTE.format("<b/>")),
    "no tag": document("<DicomAttribute vr='LO'/>"),
    "keyword as tag": document("<DicomAttribute tag='PatientID' vr='LO'/>"),
    "attribute twice": document(ATTRIBUTE.format("") * 2),
    "private attribute twice": document(
        "<DicomAttribute tag='00090001' vr='LO' privateCreator='A'/>" * 2
    ),
    "bulk data without uri": document(ATTRIBUTE.format("<BulkData/>")),
    "number that is none": document(ATTRIBUTE.format("<Value number='x'>1</Value>")),
    "number zero": document(ATTRIBUTE.format("<Value number='0'>1</Value>")),
    "numbers backwards": document(
        ATTRIBUTE.format("<Value number='2'>1</Value><Value number='1'>1</Value>")
    ),
    "a billion values": document(ATTRIBUTE.format("<Value number='1000000000'>1</Value>")),
    "unknown encoding": b'<?xml version="1.0" encoding="klingon"?><NativeDicomModel/>',
    "not its encoding": b"<?xml version='1.0' encoding='utf-8'?><NativeDicomModel>\xff</NativeDicomModel>",
}


@pytest.mark.parametrize("xml", REFUSED.values(), ids=REFUSED)
def test_what_is_not_the_model_is_refused(xml: bytes) -> None:
    with pytest.raises(BadMetadata):
        from_xml(xml, LIMITS)


def test_deep_nesting_is_refused() -> None:
    depth = LIMITS.nesting_depth
    opening = '<DicomAttribute tag="0040A730" vr="SQ"><Item number="1">'
    closing = "</Item></DicomAttribute>"

    from_xml(document(opening * depth + closing * depth), LIMITS)
    with pytest.raises(TooDeep):
        from_xml(document(opening * (depth + 1) + closing * (depth + 1)), LIMITS)


def test_more_elements_than_the_limit_are_refused() -> None:
    xml = document("".join(f'<DicomAttribute tag="0009{n:04X}" vr="LO"/>' for n in range(100)))

    with pytest.raises(BadMetadata, match="limit elements"):
        from_xml(xml, Limits(elements=100))


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        from_xml(document("")[:60] + data, LIMITS)
    except BadMetadata:
        return
    pytest.fail("the document is not complete")
