"""What is put in front of objects that some senders write without their head."""

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from app.dicom.bare_data_set import check_not_compressed, missing_head
from app.dicom.part10 import read_instance
from app.errors import BadInstance, NotDicom
from app.limits import Limits
from tests.corpus import element, fragments, make_instance, without_preamble

LIMITS = Limits()
FILES = ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "MR_small_bigendian.dcm", "test-SR.dcm")


def real(name: str) -> bytes:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def data_set_of(whole: bytes) -> bytes:
    """Return what follows File Meta, by pydicom's account of where they end."""
    file = BytesIO(whole)
    meta = dcmread(file, stop_before_pixels=True, specific_tags=[]).file_meta
    return whole[144 + int(meta.FileMetaInformationGroupLength) :]


def test_a_whole_object_lacks_nothing() -> None:
    assert missing_head(make_instance()) == b""


def test_the_gate_alone_takes_no_object_without_its_head() -> None:
    with pytest.raises(NotDicom):
        read_instance(without_preamble(), LIMITS)


@pytest.mark.parametrize("cut", [128, 132])
def test_preamble_and_prefix_are_put_back(cut: int) -> None:
    whole = make_instance()

    assert missing_head(whole[cut:]) + whole[cut:] == whole


@pytest.mark.parametrize("name", FILES)
def test_file_meta_are_made_of_a_real_data_set(name: str) -> None:
    whole = real(name)
    bare = data_set_of(whole)

    again = read_instance(missing_head(bare) + bare, LIMITS)

    expected = read_instance(whole, LIMITS)
    assert again.attributes == expected.attributes
    assert again.transfer_syntax_uid == expected.transfer_syntax_uid
    assert again.findings == ()


def test_compressed_pixel_data_without_file_meta_are_refused() -> None:
    whole = make_instance(
        transfer_syntax="1.2.840.10008.1.2.4.50", PixelData=fragments(b"\xff\xd8\xff\xd9")
    )
    bare = data_set_of(whole)

    with pytest.raises(BadInstance, match="compressed"):
        check_not_compressed(read_instance(missing_head(bare) + bare, LIMITS))


SPOILT = {
    "nothing": b"",
    "text": b"This is no DICOM object." * 10,
    "one UID": element(0x00080016, b"UI", b"1.2.3\0"),
    "a UID that is none": element(0x00080016, b"UI", b"1.x") + element(0x00080018, b"UI", b"1.2\0"),
    "another group first": element(0x00100020, b"LO", b"PID "),
    "a length that lies": element(0x00080016, b"UI", b"1.2.3\0", 60_000),
    "a sequence before the UIDs": element(0x00080006, b"SQ", b"", 0xFFFFFFFF),
    "a UID that is too long": element(0x00080016, b"UI", b"1" * 66)
    + element(0x00080018, b"UI", b"1.2\0"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_nothing_is_made_up_for_other_bytes(name: str) -> None:
    assert missing_head(SPOILT[name]) == b""


@given(
    st.binary(max_size=64),
    st.sampled_from([b"", b"\x08\x00\x16\x00", b"\x08\x00\x05\x00CS", b"\x02\0\0\0UL"]),
)
def test_any_bytes_are_judged_without_harm(data: bytes, start: bytes) -> None:
    head = missing_head(start + data)

    assert head == b"" or head[128:132] == b"DICM" or (start + data)[:4] == b"DICM"
