"""Which transfer syntax a client gets (PS3.18 §8.7.3)."""

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from app.dicom.instance import ByteRange
from app.errors import NotAcceptable
from app.services.retrieve import Located, Values
from app.web.negotiation import Accepted
from app.web.transfer_syntaxes import AS_STORED, Form, form_for, syntax_for, syntaxes_for

DICOM = "application/dicom"
OCTETS = "application/octet-stream"
VIDEO = "1.2.840.10008.1.2.4.102"


def dicom(syntax: str | None = None, quality: float = 1.0) -> Accepted:
    return Accepted(DICOM, True, syntax, quality)


@pytest.mark.parametrize(
    ("stored", "asked", "sent"),
    [
        (ExplicitVRLittleEndian, [dicom()], ExplicitVRLittleEndian),
        (ImplicitVRLittleEndian, [dicom()], ExplicitVRLittleEndian),
        (ExplicitVRBigEndian, [dicom()], ExplicitVRLittleEndian),
        (DeflatedExplicitVRLittleEndian, [dicom()], ExplicitVRLittleEndian),
        (JPEG2000Lossless, [dicom()], ExplicitVRLittleEndian),
        (VIDEO, [dicom()], VIDEO),
        ("1.2.3.4", [dicom()], "1.2.3.4"),
        (JPEG2000Lossless, [dicom(AS_STORED)], JPEG2000Lossless),
        (ExplicitVRBigEndian, [dicom(AS_STORED)], ExplicitVRBigEndian),
        (JPEG2000Lossless, [Accepted("*/*")], JPEG2000Lossless),
        (JPEG2000Lossless, [dicom(RLELossless)], RLELossless),
        (JPEG2000Lossless, [dicom(RLELossless), dicom(JPEG2000Lossless)], JPEG2000Lossless),
        (JPEG2000Lossless, [dicom(RLELossless), dicom(JPEG2000Lossless, 0.9)], RLELossless),
        (VIDEO, [dicom(RLELossless), dicom(AS_STORED, 0.1)], VIDEO),
        (RLELossless, [dicom(VIDEO), dicom(JPEGLSLossless, 0.1)], JPEGLSLossless),
        (RLELossless, [dicom(JPEGLSLossless, 0.5), dicom(None, 0.6)], ExplicitVRLittleEndian),
    ],
)
def test_an_instance_is_sent_as_the_client_prefers(
    stored: str, asked: list[Accepted], sent: str
) -> None:
    assert syntax_for(asked, stored) == sent


@pytest.mark.parametrize(
    "asked", [VIDEO, ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, "x"]
)
def test_what_cannot_be_made_is_not_acceptable(asked: str) -> None:
    with pytest.raises(NotAcceptable):
        syntax_for([dicom(asked), dicom(AS_STORED, 0.0)], ExplicitVRLittleEndian)


def test_an_archive_is_as_stored_unless_a_transfer_syntax_is_named() -> None:
    archive = [Accepted("application/zip")]
    assert syntax_for(archive, RLELossless, unnamed=AS_STORED) == RLELossless


def test_of_several_transfer_syntaxes_those_are_sent_that_can_be() -> None:
    found = syntaxes_for(
        [dicom(RLELossless)], [VIDEO, JPEG2000Lossless, RLELossless], unnamed=AS_STORED
    )

    assert found == {JPEG2000Lossless: RLELossless, RLELossless: RLELossless}
    with pytest.raises(NotAcceptable):
        syntaxes_for([dicom(RLELossless)], [VIDEO, "1.2.3"], unnamed=AS_STORED)


def frame(stored: str, *, encapsulated: bool = True) -> Values:
    located = Located("1", "2", "3", stored, "key", 100)
    return Values(located, ((ByteRange(0, 10),),), encapsulated, False, numbers=(1,))


def bulk(stored: str) -> Values:
    located = Located("1", "2", "3", stored, "key", 100)
    return Values(located, ((ByteRange(0, 10),),), False, False, path="00420011")


def parts(media_type: str, syntax: str | None = None, quality: float = 1.0) -> Accepted:
    return Accepted(media_type, True, syntax, quality)


AS_IT_IS = Form("image/jp2", JPEG2000Lossless, False)
DECODED = Form(OCTETS, ExplicitVRLittleEndian, True)


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ([Accepted("*/*")], AS_IT_IS),
        ([parts("*/*")], AS_IT_IS),
        ([parts("image/*")], AS_IT_IS),
        ([parts("image/jp2")], AS_IT_IS),
        ([parts("image/jp2", AS_STORED)], AS_IT_IS),
        ([parts(OCTETS, AS_STORED)], AS_IT_IS),
        ([parts(OCTETS, JPEG2000Lossless)], AS_IT_IS),
        ([parts(OCTETS)], DECODED),
        ([parts(OCTETS, ExplicitVRLittleEndian)], DECODED),
        ([parts(OCTETS), parts("image/jp2")], AS_IT_IS),
        ([parts(OCTETS), parts("image/jp2", None, 0.9)], DECODED),
        ([parts("image/jls")], Form("image/jls", JPEGLSLossless, True)),
        ([parts("image/x-jls")], Form("image/jls", JPEGLSLossless, True)),
        ([parts("image/jls", AS_STORED)], Form("image/jls", JPEGLSLossless, True)),
        ([parts("image/jls", JPEGLSNearLossless)], Form("image/jls", JPEGLSNearLossless, True)),
        ([parts(OCTETS, RLELossless)], Form("image/dicom-rle", RLELossless, True)),
        ([parts("image/jpeg")], Form("image/jpeg", "1.2.840.10008.1.2.4.70", True)),
        ([parts("image/jhc")], Form("image/jphc", "1.2.840.10008.1.2.4.201", True)),
    ],
)
def test_compressed_frames_are_sent_as_the_client_prefers(
    asked: list[Accepted], form: Form
) -> None:
    assert form_for(asked, frame(JPEG2000Lossless), alone=True) == form


@pytest.mark.parametrize(
    "asked",
    [
        parts("image/png"),
        parts("image/jpeg", JPEGBaseline8Bit),
        parts("image/jls", RLELossless),
        parts("video/mp4"),
        parts(DICOM),
    ],
)
def test_frames_that_cannot_be_made_so_are_not_acceptable(asked: Accepted) -> None:
    with pytest.raises(NotAcceptable, match=OCTETS):
        form_for([asked], frame(JPEG2000Lossless), alone=True)


def test_video_is_sent_as_it_is_or_not_at_all() -> None:
    assert form_for([parts("video/mp4")], frame(VIDEO), alone=True).made is False
    assert form_for([parts(OCTETS, AS_STORED)], frame(VIDEO), alone=True).syntax == VIDEO
    with pytest.raises(NotAcceptable):
        form_for([parts(OCTETS)], frame(VIDEO), alone=True)


@pytest.mark.parametrize(
    "stored",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
)
@pytest.mark.parametrize(
    "syntax", [None, AS_STORED, ExplicitVRLittleEndian, ImplicitVRLittleEndian]
)
def test_native_frames_are_the_same_in_all_little_endian_transfer_syntaxes(
    stored: str, syntax: str | None
) -> None:
    form = form_for([parts(OCTETS, syntax)], frame(stored, encapsulated=False), alone=True)

    assert form == Form(OCTETS, ExplicitVRLittleEndian, False)


@pytest.mark.parametrize("values", [frame(ExplicitVRBigEndian, encapsulated=False),
                                    bulk(ExplicitVRBigEndian)])  # fmt: skip
@pytest.mark.parametrize("syntax", [None, AS_STORED, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_big_endian_values_are_put_in_little_endian(values: Values, syntax: str | None) -> None:
    assert form_for([parts(OCTETS, syntax)], values, alone=True) == DECODED


def test_a_bulk_value_is_not_encoded() -> None:
    with pytest.raises(NotAcceptable):
        form_for([parts("image/jp2")], bulk(ExplicitVRLittleEndian), alone=True)
    assert form_for([parts(OCTETS)], bulk(ExplicitVRLittleEndian), alone=True).made is False


def test_one_value_may_be_the_whole_body() -> None:
    alone = Accepted("image/jls")

    assert form_for([alone], frame(RLELossless), alone=True).multipart is False
    with pytest.raises(NotAcceptable):
        form_for([alone], frame(RLELossless), alone=False)
