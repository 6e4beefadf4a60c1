"""What compressed images say of themselves, and what is not taken for one."""

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.dicom.codestream import codestream_of_jp2, describe

ROOT = "1.2.840.10008.1.2.4."


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


GREY, COLOR = Image.new("L", (7, 5)), Image.new("RGB", (7, 5))
MADE = {
    "grey baseline": (saved(GREY, "JPEG"), "50", 1, "MONOCHROME2"),
    "progressive": (saved(GREY, "JPEG", progressive=True), "55", 1, "MONOCHROME2"),
    "full chrominance": (saved(COLOR, "JPEG", subsampling=0), "50", 3, "YBR_FULL"),
    "half chrominance": (saved(COLOR, "JPEG", subsampling=1), "50", 3, "YBR_FULL_422"),
    "RGB": (saved(COLOR, "JPEG", keep_rgb=True), "50", 3, "RGB"),
    "CMYK": (saved(Image.new("CMYK", (7, 5)), "JPEG"), "50", 4, None),
    "reversible": (saved(GREY, "JPEG2000", no_jp2=True), "90", 1, "MONOCHROME2"),
    "irreversible": (
        saved(GREY, "JPEG2000", no_jp2=True, irreversible=True),
        "91",
        1,
        "MONOCHROME2",
    ),
    "reversible colour": (saved(COLOR, "JPEG2000", no_jp2=True, mct=1), "90", 3, "YBR_RCT"),
    "irreversible colour": (
        saved(COLOR, "JPEG2000", no_jp2=True, mct=1, irreversible=True),
        "91",
        3,
        "YBR_ICT",
    ),
    "colour as it is": (saved(COLOR, "JPEG2000", no_jp2=True, mct=0), "90", 3, "RGB"),
}


@pytest.mark.parametrize("name", MADE)
def test_an_image_of_another_encoder_is_described(name: str) -> None:
    data, syntax, samples, photometric = MADE[name]

    found = describe(data)

    assert found is not None
    assert found.transfer_syntax_uid == ROOT + syntax
    assert (found.rows, found.columns, found.samples_per_pixel) == (5, 7, samples)
    assert (found.bits_stored, found.signed) == (8, False)
    assert found.photometric_interpretation == photometric


def lossless(marker: int, selection: int, components: int = 1) -> bytes:
    """Return the head of a JPEG stream up to its first scan."""
    parts = b"".join(bytes((n, 0x11, 0)) for n in range(components))
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 8 + 3 * components, 12, 5, 7, components) + parts
    scan = b"\xff\xda" + struct.pack(">HB", 6 + 2 * components, components) + bytes(2 * components)
    return b"\xff\xd8\xff\xff\xfe\x00\x04ab" + frame + scan + bytes((selection, 0, 0))


@pytest.mark.parametrize(
    ("marker", "selection", "syntax"),
    [(0xC3, 1, "70"), (0xC3, 6, "57"), (0xF7, 0, "80"), (0xF7, 3, "81"), (0xC1, 0, "51")],
)
def test_lossless_processes_are_told_apart(marker: int, selection: int, syntax: str) -> None:
    """The predictor of JPEG Lossless, the NEAR of JPEG-LS."""
    found = describe(lossless(marker, selection))

    assert found is not None
    assert found.transfer_syntax_uid == ROOT + syntax
    assert (found.rows, found.columns, found.bits_stored) == (5, 7, 12)


def test_an_arithmetic_process_is_none_of_dicom() -> None:
    assert describe(lossless(0xC9, 0)) is None


def test_high_throughput_is_told_by_its_capabilities() -> None:
    """A CAP marker segment stands before the coding style (ISO/IEC 15444-15 §A.3)."""
    data = saved(GREY, "JPEG2000", no_jp2=True)
    at = data.index(b"\xff\x52")
    capable = data[:at] + b"\xff\x50\x00\x08\x00\x02\x00\x00\x00\x20" + data[at:]

    found = describe(capable)

    assert found is not None
    assert found.transfer_syntax_uid == ROOT + "201"


def test_boxes_are_taken_off() -> None:
    whole = saved(COLOR, "JPEG2000")

    inner = codestream_of_jp2(memoryview(whole))

    assert whole[4:8] == b"jP  "
    assert bytes(inner[:2]) == b"\xff\x4f"
    assert describe(inner) is not None


def test_what_has_no_boxes_stays() -> None:
    assert bytes(codestream_of_jp2(memoryview(b"\xff\xd8abc"))) == b"\xff\xd8abc"


@given(st.sampled_from([data for data, *_ in MADE.values()]), st.integers(0, 300))
def test_a_stream_that_is_cut_off_says_less_but_does_no_harm(data: bytes, length: int) -> None:
    found = describe(data[:length])

    assert found is None or found == describe(data)


@given(
    st.sampled_from([b"\xff\xd8", b"\xff\x4f", b"\0\0\0\x0cjP  \r\n\x87\n"]), st.binary(max_size=80)
)
def test_any_bytes_are_judged_without_harm(start: bytes, data: bytes) -> None:
    found = describe(codestream_of_jp2(memoryview(start + data)))

    assert found is None or found.rows is not None
