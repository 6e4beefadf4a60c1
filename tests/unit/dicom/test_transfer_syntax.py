"""Transfer syntaxes and the media types of their frames (PS3.18 §8.7.3)."""

import pydicom.uid
import pytest

from app.dicom.transfer_syntax import aliases_of, is_encapsulated, media_type_of, transfer_syntax

# SMPTE ST 2110 is sent, never stored (PS3.22)
STORED = [uid for uid in pydicom.uid.AllTransferSyntaxes if "SMPTE" not in uid.name]


@pytest.mark.parametrize("uid", STORED, ids=lambda uid: uid.name)
def test_every_transfer_syntax_of_pydicom_is_known(uid: pydicom.uid.UID) -> None:
    assert transfer_syntax(uid).name != "Unknown"
    assert is_encapsulated(uid) is uid.is_encapsulated
    assert transfer_syntax(uid).deflated is (uid.is_deflated or "Deflate" in uid.name.split())


@pytest.mark.parametrize(
    ("uid", "media_type"),
    [
        ("1.2.840.10008.1.2.1", "application/octet-stream"),
        ("1.2.840.10008.1.2.4.50", "image/jpeg"),
        ("1.2.840.10008.1.2.4.80", "image/jls"),
        ("1.2.840.10008.1.2.4.90", "image/jp2"),
        ("1.2.840.10008.1.2.4.201", "image/jphc"),
        ("1.2.840.10008.1.2.5", "image/dicom-rle"),
        ("1.2.840.10008.1.2.4.102", "video/mp4"),
    ],
)
def test_frames_have_the_media_type_of_their_transfer_syntax(uid: str, media_type: str) -> None:
    assert media_type_of(uid) == media_type
    assert transfer_syntax(uid).is_video is media_type.startswith("video/")


def test_unknown_transfer_syntax_is_encapsulated() -> None:
    assert is_encapsulated("1.2.3.4")
    assert media_type_of("1.2.3.4") == "application/octet-stream"


def test_names_that_clients_use_are_aliases() -> None:
    assert "image/x-jls" in aliases_of("image/jls")
    assert aliases_of("image/jpeg") == ()
