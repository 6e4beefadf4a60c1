"""What is missing in front of an object that some senders write without its head (PS3.10 §7.1).

Strategy: an object that begins with its prefix or its File Meta lacks bytes that say nothing. A bare data set
shows by its first element how it is encoded; its first attributes name its SOP Class and Instance, and File
Meta are made of that. Whatever else the bytes are, nothing is made up.
"""

from app.dicom.compose import file_meta
from app.dicom.element_header import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED,
    Buffer,
    Encoding,
    EndOfData,
)
from app.dicom.instance import COERCED, Finding, InstanceRecord
from app.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    transfer_syntax,
)
from app.dicom.uid import is_uid
from app.dicom.values import PADDING
from app.errors import BadInstance

_PREFIX, _PREFIX_AT = b"DICM", 128
_META_GROUP, _FIRST_GROUP = 0x0002, 0x0008
_SOP_CLASS, _SOP_INSTANCE = 0x0016, 0x0018
_LONGEST_UID = 64
_ENCODINGS = (
    (EXPLICIT_LITTLE, EXPLICIT_VR_LITTLE_ENDIAN),
    (EXPLICIT_BIG, EXPLICIT_VR_BIG_ENDIAN),
    (IMPLICIT_LITTLE, IMPLICIT_VR_LITTLE_ENDIAN),
)


HEAD_ADDED = Finding(
    "00020010", "The preamble or the File Meta Information was missing and was added.", COERCED
)


def check_not_compressed(record: InstanceRecord) -> None:
    """Raise BadInstance where only File Meta, which were missing, could say how pixel data are compressed."""
    encapsulated = record.pixels is not None and record.pixels.encapsulated
    if encapsulated and not transfer_syntax(record.transfer_syntax_uid).encapsulated:
        raise BadInstance("The pixel data are compressed, and no File Meta Information says how.")


def missing_head(data: Buffer) -> bytes:
    """Return the bytes that have to stand in front to make a Part 10 object; none where none would."""
    if bytes(data[_PREFIX_AT : _PREFIX_AT + len(_PREFIX)]) == _PREFIX:
        return b""
    if bytes(data[: len(_PREFIX)]) == _PREFIX:
        return bytes(_PREFIX_AT)
    if _begins(data, EXPLICIT_LITTLE, _META_GROUP):
        return bytes(_PREFIX_AT) + _PREFIX
    for encoding, transfer_syntax_uid in _ENCODINGS:
        if _begins(data, encoding, _FIRST_GROUP):
            found = _uids(data, encoding)
            if len(found) == 2:  # noqa: PLR2004 - SOP Class and Instance
                return file_meta(found[_SOP_CLASS], found[_SOP_INSTANCE], transfer_syntax_uid)
    return b""


def _begins(data: Buffer, encoding: Encoding, group: int) -> bool:
    """Tell whether a first element can be read, with its VR where there is one, that fits into the data."""
    try:
        found, _, vr, start, length = encoding.header(data, 0, len(data))
    except EndOfData:
        return False
    return found == group and bool(vr) == encoding.explicit and start + length <= len(data)


def _uids(data: Buffer, encoding: Encoding) -> dict[int, str]:
    """Return the SOP Class and Instance UID, as far as elements of group 0008 lead to them."""
    found: dict[int, str] = {}
    position, end = 0, len(data)
    while len(found) < 2:  # noqa: PLR2004
        try:
            group, number, _, start, length = encoding.header(data, position, end)
        except EndOfData:
            break
        if group != _FIRST_GROUP or number > _SOP_INSTANCE or length == UNDEFINED:
            break
        if number in (_SOP_CLASS, _SOP_INSTANCE) and length <= _LONGEST_UID:
            uid = bytes(data[start : start + length]).decode("latin-1").strip(PADDING)
            if is_uid(uid):
                found[number] = uid
        position = start + length
    return found
