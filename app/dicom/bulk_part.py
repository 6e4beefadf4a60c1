"""Bulk data as they come in a STOW request beside metadata, and what their media types say (PS3.18 §8.7.3)."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.dicom.codestream import codestream_of_jp2, describe
from app.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    KNOWN,
    OCTET_STREAM,
    aliases_of,
    media_type_of,
    transfer_syntax,
)
from app.errors import BadMetadata

_FRAME = re.compile(r"(?P<location>.+)/frames/(?P<number>[1-9][0-9]{0,8})")
_IMAGE_KINDS = ("image/", "video/")
# where neither a parameter nor the codestream says more (PS3.18 Tables 8.7.3-2 and 8.7.3-4)
_DEFAULTS = {
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "image/jxl": "1.2.840.10008.1.2.4.110",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
    "video/H265": "1.2.840.10008.1.2.4.107",
}
_MEDIA_TYPES = {
    name.lower(): media_type
    for media_type in _DEFAULTS
    for name in (media_type, *aliases_of(media_type))
}


@dataclass(frozen=True, slots=True)
class BulkPart:
    """One part with bulk data; its content is a view of where it is kept."""

    location: str  # the BulkDataURI that it is the value of
    media_type: str  # in lower case
    content: memoryview
    transfer_syntax_uid: str | None = None  # as the part's Content-Type says


def by_location(parts: Iterable[BulkPart]) -> dict[str, list[BulkPart]]:
    """Return the parts of each BulkDataURI.

    Frames have one location each, `{uri}/frames/{number}`, or all the same one, in their order.
    """
    found: dict[str, list[BulkPart]] = defaultdict(list)
    frames: dict[str, dict[int, list[BulkPart]]] = defaultdict(lambda: defaultdict(list))
    for part in parts:
        frame = _FRAME.fullmatch(part.location)
        if frame is None:
            found[part.location].append(part)
        else:
            frames[frame["location"]][int(frame["number"])].append(part)
    for location, numbered in frames.items():
        if location not in found and sorted(numbered) == list(range(1, len(numbered) + 1)):
            for number in sorted(numbered):
                found[location] += numbered[number]
    for numbered in frames.values():
        for same in numbered.values():
            found[same[0].location] += same
    return dict(found)


def stem_of(location: str) -> str:
    """Return the BulkDataURI that a frame's location belongs to, or the location as it is."""
    frame = _FRAME.fullmatch(location)
    return location if frame is None else frame["location"]


def syntax_of_pixels(parts: Sequence[BulkPart], hint: str | None) -> str:
    """Return the transfer syntax that pixel data have as they came; `hint` is what the metadata say.

    What the part says goes first, then the metadata, then the codestream. Raises BadMetadata.
    """
    first = parts[0]
    kind = _MEDIA_TYPES.get(first.media_type)
    declared = first.transfer_syntax_uid
    if any((p.media_type, p.transfer_syntax_uid) != (first.media_type, declared) for p in parts):
        raise BadMetadata("The frames of the pixel data came as different media types.")
    if kind is None:
        return _syntax_of_octets(first, declared, hint)
    if declared is not None:
        if media_type_of(declared) != kind:
            raise BadMetadata(
                "The media type of the pixel data is not that of its transfer-syntax."
            )
        return declared
    if hint is not None and media_type_of(hint) == kind:
        return hint
    described = describe(codestream_of_jp2(first.content))
    if described is not None and media_type_of(described.transfer_syntax_uid) == kind:
        return described.transfer_syntax_uid
    return _DEFAULTS[kind]


def _syntax_of_octets(first: BulkPart, declared: str | None, hint: str | None) -> str:
    if first.media_type.startswith(_IMAGE_KINDS):
        raise BadMetadata("Pixel data cannot come in this media type.")
    if declared == EXPLICIT_VR_BIG_ENDIAN:  # PS3.18 §8.7.3.1
        raise BadMetadata("Pixel data of a STOW are in little endian.")
    if declared is not None and declared in KNOWN and transfer_syntax(declared).encapsulated:
        return declared
    if declared is None and hint is not None and media_type_of(hint) != OCTET_STREAM:
        described = describe(first.content)
        if described is not None and media_type_of(hint) == media_type_of(
            described.transfer_syntax_uid
        ):
            return hint
    return EXPLICIT_VR_LITTLE_ENDIAN
