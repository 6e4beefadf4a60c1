"""Colour spaces of rendered images: their ICC profiles, and the way from one to another (ICC.1:2010).

Strategy: sRGB comes with the colour management; the two others are written here from their primaries
(adapted to D50) and tone curves, which is all that a matrix profile has.
"""

import struct
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from app.pixels.render_display import value_of
from app.pixels.render_options import IccProfile

_D50 = (0.9642, 1.0, 0.8249)
_ADOBE_PRIMARIES = (
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
)
_ROMM_PRIMARIES = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
_ADOBE_GAMMA = (563 / 256,)
_ROMM_CURVE = (1.8, 1.0, 0.0, 1 / 16, 1 / 32)  # a power, and a line near black (ISO 22028-2)
_HEADER_BYTES, _SIGNATURE_BYTES = 128, 12


def profile_bytes(wanted: IccProfile, source: bytes | None) -> bytes:
    """Return the profile of the colour space that is wanted for an image whose data set has `source`."""
    match wanted:
        case IccProfile.ADOBE_RGB:
            return _matrix_profile(
                "Compatible with Adobe RGB (1998)", _ADOBE_PRIMARIES, _ADOBE_GAMMA
            )
        case IccProfile.ROMM_RGB:
            return _matrix_profile("ROMM RGB", _ROMM_PRIMARIES, _ROMM_CURVE)
        case IccProfile.YES if source is not None:
            return source
    return _srgb()


def profile_of(dataset: Dataset) -> bytes | None:
    """Return the ICC profile of a data set, if it is one (PS3.3 §C.11.15)."""
    optical_paths = value_of(dataset, "OpticalPathSequence") or ()
    for place in (dataset, *optical_paths[:1]):
        profile = value_of(place, "ICCProfile")
        if isinstance(profile, bytes) and _is_rgb(profile):
            return profile
    return None


def converted(image: Image.Image, source: bytes | None, wanted: bytes) -> Image.Image:
    """Return an image of the profile `source`, sRGB where it has none, in that of `wanted`."""
    if (source or _srgb()) == wanted:
        return image
    result = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(BytesIO(source or _srgb())),
        ImageCms.ImageCmsProfile(BytesIO(wanted)),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    return image if result is None else result


def _is_rgb(profile: bytes) -> bool:
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    except OSError:
        return False
    return bool(opened.profile.xcolor_space.strip() == "RGB")


def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _matrix_profile(
    name: str, primaries: Sequence[Sequence[float]], curve: Sequence[float]
) -> bytes:
    tone = _tone_curve(curve)
    tags = {
        b"desc": _text(name),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz(_D50),
        **dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, primaries), strict=True)),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tone),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = _HEADER_BYTES + 4 + _SIGNATURE_BYTES * len(tags)
    for signature, data in tags.items():
        table += struct.pack(">4sII", signature, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return _header(start + len(body)) + table + body


def _header(size: int) -> bytes:
    """Return the header of a display profile of version 4."""
    made = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    fields = struct.pack(">I4sI4s4s4s", size, b"\0" * 4, 0x04200000, b"mntr", b"RGB ", b"XYZ ")
    rest = b"acsp" + bytes(4 * 4 + 8 + 4) + b"".join(_fixed(value) for value in _D50)
    return (fields + made + rest).ljust(_HEADER_BYTES, b"\0")


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return (
        b"mluc"
        + bytes(4)
        + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28)
        + encoded
    )


def _tone_curve(parameters: Sequence[float]) -> bytes:
    """Return a parametric curve: of type 0 with one parameter, of type 3 with five."""
    kind = 0 if len(parameters) == 1 else 3
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + b"".join(map(_fixed, parameters))
