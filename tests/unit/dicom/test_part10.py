"""The gate and the reading of Part 10 objects (PS3.10 §7, PS3.18 §F.2)."""

import base64
import mmap
import struct
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from app.dicom.instance import InstanceRecord
from app.dicom.part10 import claimed_identity, inflate, read_instance
from app.errors import BadInstance, CoregisterError, InstanceTooLarge, TooDeep, Truncated
from app.limits import Limits
from tests.corpus import (
    ITEM_END,
    SENTINEL,
    SEQUENCE_END,
    UNDEFINED,
    deflate_bomb,
    element,
    huge_text,
    item,
    make_instance,
    nasty_files,
    nested_sequences,
    private_elements,
    with_elements,
    wrong_values,
)

LIMITS = Limits(inflated_bytes=16 * 1024 * 1024)
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
NASTY = nasty_files()
LUXEMBOURG = "Люкceмбypг"  # noqa: RUF001 - Cyrillic is meant


def read(data: bytes, **limits: int) -> InstanceRecord:
    return read_instance(data, LIMITS.model_copy(update=limits))


def findings_of(record: InstanceRecord) -> dict[str, str]:
    return {finding.tag: finding.message for finding in record.findings}


@pytest.mark.parametrize("name", NASTY)
def test_nasty_object_ends_in_its_error_or_is_kept(name: str) -> None:
    """Whatever comes is either known in full or refused with the right error, and JSON can be made of it."""
    data, expected = NASTY[name]

    if expected is None:
        orjson.dumps(read(data).attributes)
        return
    with pytest.raises(expected) as caught:
        read(data)
    assert type(caught.value) is expected


@pytest.mark.parametrize("name", NASTY)
def test_no_error_or_finding_shows_a_value_of_the_data_set(name: str) -> None:
    data, _ = NASTY[name]
    try:
        said = " ".join(finding.message for finding in read(data).findings)
    except CoregisterError as error:
        said = error.message

    for value in (SENTINEL, "PID-1", "script", "yesterday", "passwd", "A-1"):
        assert value not in said


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_each_encoding_gives_the_same_attributes(syntax: str) -> None:
    """DICOM JSON does not show how an object was encoded (PS3.18 §F.2), but for what refers to places."""
    uids: dict[str, Any] = {
        "SOPInstanceUID": "1.2.3",
        "StudyInstanceUID": "1.2.4",
        "SeriesInstanceUID": "1.2.5",
        "SmallestImagePixelValue": 7,
        "RequestAttributesSequence": [{"ScheduledProcedureStepID": "S1"}, {}],
        "RedPaletteColorLookupTableData": b"\1\2\3\4",
    }
    expected = read(make_instance(**uids))

    record = read(make_instance(transfer_syntax=syntax, **uids))

    assert record.attributes == expected.attributes
    assert record.attributes["00281201"]["InlineBinary"] == base64.b64encode(b"\1\2\3\4").decode()
    assert record.transfer_syntax_uid == syntax
    assert record.deflated is (syntax == DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_bulk_ranges_and_frames_lead_to_the_pixels(syntax: str) -> None:
    pixels = bytes(range(256)) * 2
    data = make_instance(transfer_syntax=syntax, PixelData=pixels)
    record = read(data)

    source = bytes(inflate(data, LIMITS)) if record.deflated else data
    place = record.bulk["7FE00010"]
    found = source[place.offset : place.offset + place.length]

    swapped = b"".join(pixels[i : i + 2][::-1] for i in range(0, len(pixels), 2))
    assert found == (swapped if syntax == ExplicitVRBigEndian else pixels)
    assert record.pixels is not None
    assert record.pixels.frames == ((place,),)
    assert record.attributes["7FE00010"]["BulkDataURI"] == (
        f"coregister:/studies/{record.study_instance_uid}/series/{record.series_instance_uid}"
        f"/instances/{record.sop_instance_uid}/bulkdata/7FE00010"
    )


def test_record_has_the_identifiers_of_the_data_set() -> None:
    record = read(
        make_instance(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.4",
            SOPInstanceUID="1.2.3",
            StudyInstanceUID="1.2.4.0001",  # leading zeros: seen in the wild
            SeriesInstanceUID="1.2.5 ",
        )
    )

    assert record.sop_class_uid == "1.2.840.10008.5.1.4.1.1.4"
    assert record.sop_instance_uid == "1.2.3"
    assert record.study_instance_uid == "1.2.4.0001"
    assert record.series_instance_uid == "1.2.5"
    assert record.findings == ()


def test_mapped_file_and_view_read_like_bytes(tmp_path: Path) -> None:
    data = make_instance()
    path = tmp_path / "object"
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        from_map = read_instance(mapped, LIMITS)

    assert from_map == read(data)
    assert read_instance(memoryview(data), LIMITS) == read(data)


def test_group_lengths_commands_and_meta_are_left_out() -> None:
    """DICOM JSON has neither group lengths nor File Meta Information (PS3.18 §F.2.2)."""
    record = read(with_elements(element(0x00280000, b"UL", b"\0\0\0\0")))
    stray = read(with_elements(element(0x00020010, b"UI", b"1.2\0")))

    assert "00280000" not in record.attributes
    assert not record.findings
    assert "00020010" not in stray.attributes
    assert "00020010" in findings_of(stray)


def test_attributes_out_of_order_come_out_ascending_and_repeated_ones_once() -> None:
    record = read(
        with_elements(element(0x00081030, b"LO", b"AB") + element(0x00081030, b"LO", b"CD"))
    )

    assert list(record.attributes) == sorted(record.attributes)
    assert record.attributes["00081030"]["Value"] == ["AB"]
    assert "00081030" in findings_of(record)


def test_wrong_values_stay_text_and_are_found() -> None:
    record = read(wrong_values())

    assert record.attributes["00080020"] == {"vr": "DA", "Value": ["yesterday"]}
    assert record.attributes["00200013"] == {"vr": "IS", "Value": ["one"]}
    assert record.attributes["00200032"] == {"vr": "DS", "Value": [1.0, "x", "nan"]}
    assert set(findings_of(record)) == {"00080020", "00080030", "00200013", "00200032", "00200052"}


def test_number_of_impossible_length_is_kept_as_unknown() -> None:
    data = with_elements(element(0x00280106, b"US", b"abc"))
    record = read(data)

    assert record.attributes["00280106"] == {"vr": "UN", "InlineBinary": "YWJj"}
    assert "00280106" in findings_of(record)
    assert "00280106" in read(data, inline_bytes=2).bulk


def test_binary_value_beyond_the_limit_is_a_bulk_value() -> None:
    inner = element(0x00420011, b"OB", b"x" * 100)
    data = with_elements(element(0x0040A730, b"SQ", item(b"") + item(inner)))
    record = read(data, inline_bytes=99)

    place = record.bulk["0040A730.2.00420011"]
    assert data[place.offset : place.offset + place.length] == b"x" * 100
    nested = record.attributes["0040A730"]["Value"][1]["00420011"]
    assert nested["BulkDataURI"].endswith("/bulkdata/0040A730.2.00420011")
    within = read(data, inline_bytes=100)
    assert "InlineBinary" in within.attributes["0040A730"]["Value"][1]["00420011"]


def test_long_text_is_a_bulk_value_and_a_long_short_string_unknown() -> None:
    """Only some VRs may be bulk (PS3.18 §F.2.6); a value that is too long for another becomes UN."""
    record = read(huge_text())
    data = with_elements(element(0x00100021, b"LO", b"x" * 100))

    assert record.attributes["0040A160"]["vr"] == "UT"
    assert record.bulk["0040A160"].length > LIMITS.inline_text_bytes
    short = read(data, inline_text_bytes=99)
    assert short.attributes["00100021"]["vr"] == "UN"
    assert "00100021" in short.bulk


def test_private_and_odd_vrs_are_read_by_their_length_fields() -> None:
    """Two unknown capitals stand before 32 bits of length, other characters before 16 (PS3.5 §6.2)."""
    record = read(private_elements())

    assert record.attributes["00290010"] == {"vr": "LO", "Value": ["COREGISTER TEST"]}
    inline = {tag: record.attributes[tag].get("InlineBinary") for tag in record.attributes}
    assert inline["00291001"] == base64.b64encode(b"\1\2\3\4").decode()
    assert inline["00291002"] == base64.b64encode(b"ab").decode()
    assert inline["00291003"] == base64.b64encode(b"cd").decode()
    assert inline["00291004"] == base64.b64encode(b"efgh").decode()
    assert record.attributes["00291005"] == {
        "vr": "SQ",
        "Value": [{"00080100": {"vr": "SH", "Value": ["CODE"]}}],
    }


def test_unknown_vr_of_a_standard_attribute_is_looked_up() -> None:
    record = read(with_elements(element(0x00281050, b"UN", b"40\\80 ")))

    assert record.attributes["00281050"] == {"vr": "DS", "Value": [40.0, 80.0]}


def test_unknown_value_that_is_not_of_the_dictionary_vr_stays_unknown() -> None:
    record = read(with_elements(element(0x00081030, b"UN", b"\xff\xfe\xfd\xfc")))
    number = read(with_elements(element(0x00280106, b"UN", b"abc")))

    assert record.attributes["00081030"] == {"vr": "UN", "InlineBinary": "//79/A=="}
    assert number.attributes["00280106"] == {"vr": "UN", "InlineBinary": "YWJj"}


def test_private_vr_comes_from_the_dictionary_of_its_creator() -> None:
    creator, value = element(0x00190010, b"LO", b"GEMS_ACQU_01"), b"1.5 "
    record = read(with_elements(creator + element(0x00191002, b"UN", struct.pack("<i", 7))))
    unknown = read(with_elements(element(0x00191002, b"UN", value)))

    assert record.attributes["00191002"] == {"vr": "SL", "Value": [7]}
    assert unknown.attributes["00191002"]["vr"] == "UN"


def test_pixel_representation_decides_the_vr_of_pixel_values() -> None:
    """US or SS: by (0028,0103) of the data set, also within its items (PS3.5 §A.1)."""
    overrides: dict[str, Any] = {
        "transfer_syntax": ImplicitVRLittleEndian,
        "SmallestImagePixelValue": b"\xff\xff",
        "RealWorldValueMappingSequence": [{"RealWorldValueFirstValueMapped": b"\xfe\xff"}],
    }
    signed = read(make_instance(PixelRepresentation=1, **overrides)).attributes
    unsigned = read(make_instance(PixelRepresentation=0, **overrides)).attributes

    assert signed["00280106"] == {"vr": "SS", "Value": [-1]}
    assert signed["00409096"]["Value"][0]["00409216"] == {"vr": "SS", "Value": [-2]}
    assert unsigned["00280106"] == {"vr": "US", "Value": [65535]}


def test_data_set_that_is_not_encoded_as_meta_say_is_read_as_it_is() -> None:
    implicit = make_instance(
        transfer_syntax=ImplicitVRLittleEndian, meta={"TransferSyntaxUID": ExplicitVRLittleEndian}
    )
    explicit = make_instance(meta={"TransferSyntaxUID": ImplicitVRLittleEndian})

    for data in (implicit, explicit):
        record = read(data)
        assert record.attributes["00100020"] == {"vr": "LO", "Value": ["PID-1"]}
        assert "00020010" in findings_of(record)


def test_character_set_of_an_item_is_its_own() -> None:
    """(0008,0005) holds for its item and the items within, else it is inherited (PS3.5 §7.5.3)."""
    greek = "Διονυσιος".encode("iso8859_7")
    russian = LUXEMBOURG.encode("iso8859_5")
    inherited = item(element(0x00080104, b"LO", greek))
    own = item(
        element(0x00080005, b"CS", b"ISO_IR 144")
        + element(0x00080104, b"LO", russian)
        + element(0x0040A730, b"SQ", item(element(0x00080104, b"LO", russian)))
    )
    data = with_elements(
        element(0x0040A730, b"SQ", own + inherited), SpecificCharacterSet="ISO_IR 126"
    )

    first, second = read(data).attributes["0040A730"]["Value"]

    assert first["00080104"]["Value"] == [LUXEMBOURG]
    assert first["0040A730"]["Value"][0]["00080104"]["Value"] == [LUXEMBOURG]
    assert second["00080104"]["Value"] == ["Διονυσιος"]
    assert first["00080005"] == {"vr": "CS", "Value": ["ISO_IR 144"]}


@pytest.mark.parametrize(
    "tag",
    [
        0x00080005, 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280100, 0x00280103,
        0x00283002, 0x00290010, 0x7FE00001,
    ],
)  # fmt: skip
def test_sequence_where_a_value_is_expected_does_no_harm(tag: int) -> None:
    """Every attribute that reading itself looks at may come with any VR."""
    overrides: dict[str, Any] = {keyword_for_tag(tag) or "StudyID": None}
    whole = make_instance(**overrides)
    at = whole.index(b"\x08\x00\x16\x00UI")
    sequence = element(tag, b"SQ", item(element(0x00080100, b"SH", b"CODE")))
    used = element(0x00291001, b"UN", b"ab") + element(0x00283006, b"UN", b"ab")
    record = read(whole[:at] + sequence + used + whole[at:])

    assert record.attributes[f"{tag:08X}"]["vr"] == "SQ"


def test_un_that_keeps_the_encoding_around_it_is_read() -> None:
    """PS3.5 §6.2.2 wants Implicit VR within UN; some writers only change the VR."""
    inner = item(element(0x00080100, b"SH", b"CODE"))
    record = read(with_elements(element(0x00291005, b"UN", inner, UNDEFINED) + SEQUENCE_END))

    assert record.attributes["00291005"]["Value"] == [{"00080100": {"vr": "SH", "Value": ["CODE"]}}]


def test_element_in_an_implicit_header_within_an_explicit_data_set_is_read() -> None:
    header = struct.pack("<HHI", 0x0008, 0x1030, 4) + b"TEXT"
    sequence = struct.pack("<HHI", 0x0040, 0xA730, UNDEFINED) + item(
        struct.pack("<HHI", 0x0008, 0x0100, 4) + b"CODE"
    )
    record = read(with_elements(header + sequence + SEQUENCE_END))

    assert record.attributes["00081030"] == {"vr": "LO", "Value": ["TEXT"]}
    assert record.attributes["0040A730"]["Value"] == [{"00080100": {"vr": "SH", "Value": ["CODE"]}}]


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_empty_sequence_within_a_sequence_is_read(syntax: str, *, undefined: bool) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    end = struct.pack(f"{order}HHI", 0xFFFE, 0xE0DD, 0) if undefined else b""
    length = UNDEFINED if undefined else 0
    inner = element(0x0040A730, b"SQ", end, length, order=order)
    outer = item(inner, order=order)
    value = element(0x0040A730, b"SQ", outer + end, length or len(outer), order=order)
    record = read(make_instance(transfer_syntax=syntax, PixelData=None) + value)

    assert record.attributes["0040A730"]["Value"] == [{"0040A730": {"vr": "SQ"}}]


def test_depth_up_to_the_limit_is_read() -> None:
    read(nested_sequences(32))
    read(nested_sequences(64, defined=True), nesting_depth=64)

    with pytest.raises(TooDeep):
        read(nested_sequences(33))


def test_elements_items_and_fragments_count_against_the_limit() -> None:
    many_items = with_elements(element(0x0040A730, b"SQ", item(b"") * 100))
    fragments = make_instance(transfer_syntax=JPEGBaseline8Bit, PixelData=item(b"") * 100)

    for data in (many_items, fragments):
        read(data, elements=200)
        with pytest.raises(InstanceTooLarge):
            read(data, elements=100)


def test_deflate_bomb_is_stopped_at_the_limit() -> None:
    bomb = deflate_bomb(64)

    with pytest.raises(InstanceTooLarge):
        read(bomb, inflated_bytes=1024 * 1024)
    with pytest.raises(InstanceTooLarge):
        inflate(bomb, Limits(inflated_bytes=1024 * 1024))


def test_truncation_at_every_byte_is_refused_or_found() -> None:
    """What was cut off is never stored as if it were whole."""
    whole = make_instance()

    for length in range(len(whole)):
        try:
            record = read(whole[:length])
        except BadInstance:
            continue
        assert "7FE00010" in findings_of(record), length


def test_truncated_names_path_and_place() -> None:
    inner = element(0x00080100, b"SH", b"CODE", 40)
    with pytest.raises(Truncated) as caught:
        read(with_elements(element(0x0040A730, b"SQ", item(inner))))

    assert "0040A730.1.00080100 has 40 bytes" in caught.value.message
    assert caught.value.attributes == ("00080100",)


def test_value_without_length_is_refused_where_the_vr_has_none() -> None:
    with pytest.raises(BadInstance):
        read(with_elements(element(0x00189073, b"UT", b"text", UNDEFINED)))


def test_sequence_delimiters_out_of_place_are_refused() -> None:
    for stray in (ITEM_END, item(b"")):
        with pytest.raises(BadInstance):
            read(with_elements(stray))
    # after a sequence of defined length it is seen in the wild and harmless
    read(with_elements(element(0x0040A730, b"SQ", b"") + SEQUENCE_END))


def test_image_without_pixel_data_is_found() -> None:
    assert "7FE00010" in findings_of(read(make_instance(PixelData=None)))
    assert "7FE00010" in findings_of(read(make_instance(PixelData=None, Rows=None)))
    report = make_instance(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", PixelData=None, Rows=None, Columns=None
    )
    assert read(report).findings == ()


def test_claimed_identity_never_fails() -> None:
    data = make_instance(SOPInstanceUID="1.2.3")
    sop_class, sop_instance = claimed_identity(data)

    assert (sop_class, sop_instance) == ("1.2.840.10008.5.1.4.1.1.2", "1.2.3")
    assert claimed_identity(b"") == (None, None)
    for length in range(0, 400, 3):
        claimed_identity(data[:length])
    assert claimed_identity(make_instance(meta={"MediaStorageSOPInstanceUID": "a"}))[1] is None


def test_gzip_trailer_after_a_deflated_data_set_is_no_garbage() -> None:
    data = make_instance(transfer_syntax=DeflatedExplicitVRLittleEndian)
    inflated = bytes(inflate(data, LIMITS))
    trailer = struct.pack("<II", zlib.crc32(inflated), len(inflated))

    assert read(data + trailer) == read(data)
    with pytest.raises(BadInstance):
        read(data + b"\1" + trailer)


def test_empty_pixel_data_have_no_place() -> None:
    record = read(make_instance(PixelData=b""))

    assert record.attributes["7FE00010"] == {"vr": "OW"}
    assert record.bulk == {}
    assert record.pixels is None
