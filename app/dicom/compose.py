"""A Part 10 object made of metadata and bulk data (PS3.18 §10.5.2, PS3.10 §7).

Strategy: the bulk data of the top-level pixel data decide the transfer syntax, and a single compressed image
fills in the Image Pixel attributes that its sender may leave out. Then File Meta and the data set are written
piece by piece. The same metadata and bulk data make the same bytes, so sending them again is recognised.
Nothing is judged here that the gate judges: what comes out goes through it as any other object.
"""

from collections.abc import Iterator, Mapping
from struct import pack
from typing import Any

from app.dicom.bulk_part import BulkPart, syntax_of_pixels
from app.dicom.codestream import Codestream, codestream_of_jp2, describe
from app.dicom.element_header import Buffer
from app.dicom.instance import Finding
from app.dicom.json_data_set import BulkValue, DataSetWriter
from app.dicom.pixel_value import PIXEL_DATA
from app.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, transfer_syntax
from app.dicom.uid import is_uid
from app.errors import BadMetadata
from app.limits import Limits

IMPLEMENTATION_CLASS_UID = "2.25.186370352817431107913746251407842170911"
IMPLEMENTATION_VERSION_NAME = "COREGISTER"

_TRANSFER_SYNTAX, _SOP_CLASS, _SOP_INSTANCE = "00020010", "00080016", "00080018"
_NUMBER_OF_FRAMES = "00280008"
_PREAMBLE = bytes(128) + b"DICM"
_LONGEST_FRAGMENT = 0xFFFFFFFE  # bytes


class Composer:
    """Makes one object; `findings` tell what was changed on the way, once all `pieces` are taken."""

    def __init__(
        self, attributes: Mapping[str, Any], bulk: Mapping[str, list[BulkPart]], limits: Limits
    ) -> None:
        """Compose `attributes`, a DICOM JSON object, with the bulk data that its BulkDataURIs name."""
        self._attributes = {tag.upper(): element for tag, element in attributes.items()}
        self._bulk = bulk
        self._writer = DataSetWriter(self._value, limits)
        self._syntax = EXPLICIT_VR_LITTLE_ENDIAN

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what was changed on the way."""
        return tuple(self._writer.findings)

    @property
    def identity(self) -> tuple[str | None, str | None]:
        """Return the SOP Class and SOP Instance UID, as far as they can be had."""
        return _uid(self._attributes, _SOP_CLASS), _uid(self._attributes, _SOP_INSTANCE)

    def pieces(self) -> Iterator[Buffer]:
        """Yield the bytes of the object. Raises BadInstance."""
        attributes = self._attributes
        pixels = attributes.get(PIXEL_DATA)
        if isinstance(pixels, dict) and isinstance(pixels.get("BulkDataURI"), str):
            parts = self._parts(PIXEL_DATA, pixels["BulkDataURI"])
            self._syntax = syntax_of_pixels(parts, _uid(attributes, _TRANSFER_SYNTAX))
            if transfer_syntax(self._syntax).encapsulated and len(parts) == 1:
                described = describe(codestream_of_jp2(parts[0].content))
                attributes = _with_image_pixel(attributes, described)
        sop_class, sop_instance = self.identity
        yield file_meta(sop_class or "", sop_instance or "", self._syntax)
        yield from self._writer.pieces(attributes)

    def _value(self, path: str, uri: str) -> BulkValue:
        parts = self._parts(path, uri)
        if path.endswith(PIXEL_DATA):
            own = syntax_of_pixels(parts, _uid(self._attributes, _TRANSFER_SYNTAX))
            if transfer_syntax(own).encapsulated:
                return self._encapsulated(path, parts, own)
        if len(parts) > 1:
            raise BadMetadata(
                f"Several parts came as the bulk data of {path}.", attributes=(path[-8:],)
            )
        return BulkValue([parts[0].content])

    def _encapsulated(self, path: str, parts: list[BulkPart], syntax: str) -> BulkValue:
        if syntax != self._syntax:
            raise BadMetadata(f"{path} is compressed, but the pixel data are not in the same way.")
        contents = [codestream_of_jp2(part.content) for part in parts]
        if transfer_syntax(syntax).is_video:
            return BulkValue(
                [piece for each in contents for piece in _cut(each)], encapsulated=True
            )
        frames = _frames(self._attributes) if path == PIXEL_DATA else 1
        if frames != len(parts):
            raise BadMetadata(
                f"{len(parts)} parts came for {path}: each frame needs one.",
                attributes=(path[-8:],),
            )
        return BulkValue(contents, encapsulated=True)

    def _parts(self, path: str, uri: str) -> list[BulkPart]:
        parts = self._bulk.get(uri.strip())
        if not parts:
            raise BadMetadata(
                f"No part has the Content-Location that {path} names as its bulk data.",
                attributes=(path[-8:],),
            )
        return parts


def named_bulk_data(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield every BulkDataURI of an object, also those within its sequences."""
    waiting: list[Any] = [attributes]
    while waiting:
        data_set = waiting.pop()
        if not isinstance(data_set, dict):
            continue
        for element in data_set.values():
            if not isinstance(element, dict):
                continue
            uri, items = element.get("BulkDataURI"), element.get("Value")
            if isinstance(uri, str):
                yield uri.strip()
            if element.get("vr") == "SQ" and isinstance(items, list):
                waiting += items


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return preamble, prefix and File Meta Information (PS3.10 §7.1)."""
    elements = b"".join(
        (
            pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\0\1",
            _element(0x0002, b"UI", sop_class_uid, b"\0"),
            _element(0x0003, b"UI", sop_instance_uid, b"\0"),
            _element(0x0010, b"UI", transfer_syntax_uid, b"\0"),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" "),
        )
    )
    return _PREAMBLE + pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements)) + elements


def _element(number: int, vr: bytes, text: str, padding: bytes) -> bytes:
    raw = text.encode("ascii")
    raw += padding * (len(raw) % 2)
    return pack("<HH2sH", 0x0002, number, vr, len(raw)) + raw


def _values(attributes: Mapping[str, Any], tag: str) -> list[Any]:
    element = attributes.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _uid(attributes: Mapping[str, Any], tag: str) -> str | None:
    values = _values(attributes, tag)
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    return values[0] if is_uid(values[0]) else None


def _frames(attributes: Mapping[str, Any]) -> int:
    values = _values(attributes, _NUMBER_OF_FRAMES) or [1]
    try:
        return int(values[0])
    except (TypeError, ValueError):
        return 1


def _cut(content: memoryview) -> list[memoryview]:
    step = _LONGEST_FRAGMENT
    return [content[start : start + step] for start in range(0, len(content), step)] or [content]


def _with_image_pixel(attributes: dict[str, Any], image: Codestream | None) -> dict[str, Any]:
    """Return the attributes with those of the Image Pixel Macro that are missing (PS3.18 §10.5.2)."""
    if image is None:
        return attributes
    allocated = 8 if image.bits_stored <= 8 else 16 if image.bits_stored <= 16 else 32  # noqa: PLR2004
    derived = {
        "00280002": ("US", image.samples_per_pixel),
        "00280004": ("CS", image.photometric_interpretation),
        "00280006": ("US", 0 if image.samples_per_pixel > 1 else None),
        "00280010": ("US", image.rows),
        "00280011": ("US", image.columns),
        "00280100": ("US", allocated),
        "00280101": ("US", image.bits_stored),
        "00280102": ("US", image.bits_stored - 1),
        "00280103": ("US", int(image.signed)),
    }
    added = {
        tag: {"vr": vr, "Value": [value]}
        for tag, (vr, value) in derived.items()
        if value is not None and not _values(attributes, tag)
    }
    return {**attributes, **added}
