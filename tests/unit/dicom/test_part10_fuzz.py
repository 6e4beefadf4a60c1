"""Whatever bytes come, the gate answers with a record or an error of its own; what was written is read."""

import base64
import io
import math
from datetime import date
from typing import Any

import orjson
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from app.dicom.part10 import claimed_identity, read_instance
from app.errors import BadInstance
from app.limits import Limits
from tests.corpus import (
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    element,
    fragments,
    item,
    make_instance,
    private_elements,
    with_elements,
)

LIMITS = Limits(inflated_bytes=1024 * 1024)
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
EXPLICIT_SYNTAXES = [syntax for syntax in SYNTAXES if syntax != ImplicitVRLittleEndian]
UIDS: dict[str, Any] = {
    "SOPInstanceUID": "1.2.3",
    "StudyInstanceUID": "1.2.4",
    "SeriesInstanceUID": "1.2.5",
}
NESTED = item(element(0x00080100, b"SH", b"AB") + element(0x0040A730, b"SQ", item(b""), UNDEFINED))
SEEDS = [
    *(make_instance(transfer_syntax=syntax, **UIDS) for syntax in SYNTAXES),
    private_elements(),
    with_elements(element(0x0040A730, b"SQ", NESTED + ITEM_END, UNDEFINED) + SEQUENCE_END),
    make_instance(
        transfer_syntax=JPEGBaseline8Bit,
        PixelData=fragments(b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xd9"),
        NumberOfFrames="2",
        **UIDS,
    ),
    make_instance(
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        PatientName=b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        **UIDS,
    ),
]
TELLING = [
    b"\xff\xff\xff\xff", b"\xf0\xff\xff\xff", b"\0\0", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0", b"\x1b", b"\x1b$B", b"\\", b"SQ", b"UN", b"OB", b"AT", b"FD", b"PN", b"??",
    b"\xe0\x7f\x10\x00", b"\x02\x00\x10\x00", b"\x08\x00\x05\x00",
]  # fmt: skip
MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "put", "insert", "delete"]),
        st.integers(128, 5000),
        st.integers(0, 7),
        st.one_of(st.sampled_from(TELLING), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=12,
)


def judged(data: bytes) -> None:
    """Read; what is not refused must be serializable, and its ranges lie within the object."""
    claimed_identity(data)
    try:
        record = read_instance(data, LIMITS)
    except BadInstance:
        return
    orjson.dumps(record.attributes)
    if not record.deflated:
        frames = record.pixels.frames if record.pixels is not None else ()
        places = [*record.bulk.values(), *(part for frame in frames for part in frame)]
        assert all(0 <= p.offset <= p.offset + p.length <= len(data) for p in places)


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_truncation_at_every_byte_never_escapes(seed: int) -> None:
    for length in range(len(SEEDS[seed])):
        judged(SEEDS[seed][:length])


@settings(max_examples=800, deadline=None)
@given(st.sampled_from(SEEDS), MUTATIONS)
def test_mutated_object_never_escapes(
    seed: bytes, mutations: list[tuple[str, int, int, bytes]]
) -> None:
    data = bytearray(seed)
    for kind, place, bit, piece in mutations:
        at = min(place, len(data) - 1)
        match kind:
            case "flip":
                data[at] ^= 1 << bit
            case "put":
                data[at : at + len(piece)] = piece
            case "insert":
                data[at:at] = piece
            case _:
                del data[at : at + bit]
    judged(bytes(data))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.sampled_from(SYNTAXES))
def test_random_data_set_never_escapes(data_set: bytes, syntax: str) -> None:
    whole = make_instance(transfer_syntax=syntax, **UIDS)
    judged(whole[:-60] + data_set)
    judged(whole[: whole.index(b"DICM") + 4] + data_set)


# ---- what pydicom writes is read

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\\=^\0", exclude_categories=["C", "Z"]),
    min_size=1,
    max_size=12,
)
FLOATS = st.floats(width=32, allow_subnormal=False)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "AE": st.just("STORE_1"),
    "AS": st.just("045Y"),
    "AT": st.integers(0x00080000, 0x7FFFFFFF),
    "CS": st.sampled_from(["ORIGINAL", "A_1"]),
    "DA": st.dates(min_value=date(1900, 1, 1)).map(lambda d: f"{d:%Y%m%d}"),
    "DS": st.decimals(-9999, 9999, places=3).map(str),
    "DT": st.just("20240229101530.123456+0100"),
    "FD": st.floats(),
    "FL": FLOATS,
    "IS": st.integers(-(2**31), 2**31 - 1).map(str),
    "LO": TEXT,
    "LT": TEXT,
    "OB": st.binary(min_size=1, max_size=40).map(lambda b: b + b"\0" * (len(b) % 2)),
    "OW": st.binary(min_size=1, max_size=20).map(lambda b: b * 2),
    "PN": TEXT,
    "SH": TEXT,
    "SL": st.integers(-(2**31), 2**31 - 1),
    "SS": st.integers(-(2**15), 2**15 - 1),
    "ST": TEXT,
    "SV": st.integers(-(2**63), 2**63 - 1),
    "TM": st.just("101530.25"),
    "UC": TEXT,
    "UI": st.just("1.2.840.10008.1"),
    "UL": st.integers(0, 2**32 - 1),
    "UR": st.just("https://example.org/a?b=c"),
    "US": st.integers(0, 2**16 - 1),
    "UT": TEXT,
    "UV": st.integers(0, 2**64 - 1),
}
SINGLE = {"LT", "ST", "UT", "UR", "OB", "OW"}


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 0) -> Dataset:
    """Return elements of a private group, so that any VR may stand anywhere, and sequences of such."""
    dataset = Dataset()
    dataset.add_new(0x00990010, "LO", "COREGISTER TEST")
    for number in range(draw(st.integers(0, 6))):
        vr = draw(st.sampled_from(sorted(VALUES) + (["SQ"] * 3 if depth < 3 else [])))
        value: Any
        if vr == "SQ":
            value = draw(st.lists(data_sets(depth + 1), max_size=3))
        elif vr in SINGLE:
            value = draw(VALUES[vr])
        else:
            values = draw(st.lists(VALUES[vr], min_size=1, max_size=3))
            value = values if len(values) > 1 else values[0]
        dataset.add_new(0x00991000 + number, vr, value)
        if vr == "SQ":
            dataset[0x00991000 + number].is_undefined_length = draw(st.booleans())
    return dataset


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data_sets(), st.sampled_from(EXPLICIT_SYNTAXES))
def test_what_pydicom_writes_is_read(dataset: Dataset, syntax: UID) -> None:
    """Every VR, nested, in each explicit encoding (an implicit one does not tell VRs of private elements)."""
    for keyword, value in UIDS.items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID, dataset.PatientID = CTImageStorage, "1"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    out = io.BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        out,
        dataset,
        implicit_vr=False,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )

    record = read_instance(out.getvalue(), LIMITS)

    _assert_same(record.attributes, dataset, big_endian=syntax == ExplicitVRBigEndian)


def _assert_same(ours: Any, dataset: Dataset, *, big_endian: bool) -> None:
    assert list(ours) == [f"{each.tag:08X}" for each in dataset]
    for each in dataset:
        found = ours[f"{each.tag:08X}"]
        assert found["vr"] == each.VR
        if each.VR == "SQ":
            items = found.get("Value", [])
            assert len(items) == len(each.value)
            for item_found, item_written in zip(items, each.value, strict=True):
                _assert_same(item_found, item_written, big_endian=big_endian)
        elif each.VR in {"OB", "OW"}:
            written = each.value  # which pydicom writes as it is, and JSON has in little endian
            if big_endian and each.VR == "OW":
                pairs = zip(written[1::2], written[::2], strict=True)
                written = bytes(byte for pair in pairs for byte in pair)
            assert base64.b64decode(found["InlineBinary"]) == written
        else:
            multiple = isinstance(each.value, pydicom.multival.MultiValue)
            values = list(each.value) if multiple else [each.value]
            assert found["Value"] == [_in_json(each.VR, value) for value in values]


def _in_json(vr: str, value: Any) -> Any:  # noqa: PLR0911 - a table
    match vr:
        case "AT":
            return f"{value:08X}"
        case "PN":
            return {"Alphabetic": str(value)}
        case "DS":
            return float(value)
        case "IS":
            return int(value)
        case "FL" | "FD" if math.isnan(value):
            return "NaN"
        case "FL" | "FD" if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        case "SV" | "UV" if abs(value) > 2**53:
            return str(value)
        case "FL" | "FD" | "SV" | "UV" | "SL" | "SS" | "UL" | "US":
            return value
        case _:
            return str(value)
