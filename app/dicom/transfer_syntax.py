"""What has to be known of a transfer syntax to read and to serve an object (PS3.6 Table A-1, PS3.18 §8.7.3)."""

from dataclasses import dataclass

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"

OCTET_STREAM = "application/octet-stream"
_JPEG, _JPEG_LS, _JPEG_2000 = "image/jpeg", "image/jls", "image/jp2"
_JPX, _HIGH_THROUGHPUT, _JPEG_XL = "image/jpx", "image/jphc", "image/jxl"
_RLE, _MPEG_2, _MPEG_4, _HEVC = "image/dicom-rle", "video/mpeg", "video/mp4", "video/H265"

_ROOT = "1.2.840.10008.1.2."
# names that clients send for a media type (dcmjs, cornerstone; PS3.18 before 2019 had the x- forms)
_ALIASES = {
    _JPEG_LS: ("image/x-jls",),
    _RLE: ("image/x-dicom-rle",),
    _HIGH_THROUGHPUT: ("image/jhc", "image/jph"),
    _HEVC: ("video/h265",),
}


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """A transfer syntax, and the media type of one frame of its pixel data."""

    uid: str
    name: str
    media_type: str = OCTET_STREAM
    encapsulated: bool = True
    deflated: bool = False  # the whole data set, not the frames

    @property
    def is_video(self) -> bool:
        """Tell whether all frames are one stream, so that no frame stands alone (PS3.5 §A.4.5 on)."""
        return self.media_type.startswith("video/")


def _native(uid: str, name: str, *, deflated: bool = False) -> TransferSyntax:
    return TransferSyntax(uid, name, encapsulated=False, deflated=deflated)


KNOWN = {
    syntax.uid: syntax
    for syntax in (
        _native(IMPLICIT_VR_LITTLE_ENDIAN, "Implicit VR Little Endian"),
        _native(EXPLICIT_VR_LITTLE_ENDIAN, "Explicit VR Little Endian"),
        _native(
            DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, "Deflated Explicit VR Little Endian", deflated=True
        ),
        _native(EXPLICIT_VR_BIG_ENDIAN, "Explicit VR Big Endian"),
        TransferSyntax(_ROOT + "1.98", "Encapsulated Uncompressed Explicit VR Little Endian"),
        TransferSyntax(_ROOT + "4.50", "JPEG Baseline (Process 1)", _JPEG),
        TransferSyntax(_ROOT + "4.51", "JPEG Extended (Process 2 and 4)", _JPEG),
        TransferSyntax(_ROOT + "4.53", "JPEG Spectral Selection (Process 6 and 8)", _JPEG),
        TransferSyntax(_ROOT + "4.55", "JPEG Full Progression (Process 10 and 12)", _JPEG),
        TransferSyntax(_ROOT + "4.57", "JPEG Lossless (Process 14)", _JPEG),
        TransferSyntax(_ROOT + "4.70", "JPEG Lossless (Process 14, Selection Value 1)", _JPEG),
        TransferSyntax(_ROOT + "4.80", "JPEG-LS Lossless", _JPEG_LS),
        TransferSyntax(_ROOT + "4.81", "JPEG-LS Near-Lossless", _JPEG_LS),
        TransferSyntax(_ROOT + "4.90", "JPEG 2000 (Lossless Only)", _JPEG_2000),
        TransferSyntax(_ROOT + "4.91", "JPEG 2000", _JPEG_2000),
        TransferSyntax(_ROOT + "4.92", "JPEG 2000 Part 2 Multi-component (Lossless Only)", _JPX),
        TransferSyntax(_ROOT + "4.93", "JPEG 2000 Part 2 Multi-component", _JPX),
        TransferSyntax(_ROOT + "4.94", "JPIP Referenced"),
        TransferSyntax(_ROOT + "4.95", "JPIP Referenced Deflate", deflated=True),
        TransferSyntax(_ROOT + "4.100", "MPEG2 Main Profile / Main Level", _MPEG_2),
        TransferSyntax(_ROOT + "4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", _MPEG_2),
        TransferSyntax(_ROOT + "4.101", "MPEG2 Main Profile / High Level", _MPEG_2),
        TransferSyntax(_ROOT + "4.101.1", "Fragmentable MPEG2 Main Profile / High Level", _MPEG_2),
        TransferSyntax(_ROOT + "4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", _MPEG_4),
        TransferSyntax(_ROOT + "4.102.1", "Fragmentable MPEG-4 High Profile / Level 4.1", _MPEG_4),
        TransferSyntax(_ROOT + "4.103", "MPEG-4 BD-compatible High Profile / Level 4.1", _MPEG_4),
        TransferSyntax(_ROOT + "4.103.1", "Fragmentable MPEG-4 BD-compatible / Level 4.1", _MPEG_4),
        TransferSyntax(_ROOT + "4.104", "MPEG-4 High Profile / Level 4.2 For 2D Video", _MPEG_4),
        TransferSyntax(_ROOT + "4.104.1", "Fragmentable MPEG-4 / Level 4.2 For 2D Video", _MPEG_4),
        TransferSyntax(_ROOT + "4.105", "MPEG-4 High Profile / Level 4.2 For 3D Video", _MPEG_4),
        TransferSyntax(_ROOT + "4.105.1", "Fragmentable MPEG-4 / Level 4.2 For 3D Video", _MPEG_4),
        TransferSyntax(_ROOT + "4.106", "MPEG-4 Stereo High Profile / Level 4.2", _MPEG_4),
        TransferSyntax(_ROOT + "4.106.1", "Fragmentable MPEG-4 Stereo High Profile / 4.2", _MPEG_4),
        TransferSyntax(_ROOT + "4.107", "HEVC/H.265 Main Profile / Level 5.1", _HEVC),
        TransferSyntax(_ROOT + "4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", _HEVC),
        TransferSyntax(_ROOT + "4.110", "JPEG XL Lossless", _JPEG_XL),
        TransferSyntax(_ROOT + "4.111", "JPEG XL JPEG Recompression", _JPEG_XL),
        TransferSyntax(_ROOT + "4.112", "JPEG XL", _JPEG_XL),
        TransferSyntax(_ROOT + "4.201", "High-Throughput JPEG 2000 (Lossless)", _HIGH_THROUGHPUT),
        TransferSyntax(_ROOT + "4.202", "High-Throughput JPEG 2000 RPCL", _HIGH_THROUGHPUT),
        TransferSyntax(_ROOT + "4.203", "High-Throughput JPEG 2000", _HIGH_THROUGHPUT),
        TransferSyntax(_ROOT + "4.204", "JPIP HTJ2K Referenced"),
        TransferSyntax(_ROOT + "4.205", "JPIP HTJ2K Referenced Deflate", deflated=True),
        TransferSyntax(_ROOT + "5", "RLE Lossless", _RLE),
        TransferSyntax(_ROOT + "8.1", "Deflated Image Frame Compression"),
    )
}


def transfer_syntax(uid: str) -> TransferSyntax:
    """Return what is known; of an unknown one, that it is encapsulated as all newer ones are (PS3.5 §A.4)."""
    return KNOWN.get(uid) or TransferSyntax(uid, "Unknown")


def is_encapsulated(uid: str) -> bool:
    """Tell whether pixel data are fragments of a codestream."""
    return transfer_syntax(uid).encapsulated


def media_type_of(uid: str) -> str:
    """Return the media type of one frame."""
    return transfer_syntax(uid).media_type


def aliases_of(media_type: str) -> tuple[str, ...]:
    """Return other names under which clients ask for a media type."""
    return _ALIASES.get(media_type, ())
