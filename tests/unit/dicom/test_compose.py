"""Objects made of metadata and bulk data: pydicom, the gate and the metadata agree about them."""

import base64
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from app.dicom.bulk_part import BulkPart, by_location
from app.dicom.codestream import describe
from app.dicom.compose import Composer, named_bulk_data
from app.dicom.instance import COERCED, DISCARDED
from app.dicom.native_xml import from_xml, to_xml
from app.dicom.part10 import read_instance
from app.errors import BadInstance, BadMetadata, TooDeep
from app.limits import Limits

LIMITS = Limits()
EXPLICIT = "1.2.840.10008.1.2.1"
IDENTITY: dict[str, Any] = {
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.88.11"]},
    "00080018": {"vr": "UI", "Value": ["1.2.3.4"]},
    "00100020": {"vr": "LO", "Value": ["P"]},
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.3.1"]},
}


def composed(
    attributes: dict[str, Any], parts: Iterable[BulkPart] = (), limits: Limits = LIMITS
) -> bytes:
    return b"".join(map(bytes, Composer(attributes, by_location(parts), limits).pieces()))


def part(
    location: str,
    content: bytes,
    media_type: str = "application/octet-stream",
    uid: str | None = None,
) -> BulkPart:
    return BulkPart(location, media_type, memoryview(content), uid)


def real(name: str) -> bytes:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path).read_bytes()


# ---- any metadata

CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Cn", "Z"], exclude_characters="\\=^")
TEXT = st.text(CHARACTERS, min_size=1, max_size=12)
ASCII = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=1
)
BINARY = ("OB", "OW", "UN")
EMPTY = ("CS", "DA", "IS", "OB", "OW", "PN", "SQ", "TM", "UI", "US", "UN")


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values, min_size=1, max_size=4).filter(any)


def of(vrs: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"vr": st.sampled_from(vrs.split()), "Value": values})


def numbers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3)


NAMES = st.dictionaries(
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), TEXT, min_size=1
)
LEAVES = st.one_of(
    of("AE CS", several(ASCII)),
    of("LO SH UC", several(TEXT)),
    of("LT ST UT", numbers(TEXT).map(lambda texts: texts[:1])),
    of("IS", several(st.integers(1, 2**31 - 1))),
    of("DS", several(st.integers(-(10**6), 10**6).filter(bool).map(lambda n: n / 1000))),
    of("US", numbers(st.integers(0, 2**16 - 1))),
    of("SS", numbers(st.integers(-(2**15), 2**15 - 1))),
    of("UL", numbers(st.integers(0, 2**32 - 1))),
    of("SL", numbers(st.integers(-(2**31), 2**31 - 1))),
    of("UV", numbers(st.integers(0, 2**64 - 1).map(lambda n: n if n <= 2**53 else str(n)))),
    of("FD", numbers(st.floats(allow_nan=False, allow_infinity=False) | st.just("NaN"))),
    of("FL", numbers(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.just("-inf"))),
    of("AT", numbers(st.integers(0, 2**32 - 1).map("{:08X}".format))),
    of("PN", several(NAMES)),
    st.fixed_dictionaries(
        {
            "vr": st.sampled_from(BINARY),
            "InlineBinary": st.binary(min_size=2, max_size=20)
            .filter(lambda raw: len(raw) % 2 == 0)
            .map(lambda raw: base64.b64encode(raw).decode()),
        }
    ),
    st.fixed_dictionaries({"vr": st.sampled_from(EMPTY)}),
)
# standard attributes that neither identify nor lay out anything, whose VR is whatever the element says
TAGS = st.builds(
    "{:04X}{:04X}".format, st.sampled_from([0x0018, 0x0040, 0x3006]), st.integers(1, 0xFFFF)
)


def data_sets(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    found = st.dictionaries(TAGS, elements, max_size=4)
    return found.map(lambda data_set: dict(sorted(data_set.items())))


OBJECTS = st.recursive(
    data_sets(LEAVES),
    lambda inner: data_sets(LEAVES | of("SQ", st.lists(inner, min_size=1, max_size=3))),
    max_leaves=6,
)


def without_un(data_set: dict[str, Any]) -> dict[str, Any]:
    """What UN holds is read by the dictionary where it knows the attribute: leave it out of comparisons."""
    return {
        tag: {**element, "Value": [without_un(item) for item in element["Value"]]}
        if element["vr"] == "SQ" and "Value" in element
        else element
        for tag, element in data_set.items()
        if element["vr"] != "UN"
    }


@given(OBJECTS.map(without_un))
def test_the_gate_reads_what_the_metadata_said(attributes: dict[str, Any]) -> None:
    whole = {**IDENTITY, **attributes}

    record = read_instance(composed(whole), LIMITS)

    character_set = {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}
    assert record.attributes == dict(sorted({**whole, **character_set}.items()))
    assert {finding.tag for finding in record.findings} == set()


@given(OBJECTS)
def test_the_same_metadata_make_the_same_bytes_also_in_xml(attributes: dict[str, Any]) -> None:
    """So an object that is sent again, in either form, is recognised as the same."""
    whole = {**IDENTITY, **attributes}

    assert composed(whole) == composed(from_xml(to_xml(whole), LIMITS))


# ---- real objects, taken apart and put together

NATIVE = [
    "CT_small.dcm",
    "MR_small.dcm",
    "rtplan.dcm",
    "reportsi.dcm",
    "test-SR.dcm",
    "SC_rgb_small_odd.dcm",
]
IMAGE_PIXEL = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
COMPRESSED = {
    "JPEG2000.dcm": "image/jp2",
    "MR_small_jp2klossless.dcm": "image/jp2",
    "MR_small_jpeg_ls_lossless.dcm": "image/jls",
    "SC_rgb_jpeg_gdcm.dcm": "image/jpeg",
    "JPGExtended.dcm": "image/jpeg",
    "SC_rgb_dcmtk_+eb+cy+s2.dcm": "image/jpeg",
    "MR_small_RLE.dcm": "image/dicom-rle",
    "SC_rgb_rle_2frame.dcm": "image/dicom-rle",
}


def taken_apart(
    raw: bytes, media_type: str = "application/octet-stream"
) -> tuple[dict[str, Any], list[BulkPart]]:
    """Return metadata and bulk data as WADO-RS sends them."""
    record = read_instance(raw, LIMITS)
    parts = []
    for uri in named_bulk_data(record.attributes):
        path = uri.rpartition("/")[2]
        if path == "7FE00010" and record.pixels is not None and record.pixels.encapsulated:
            for frame in record.pixels.frames:
                content = b"".join(raw[at.offset : at.offset + at.length] for at in frame)
                parts.append(part(uri, content, media_type, record.transfer_syntax_uid))
        else:
            place = record.bulk[path]
            parts.append(part(uri, raw[place.offset : place.offset + place.length]))
    return dict(record.attributes), parts


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_object_is_put_together_again(name: str) -> None:
    raw = real(name)
    attributes, parts = taken_apart(raw)

    data = composed(attributes, parts)

    again, expected = dcmread(BytesIO(data)), dcmread(BytesIO(raw))
    assert again.file_meta.TransferSyntaxUID == EXPLICIT
    assert again.file_meta.MediaStorageSOPInstanceUID == expected.SOPInstanceUID
    assert again.get("PixelData") == expected.get("PixelData")
    assert str(again.PatientName) == str(expected.PatientName)
    same = read_instance(data, LIMITS).attributes
    assert {**same, "00080005": None} == {**attributes, "00080005": None}


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_compressed_object_is_put_together_again(name: str) -> None:
    raw = real(name)
    attributes, parts = taken_apart(raw, COMPRESSED[name])

    again, expected = dcmread(BytesIO(composed(attributes, parts))), dcmread(BytesIO(raw))

    number = int(expected.get("NumberOfFrames", 1))
    assert again.file_meta.TransferSyntaxUID == expected.file_meta.TransferSyntaxUID
    assert frames_of(again.PixelData, number) == frames_of(expected.PixelData, number)


def frames_of(encapsulated: bytes, number: int) -> list[bytes]:
    frames = generate_frames(encapsulated, number_of_frames=number)
    return [frame.rstrip(b"\0") for frame in frames]


@pytest.mark.parametrize(
    "name", [name for name in COMPRESSED if "RLE" not in name and "rle" not in name]
)
def test_a_codestream_says_what_its_file_says(name: str) -> None:
    """Against the attributes that the makers of the files wrote."""
    raw = real(name)
    expected = dcmread(BytesIO(raw))
    _, parts = taken_apart(raw, COMPRESSED[name])

    found = describe(parts[0].content)

    assert found is not None
    assert found.transfer_syntax_uid == expected.file_meta.TransferSyntaxUID
    assert (found.rows, found.columns) == (expected.Rows, expected.Columns)
    assert found.samples_per_pixel == expected.SamplesPerPixel
    assert found.bits_stored in (expected.BitsStored, expected.BitsAllocated)


def test_a_single_image_needs_no_image_pixel_attributes() -> None:
    """PS3.18 §10.5.2: the server sets them; the transfer syntax is the codestream's own."""
    raw = real("SC_rgb_dcmtk_+eb+cy+s2.dcm")
    attributes, (pixels,) = taken_apart(raw, "image/jpeg")
    left = {tag: element for tag, element in attributes.items() if not tag.startswith("0028")}

    data = composed(left, [BulkPart(pixels.location, "image/jpeg", pixels.content)])

    again, expected = dcmread(BytesIO(data)), dcmread(BytesIO(raw))
    assert again.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    for keyword in IMAGE_PIXEL:
        assert again[keyword].value == expected[keyword].value, keyword


def test_the_boxes_around_a_jp2_are_taken_off() -> None:
    """PS3.5 §A.4.4: DICOM has the codestream alone."""
    attributes, (pixels,) = taken_apart(real("JPEG2000.dcm"), "image/jp2")
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" + b"\0\0\0\0jp2c"

    data = composed(attributes, [part(pixels.location, boxes + bytes(pixels.content), "image/jp2")])

    (frame,) = frames_of(dcmread(BytesIO(data)).PixelData, 1)
    assert frame == bytes(pixels.content).rstrip(b"\0")


def test_frames_may_have_a_location_each() -> None:
    attributes, parts = taken_apart(real("SC_rgb_rle_2frame.dcm"), "image/dicom-rle")
    numbered = [
        part(f"{each.location}/frames/{number}", bytes(each.content), "image/dicom-rle")
        for number, each in reversed(list(enumerate(parts, 1)))
    ]

    assert composed(attributes, numbered) == composed(attributes, parts)


def test_a_video_is_one_part_however_many_frames_it_has() -> None:
    attributes = {**IDENTITY, "00280008": {"vr": "IS", "Value": [25]}}
    attributes["7FE00010"] = {"vr": "OB", "BulkDataURI": "v"}

    again = dcmread(BytesIO(composed(attributes, [part("v", b"abcdef", "video/mp4")])))

    assert again.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.102"
    assert frames_of(again.PixelData, 1) == [b"abcdef"]


def test_a_document_comes_in_its_own_media_type() -> None:
    attributes = {**IDENTITY, "00420011": {"vr": "OB", "BulkDataURI": "../doc.pdf"}}

    again = dcmread(
        BytesIO(composed(attributes, [part("../doc.pdf", b"%PDF-", "application/pdf")]))
    )

    assert again.EncapsulatedDocument == b"%PDF-\0"


def test_text_may_be_bulk_data_even_where_its_vr_has_a_short_length() -> None:
    """PS3.5 §6.2.2: it is written as UN then, which readers take by the dictionary."""
    attributes = {**IDENTITY, "30060050": {"vr": "DS", "BulkDataURI": "points"}}
    points = "\\".join(["1.5"] * 30_000).encode()

    data = composed(attributes, [part("points", points)])

    assert read_instance(data, LIMITS).attributes["30060050"] == {
        "vr": "DS",
        "Value": [1.5] * 30_000,
    }
    assert dcmread(BytesIO(data))[0x30060050].value == points + b" "


def test_metadata_of_a_reader_with_another_character_set_are_utf_8_now() -> None:
    attributes = {
        **IDENTITY,
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]},
    }
    composer = Composer(attributes, {}, LIMITS)

    again = dcmread(BytesIO(b"".join(map(bytes, composer.pieces()))))

    assert again.SpecificCharacterSet == "ISO_IR 192"
    assert str(again.PatientName) == "Müller^Jörg"
    assert [(each.tag, each.reason) for each in composer.findings] == [("00080005", COERCED)]


def test_decimals_too_long_for_ds_are_rounded_and_told() -> None:
    composer = Composer({**IDENTITY, "00181041": {"vr": "DS", "Value": [0.1 + 0.2]}}, {}, LIMITS)

    again = dcmread(BytesIO(b"".join(map(bytes, composer.pieces()))))

    assert str(again.ContrastBolusVolume) == "0.30000000000000"
    assert [(each.tag, each.reason) for each in composer.findings] == [("00181041", COERCED)]


def test_what_has_no_place_in_a_data_set_is_left_out() -> None:
    attributes = {
        **IDENTITY,
        "00000100": {"vr": "US", "Value": [1]},
        "00020010": {"vr": "UI", "Value": [EXPLICIT]},
        "00080000": {"vr": "UL", "Value": [1]},
    }
    composer = Composer(attributes, {}, LIMITS)

    assert b"".join(map(bytes, composer.pieces())) == composed(IDENTITY)
    assert [(each.tag, each.reason) for each in composer.findings] == [("00000100", DISCARDED)]


# ---- what some senders write

LENIENT: dict[str, tuple[dict[str, Any], Any]] = {
    "lower case tag": ({"0018101b": {"vr": "LO", "Value": ["x"]}}, "x"),
    "no vr": ({"0018101B": {"Value": ["x"]}}, "x"),
    "number as text": ({"0018101B": {"vr": "LO", "Value": [7]}}, "7"),
    "text as number": ({"0018101B": {"vr": "US", "Value": ["7"]}}, 7),
    "whole decimal as integer": ({"0018101B": {"vr": "IS", "Value": [7.0]}}, 7),
    "null as item": ({"0018101B": {"vr": "SQ", "Value": [None]}}, {}),
    "name as text": ({"0018101B": {"vr": "PN", "Value": ["A^B"]}}, {"Alphabetic": "A^B"}),
    "folded base64": ({"0018101B": {"vr": "OB", "InlineBinary": "AA\n EC"}}, None),
}


@pytest.mark.parametrize("name", LENIENT)
def test_what_can_be_read_safely_is_taken(name: str) -> None:
    attributes, expected = LENIENT[name]

    element = read_instance(composed({**IDENTITY, **attributes}), LIMITS).attributes["0018101B"]

    assert element.get("Value", [None])[0] == expected


# ---- what is refused, and which attribute that is

X = "00181030"
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "keyword as tag": ({"PatientID": {"vr": "LO"}}, ()),
    "element is a text": ({X: "x"}, (X,)),
    "two forms": ({X: {"vr": "OB", "InlineBinary": "", "BulkDataURI": "u"}}, (X,)),
    "unknown vr": ({X: {"vr": "ZZ"}}, (X,)),
    "vr is a list": ({X: {"vr": ["LO"]}}, (X,)),
    "value is a text": ({X: {"vr": "LO", "Value": "x"}}, (X,)),
    "value is an object": ({X: {"vr": "LO", "Value": [{}]}}, (X,)),
    "value is a truth": ({X: {"vr": "LO", "Value": [True]}}, (X,)),
    "several texts": ({X: {"vr": "LT", "Value": ["a", "b"]}}, (X,)),
    "half a surrogate pair": ({X: {"vr": "LO", "Value": ["\ud800"]}}, (X,)),
    "no integer": ({X: {"vr": "IS", "Value": [1.5]}}, (X,)),
    "out of range": ({X: {"vr": "US", "Value": [65536]}}, (X,)),
    "word as number": ({X: {"vr": "UL", "Value": ["many"]}}, (X,)),
    "null as number": ({X: {"vr": "FD", "Value": [None]}}, (X,)),
    "no tag": ({X: {"vr": "AT", "Value": ["PatientID"]}}, (X,)),
    "name with another script": ({X: {"vr": "PN", "Value": [{"Runic": "x"}]}}, (X,)),
    "no base64": ({X: {"vr": "OB", "InlineBinary": "%%"}}, (X,)),
    "inline binary is a number": ({X: {"vr": "OB", "InlineBinary": 1}}, (X,)),
    "inline binary of a text": ({X: {"vr": "LO", "InlineBinary": "AAAA"}}, (X,)),
    "value of a binary": ({X: {"vr": "OB", "Value": [1]}}, (X,)),
    "item is a number": ({X: {"vr": "SQ", "Value": [1]}}, (X,)),
    "within an item": ({"00400275": {"vr": "SQ", "Value": [{X: {"vr": "ZZ"}}]}}, (X,)),
    "no part": ({X: {"vr": "OB", "BulkDataURI": "nowhere"}}, (X,)),
    "uri is a number": ({X: {"vr": "OB", "BulkDataURI": 1}}, (X,)),
    "sequence as bulk data": ({X: {"vr": "SQ", "BulkDataURI": "one"}}, (X,)),
    "two parts": ({X: {"vr": "OB", "BulkDataURI": "two"}}, (X,)),
    "pixel data in a png": ({"7FE00010": {"vr": "OB", "BulkDataURI": "png"}}, ()),
    "pixel data in big endian": ({"7FE00010": {"vr": "OW", "BulkDataURI": "big"}}, ()),
    "jpeg that is to be rle": ({"7FE00010": {"vr": "OB", "BulkDataURI": "odd"}}, ()),
    "compressed in several ways": ({"7FE00010": {"vr": "OB", "BulkDataURI": "mixed"}}, ()),
    "more frames than parts": (
        {"00280008": {"vr": "IS", "Value": [3]}, "7FE00010": {"vr": "OB", "BulkDataURI": "frames"}},
        ("7FE00010",),
    ),
}
PARTS = [
    part("one", b"1"),
    part("two", b"1"),
    part("two", b"2"),
    part("png", b"1", "image/png"),
    part("big", b"12", uid="1.2.840.10008.1.2.2"),
    part("odd", b"12", "image/jpeg", "1.2.840.10008.1.2.5"),
    part("mixed", b"12", "image/jpeg"),
    part("mixed", b"12", "image/jp2"),
    part("frames", b"12", "image/jp2"),
    part("frames", b"12", "image/jp2"),
]


@pytest.mark.parametrize("name", REFUSED)
def test_metadata_that_make_no_object_name_the_attribute(name: str) -> None:
    attributes, tags = REFUSED[name]

    with pytest.raises(BadMetadata) as caught:
        composed({**IDENTITY, **attributes}, PARTS)

    assert caught.value.attributes == tags


def test_deep_nesting_is_refused() -> None:
    attributes: dict[str, Any] = {}
    for _ in range(LIMITS.nesting_depth):
        attributes = {"0040A730": {"vr": "SQ", "Value": [attributes]}}

    composed({**IDENTITY, **attributes})
    with pytest.raises(TooDeep):
        composed({**IDENTITY, "0040A730": {"vr": "SQ", "Value": [attributes]}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary", X]), inner)
    ),
    max_leaves=8,
)
VRS = st.sampled_from(["SQ", "OB", "DS", "IS", "PN", "AT", "FD", "UL", "UI", "LT"])
ELEMENTS = JSON | st.fixed_dictionaries({"vr": VRS, "Value": st.lists(JSON, max_size=3)})


@given(
    st.dictionaries(st.sampled_from([X, "00080005", "00280008", "7FE00010", "0020000d"]), ELEMENTS)
)
def test_any_json_makes_an_object_or_is_refused(attributes: dict[str, Any]) -> None:
    composer = Composer(attributes, by_location(PARTS), LIMITS)
    try:
        data = b"".join(map(bytes, composer.pieces()))
        read_instance(data, LIMITS)
    except BadInstance:
        assert list(named_bulk_data(attributes)) is not None
