"""Objects to test with: one that is as it should be, and many that are not. Each is made, none is a file.

`make_instance` gives a small valid CT; the other builders start from it and spoil something. `nasty_files`
is all of them with the error that each must end in, or None where it is to be kept.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)

from app.errors import (
    BadIdentifier,
    BadInstance,
    CoregisterError,
    InstanceTooLarge,
    MissingAttribute,
    NotDicom,
    TooDeep,
    Truncated,
)

NATIVE = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    }
)
UNDEFINED = 0xFFFFFFFF
SIDE = 16  # rows and columns of the images
SCRIPT = "<script>alert(1)</script>"
SENTINEL = "Zzyzx^Sentinel"  # a name that no log, metric or error may show


def make_instance(
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    meta: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> bytes:
    """Return a small valid CT image as a Part 10 object.

    `overrides` are attributes by keyword, `meta` those of the File Meta Information; None leaves one out, a
    list of mappings is a sequence. Encapsulated pixel data are `fragments(…)`.
    """
    attributes: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyDate": "20240229",
        "StudyTime": "101530.25",
        "AccessionNumber": "A-1",
        "Modality": "CT",
        "PatientName": SENTINEL,
        "PatientID": "PID-1",
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "StudyID": "1",
        "SeriesNumber": "1",
        "InstanceNumber": "1",
        "ImagePositionPatient": ["-10.5", "0", "12.25"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": SIDE,
        "Columns": SIDE,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": bytes(SIDE * SIDE * 2),
        **overrides,
    }
    file_meta = {
        "FileMetaInformationVersion": b"\0\1",
        "MediaStorageSOPClassUID": attributes["SOPClassUID"] or CTImageStorage,
        "MediaStorageSOPInstanceUID": attributes["SOPInstanceUID"] or generate_uid(),
        "TransferSyntaxUID": transfer_syntax,
        "ImplementationClassUID": "1.2.3.4.5",
        **(meta or {}),
    }
    group_2 = Writer().data_set(file_meta)
    writer = Writer(
        explicit=transfer_syntax != ImplicitVRLittleEndian,
        little=transfer_syntax != ExplicitVRBigEndian,
        encapsulated=transfer_syntax not in NATIVE,
    )
    body = writer.data_set(attributes)
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        deflator = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = deflator.compress(body) + deflator.flush()
    group_length = element(0x00020000, b"UL", struct.pack("<I", len(group_2)))
    return bytes(128) + b"DICM" + group_length + group_2 + body


class Writer:
    """Writes attributes as they are given, right or wrong."""

    def __init__(
        self, *, explicit: bool = True, little: bool = True, encapsulated: bool = False
    ) -> None:
        self._explicit = explicit
        self._order = "<" if little else ">"
        self._encapsulated = encapsulated

    def data_set(self, attributes: Mapping[str, Any]) -> bytes:
        """Return the elements, ascending; None leaves one out."""
        by_tag = {
            tag_for_keyword(keyword) or 0: value
            for keyword, value in attributes.items()
            if value is not None
        }
        if 0 in by_tag:
            raise ValueError("not a keyword of PS3.6")
        return b"".join(self._element(tag, value) for tag, value in sorted(by_tag.items()))

    def _element(self, tag: int, value: Any) -> bytes:
        vr = {"US or SS": "US", "OB or OW": "OW", "US or OW": "OW"}.get(
            dictionary_VR(tag), dictionary_VR(tag)
        )
        if self._encapsulated and tag == PIXEL_DATA:
            return element(tag, b"OB", value + SEQUENCE_END, UNDEFINED)
        return element(
            tag, vr.encode(), self._value(vr, value), explicit=self._explicit, order=self._order
        )

    def _value(self, vr: str, value: Any) -> bytes:
        values = value if isinstance(value, list | tuple) else [value]
        if vr == "SQ":
            return b"".join(item(self.data_set(each), order=self._order) for each in value)
        if vr in _NUMBERS and not isinstance(value, bytes):
            return struct.pack(f"{self._order}{len(values)}{_NUMBERS[vr]}", *values)
        if isinstance(value, bytes):
            if vr == "OW" and self._order == ">":
                value = b"".join(value[i : i + 2][::-1] for i in range(0, len(value), 2))
            return bytes(value + b"\0" * (len(value) % 2))
        text: bytes = "\\".join(map(str, values)).encode()
        return text + (b"\0" if vr == "UI" else b" ") * (len(text) % 2)


# ---- pieces of a data set

PIXEL_DATA = 0x7FE00010
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}


def element(
    tag: int,
    vr: bytes,
    value: bytes,
    length: int | None = None,
    *,
    explicit: bool = True,
    order: str = "<",
) -> bytes:
    """Return one element, whose length may be a lie."""
    length = len(value) if length is None else length
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack(f"{order}I", length) + value
    if vr in _LONG:
        return head + vr + struct.pack(f"{order}HI", 0, length) + value
    return head + vr + struct.pack(f"{order}H", length) + value


def item(value: bytes, length: int | None = None, *, order: str = "<") -> bytes:
    """Return one item of a sequence or one fragment, whose length may be a lie."""
    length = len(value) if length is None else length
    return struct.pack(f"{order}HHI", 0xFFFE, 0xE000, length) + value


def fragments(*values: bytes, table: bytes = b"") -> bytes:
    """Return encapsulated pixel data as `make_instance` takes them, `table` the Basic Offset Table."""
    return item(table) + b"".join(map(item, values))


ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def with_elements(added: bytes, **overrides: Any) -> bytes:
    """Return a valid object with bytes put in front of its pixel data."""
    whole = make_instance(**overrides)
    at = whole.rindex(b"\xe0\x7f\x10\x00")
    return whole[:at] + added + whole[at:]


# ---- objects that must be refused


def nested_sequences(depth: int = 500, *, defined: bool = False) -> bytes:
    """Return an object with sequences within sequences."""
    value = b""
    for _ in range(depth):
        if defined:
            value = element(0x0040A730, b"SQ", item(value))
        else:
            inner = item(value, UNDEFINED) + ITEM_END + SEQUENCE_END
            value = element(0x0040A730, b"SQ", inner, UNDEFINED)
    return with_elements(value)


def deflate_bomb(mebibytes: int = 600) -> bytes:
    """Return a small object whose data set inflates to very much."""
    whole = make_instance(transfer_syntax=DeflatedExplicitVRLittleEndian, PixelData=None)
    at = whole.index(b"DICM") + 4
    (group_length,) = struct.unpack_from("<I", whole, at + 8)
    deflator = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # a full flush makes every block stand alone, so that one block can be repeated
    block = deflator.compress(bytes(1024 * 1024)) + deflator.flush(zlib.Z_FULL_FLUSH)
    return whole[: at + 12 + group_length] + block * mebibytes + deflator.flush()


def length_lie() -> bytes:
    """Return an object with a binary value of nearly 4 GiB of which three bytes are there."""
    whole = make_instance(PixelData=None)
    return whole + element(0x7FE00010, b"OB", b"abc", 0xFFFFFFF0)


def truncated_pixels() -> bytes:
    """Return an object whose last bytes were lost."""
    return make_instance()[:-7]


def truncated_header() -> bytes:
    """Return an object that ends within the header of an element."""
    whole = make_instance()
    return whole[: whole.rindex(b"\xe0\x7f\x10\x00") + 5]


def item_that_ends_early() -> bytes:
    """Return an object with an item that its delimiter ends before its length does."""
    inner = ITEM_END + element(0x00080100, b"SH", b"CODE")
    return with_elements(element(0x0040A730, b"SQ", item(inner)))


def item_lie() -> bytes:
    """Return an object with an item that is longer than its sequence."""
    inner = item(element(0x00080100, b"SH", b"CODE"), 400)
    return with_elements(element(0x0040A730, b"SQ", inner))


def sequence_without_end() -> bytes:
    """Return an object with a sequence of undefined length that nothing ends."""
    return make_instance(PixelData=None) + element(0x7FE10010, b"SQ", item(b""), UNDEFINED)


def sequence_without_item() -> bytes:
    """Return an object with a sequence that holds something else than items."""
    return with_elements(element(0x0040A730, b"SQ", element(0x00080100, b"SH", b"CODE")))


def fragments_without_end() -> bytes:
    """Return an object with encapsulated pixel data that nothing ends."""
    whole = make_instance(
        transfer_syntax=JPEGBaseline8Bit, PixelData=fragments(b"\xff\xd8\xff\xd9")
    )
    return whole.removesuffix(SEQUENCE_END)


def trailing_garbage() -> bytes:
    """Return an object with bytes after it that are no element."""
    return make_instance() + b"garbage"


def without_preamble() -> bytes:
    """Return an object that lacks the preamble and prefix."""
    return make_instance()[132:]


def deflated_garbage() -> bytes:
    """Return an object that claims to be deflated and is not."""
    whole = make_instance()
    at = whole.index(b"DICM") + 4
    (group_length,) = struct.unpack_from("<I", whole, at + 8)
    deflated = make_instance(transfer_syntax=DeflatedExplicitVRLittleEndian)
    (deflated_length,) = struct.unpack_from("<I", deflated, at + 8)
    return deflated[: at + 12 + deflated_length] + whole[at + 12 + group_length :]


def deflated_cut_short() -> bytes:
    """Return a deflated object whose last bytes were lost."""
    return make_instance(transfer_syntax=DeflatedExplicitVRLittleEndian)[:-20]


# ---- objects that must be kept


def script_names() -> bytes:
    """Return an object with markup in every name and text that people see."""
    return make_instance(
        PatientName=f"{SCRIPT}^{SCRIPT}",
        PatientID=SCRIPT,
        StudyDescription=SCRIPT,
        SeriesDescription=f"{SCRIPT}\r\nX-Injected: 1",
        InstitutionName='"><img src=x onerror=alert(1)>',
    )


def private_elements() -> bytes:
    """Return an object with private blocks, one with an element of a VR that nobody knows."""
    return with_elements(
        element(0x00290010, b"LO", b"COREGISTER TEST ")
        + element(0x00291001, b"UN", b"\x01\x02\x03\x04")
        + element(0x00291002, b"??", b"ab")
        + element(0x00291003, b"  ", b"cd")
        + struct.pack("<HH2sHI", 0x0029, 0x1004, b"OX", 0, 4)
        + b"efgh"
        + element(0x00291005, b"UN", item(struct.pack("<HHI", 8, 0x100, 4) + b"CODE"), UNDEFINED)
        + SEQUENCE_END
    )


def huge_text(size: int = 1024 * 1024) -> bytes:
    """Return an object with a very long text."""
    return with_elements(element(0x0040A160, b"UT", b"lorem ipsum " * (size // 12)))


def wrong_values() -> bytes:
    """Return an object with values that are not what their VRs ask for."""
    return make_instance(
        StudyDate="yesterday",
        StudyTime="noon",
        InstanceNumber="one",
        ImagePositionPatient=["1", "x", "nan"],
        FrameOfReferenceUID="not.a.uid",
    )


def wrong_character_set() -> bytes:
    """Return an object whose text is not in the character set that it declares."""
    name = element(0x00100010, b"PN", b"\xff\xfe\xfd^\xe4 ")
    whole = make_instance(
        SpecificCharacterSet="ISO_IR 192", PatientName=None, PatientID="WRONG-CHARSET"
    )
    at = whole.index(b"\x10\x00\x20\x00LO")
    return whole[:at] + name + whole[at:]


def executable_preamble() -> bytes:
    """Return an object that begins like a program (CVE-2019-11687)."""
    whole = make_instance()
    return b"MZ\x90\x00".ljust(128, b"\0") + whole[128:]


def lying_meta() -> bytes:
    """Return an object whose File Meta Information is of another object, and shorter than it says."""
    whole = bytearray(make_instance(meta={"MediaStorageSOPInstanceUID": "1.2.3.4"}))
    struct.pack_into("<I", whole, 140, 4)
    return bytes(whole)


def zero_padding() -> bytes:
    """Return an object with zeros after it."""
    return make_instance() + bytes(100)


def trailing_padding() -> bytes:
    """Return an object with Data Set Trailing Padding."""
    return make_instance() + element(0xFFFCFFFC, b"OB", bytes(64))


def nasty_files() -> dict[str, tuple[bytes, type[CoregisterError] | None]]:
    """Return every nasty object with the error that it must end in, None where it is to be kept."""
    return {
        "empty": (b"", NotDicom),
        "text": (b"This is no DICOM object.\n" * 10, NotDicom),
        "prefix only": (bytes(128) + b"DICM", MissingAttribute),
        "without transfer syntax": (
            make_instance(meta={"TransferSyntaxUID": None}),
            MissingAttribute,
        ),
        "wrong transfer syntax": (make_instance(meta={"TransferSyntaxUID": "1.x"}), BadIdentifier),
        "without Study Instance UID": (make_instance(StudyInstanceUID=None), MissingAttribute),
        "empty Series Instance UID": (make_instance(SeriesInstanceUID=""), MissingAttribute),
        "without SOP Instance UID": (make_instance(SOPInstanceUID=None), MissingAttribute),
        "without SOP Class UID": (make_instance(SOPClassUID=None), MissingAttribute),
        "without Patient ID": (make_instance(PatientID=None), MissingAttribute),
        "path as UID": (make_instance(StudyInstanceUID="../../etc/passwd"), BadIdentifier),
        "long UID": (make_instance(SeriesInstanceUID="1." + "2" * 63), BadIdentifier),
        "two UIDs": (make_instance(SOPInstanceUID=["1.2", "1.3"]), BadIdentifier),
        "500 nested sequences": (nested_sequences(), TooDeep),
        "500 nested sequences of defined length": (nested_sequences(defined=True), TooDeep),
        "deflate bomb": (deflate_bomb(), InstanceTooLarge),
        "deflated garbage": (deflated_garbage(), BadInstance),
        "deflated cut short": (deflated_cut_short(), Truncated),
        "length lie": (length_lie(), Truncated),
        "truncated pixels": (truncated_pixels(), Truncated),
        "truncated header": (truncated_header(), Truncated),
        "item longer than its sequence": (item_lie(), Truncated),
        "item that ends early": (item_that_ends_early(), BadInstance),
        "sequence without end": (sequence_without_end(), Truncated),
        "sequence without item": (sequence_without_item(), BadInstance),
        "fragments without end": (fragments_without_end(), Truncated),
        "trailing garbage": (trailing_garbage(), Truncated),
        "script names": (script_names(), None),
        "private elements": (private_elements(), None),
        "huge text": (huge_text(), None),
        "wrong values": (wrong_values(), None),
        "wrong character set": (wrong_character_set(), None),
        "executable preamble": (executable_preamble(), None),
        "lying meta": (lying_meta(), None),
        "zero padding": (zero_padding(), None),
        "trailing padding": (trailing_padding(), None),
        "empty Patient ID": (make_instance(PatientID=""), None),
    }
