"""The gate: a DICOM Part 10 object is read once, and either known in full or refused (PS3.10 §7).

Strategy: File Meta say how the data set is encoded; a deflated one is inflated within a limit; one walk
over it makes the DICOM JSON; then the identifiers are judged and the frames located. A value that only its
own attribute suffers from is kept and reported as a finding. What makes lengths disagree with the bytes, or
identifiers unusable, is an error.
"""

import zlib
from collections.abc import Mapping
from struct import Struct
from typing import Any

from pydicom.config import IGNORE
from pydicom.uid import UID

from app.dicom.data_set import DataSetReader
from app.dicom.element_header import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Buffer,
    Encoding,
    actual_encoding,
)
from app.dicom.file_meta import FileMeta, claimed_identity, read_file_meta
from app.dicom.instance import BASE_URL_MARK, InstanceRecord
from app.dicom.pixel_layout import layout_of
from app.dicom.pixel_value import PixelValue
from app.dicom.reading import Element, Reading, Scope, only_zeros
from app.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    transfer_syntax,
)
from app.dicom.uid import is_uid
from app.errors import BadIdentifier, BadInstance, InstanceTooLarge, MissingAttribute, Truncated
from app.limits import Limits

__all__ = ["claimed_identity", "inflate", "read_instance"]

_STUDY, _SERIES, _INSTANCE, _CLASS = "0020000D", "0020000E", "00080018", "00080016"
_IDENTIFIERS = {
    _STUDY: "Study Instance UID (0020,000D)",
    _SERIES: "Series Instance UID (0020,000E)",
    _INSTANCE: "SOP Instance UID (0008,0018)",
    _CLASS: "SOP Class UID (0008,0016)",
}
_PATIENT_ID = "00100020"
NO_PIXEL_DATA = "The object is an image, but has no pixel data: it may be cut short."
_ROWS, _PIXEL_DATA_PROVIDER_URL, _PIXEL_DATA = "00280010", "00287FE0", "7FE00010"
_GZIP_TRAILER = Struct("<II")
_DEFLATED_STEP, _INFLATED_STEP = 64 * 1024, 1024 * 1024  # bytes
_ENCODINGS = {
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT_LITTLE,
    EXPLICIT_VR_BIG_ENDIAN: EXPLICIT_BIG,
}


def read_instance(data: Buffer, limits: Limits) -> InstanceRecord:
    """Return everything that is known of an instance from its bytes. Raises BadInstance."""
    if isinstance(data, memoryview):
        data = data.cast("B")
    meta = read_file_meta(data)
    attributes, reading, located = _data_set(data, meta, limits)
    uids = {tag: _identifier(attributes, tag) for tag in _IDENTIFIERS}
    if _PATIENT_ID not in attributes:
        raise MissingAttribute("Patient ID (0010,0020) is missing.", attributes=(_PATIENT_ID,))
    _compare(meta, uids, reading)
    pixels = None
    if located is not None:
        is_video = transfer_syntax(meta.transfer_syntax_uid).is_video
        pixels = layout_of(located, attributes, reading, is_video=is_video)
    elif _is_image(uids[_CLASS], attributes):
        reading.find(_PIXEL_DATA, NO_PIXEL_DATA)
    reading.address(
        f"{BASE_URL_MARK}/studies/{uids[_STUDY]}/series/{uids[_SERIES]}"
        f"/instances/{uids[_INSTANCE]}/bulkdata/"
    )
    return InstanceRecord(
        study_instance_uid=uids[_STUDY],
        series_instance_uid=uids[_SERIES],
        sop_instance_uid=uids[_INSTANCE],
        sop_class_uid=uids[_CLASS],
        transfer_syntax_uid=meta.transfer_syntax_uid,
        attributes=attributes,
        bulk=reading.bulk,
        pixels=pixels,
        deflated=_is_deflated(meta),
        findings=tuple(reading.findings),
    )


def _data_set(
    data: Buffer, meta: FileMeta, limits: Limits
) -> tuple[dict[str, Element], Reading, PixelValue | None]:
    """Return the attributes, what else was come across, and where the pixel data are."""
    at = meta.data_set_at
    if _is_deflated(meta):
        data, at = _inflated(data, meta, limits), 0
    reading = Reading(data, limits)
    reader = DataSetReader(reading)
    attributes, _ = reader.data_set(at, len(data), _encoding(reading, at, meta), Scope())
    return attributes, reading, reader.pixels


def _is_deflated(meta: FileMeta) -> bool:
    return transfer_syntax(meta.transfer_syntax_uid).deflated


def inflate(data: Buffer, limits: Limits) -> bytearray:
    """Return the data set of a deflated object. Raises BadInstance."""
    if isinstance(data, memoryview):
        data = data.cast("B")
    return _inflated(data, read_file_meta(data), limits)


def _inflated(data: Buffer, meta: FileMeta, limits: Limits) -> bytearray:
    """Inflate in steps, so that what a small object unfolds to is never more than the limit (PS3.5 §A.5)."""
    inflator = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = bytearray()
    position, end = meta.data_set_at, len(data)
    pending = b""
    try:
        while not inflator.eof and (pending or position < end):
            if not pending:
                pending = bytes(data[position : position + _DEFLATED_STEP])
                position += len(pending)
            inflated += inflator.decompress(pending, _INFLATED_STEP)
            pending = inflator.unconsumed_tail
            if len(inflated) > limits.inflated_bytes:
                raise InstanceTooLarge(
                    "The data set inflates to more than the limit inflated_bytes."
                )
    except zlib.error as exc:
        raise BadInstance("The deflated data set cannot be inflated.") from exc
    if not inflator.eof:
        raise Truncated("The deflated data set ends before its stream does.")
    stop = position - len(inflator.unused_data)
    if bytes(data[stop : stop + _GZIP_TRAILER.size]) == _gzip_trailer(inflated):
        stop += _GZIP_TRAILER.size
    if not only_zeros(data, stop):
        raise BadInstance("The deflated data set is followed by other bytes.")
    return inflated


def _gzip_trailer(inflated: bytearray) -> bytes:
    """Return what gzip puts after a deflated stream; some writers leave it there (RFC 1952 §2.3.1)."""
    return _GZIP_TRAILER.pack(zlib.crc32(inflated), len(inflated) & 0xFFFFFFFF)


def _encoding(reading: Reading, position: int, meta: FileMeta) -> Encoding:
    """Return how the data set is encoded: as File Meta say, unless its first element shows otherwise."""
    claimed = _ENCODINGS.get(meta.transfer_syntax_uid, EXPLICIT_LITTLE)
    actual = actual_encoding(reading.data, position, claimed)
    if actual is not claimed:
        reading.find("00020010", "The data set is not encoded as the transfer syntax says.")
    return actual


def _identifier(attributes: Mapping[str, Any], tag: str) -> str:
    values = attributes.get(tag, {}).get("Value")
    if not values:
        raise MissingAttribute(f"The {_IDENTIFIERS[tag]} is missing or empty.", attributes=(tag,))
    if len(values) != 1 or not isinstance(values[0], str) or not is_uid(values[0]):
        raise BadIdentifier(f"The {_IDENTIFIERS[tag]} is no UID.", attributes=(tag,))
    return values[0]


def _is_image(sop_class_uid: str, attributes: Mapping[str, Any]) -> bool:
    """Tell whether there should be pixel data: an object cut off between elements shows in nothing else."""
    if _PIXEL_DATA_PROVIDER_URL in attributes:
        return False
    return _ROWS in attributes or "Image Storage" in UID(sop_class_uid, IGNORE).name


def _compare(meta: FileMeta, uids: Mapping[str, str], reading: Reading) -> None:
    """Find where File Meta contradict the data set, which counts."""
    if meta.sop_instance_uid != uids[_INSTANCE]:
        reading.find("00020003", "It is not the SOP Instance UID of the data set.")
    if meta.sop_class_uid != uids[_CLASS]:
        reading.find("00020002", "It is not the SOP Class UID of the data set.")
    if not meta.group_length_is_right:
        reading.find("00020000", "The File Meta Information ends elsewhere than it says.")
