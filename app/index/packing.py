"""How what is only kept, never searched, is written into a document: small, and cheap to read back.

JSON, deflated, in base64 because the document itself is JSON. Where frames lie is written as the gap to
the stretch before and the length: an object with 5,000 native frames then repeats one pair of numbers.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from app.dicom.instance import ByteRange, PixelLayout

# metadata is made once and read often, but mostly waited for when it is made
_LEVEL = 3


def pack(value: bytes) -> str:
    """Return bytes as text, compressed."""
    return b64encode(zlib.compress(value, _LEVEL)).decode()


def unpack(text: str) -> bytes:
    """Return the bytes that were packed."""
    return zlib.decompress(b64decode(text))


def pack_json(value: Any) -> str:
    """Return a JSON value as text, compressed."""
    return pack(orjson.dumps(value))


def unpack_json(text: str) -> Any:
    """Return the JSON value that was packed."""
    return orjson.loads(unpack(text))


def pack_bulk(bulk: Mapping[str, ByteRange]) -> str:
    """Return where the bulk values are, as text."""
    return pack_json({path: (place.offset, place.length) for path, place in bulk.items()})


def unpack_bulk(text: str) -> dict[str, ByteRange]:
    """Return where the bulk values are."""
    return {path: ByteRange(*place) for path, place in unpack_json(text).items()}


def pack_pixels(pixels: PixelLayout) -> str:
    """Return where the frames are, as text."""
    numbers: list[int] = []
    end = 0
    for frame in pixels.frames:
        numbers.append(len(frame))
        for fragment in frame:
            numbers += (fragment.offset - end, fragment.length)
            end = fragment.offset + fragment.length
    return pack_json([pixels.encapsulated, numbers])


def unpack_pixels(text: str) -> PixelLayout:
    """Return where the frames are."""
    encapsulated, numbers = unpack_json(text)
    rest = iter(numbers)
    frames: list[tuple[ByteRange, ...]] = []
    end = 0
    for fragments in rest:
        frame: list[ByteRange] = []
        for _ in range(fragments):
            place = ByteRange(end + next(rest), next(rest))
            end = place.offset + place.length
            frame.append(place)
        frames.append(tuple(frame))
    return PixelLayout(encapsulated, tuple(frames))
