"""The File Meta Information in front of a data set (PS3.10 §7.1).

Strategy: elements are read for as long as they are of group 0002, whatever the group length says: it lies
in the wild.
"""

from dataclasses import dataclass

from app.dicom.element_header import EXPLICIT_LITTLE, UNDEFINED, Buffer, EndOfData
from app.dicom.reading import cut_short
from app.dicom.uid import is_uid
from app.dicom.values import PADDING
from app.errors import BadIdentifier, BadInstance, MissingAttribute, NotDicom, Truncated

_PREFIX_AT, _PREFIX = 128, b"DICM"
_FIRST_ELEMENT_AT = _PREFIX_AT + len(_PREFIX)
_META_GROUP = 0x0002
_GROUP_LENGTH, _SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX = 0x0000, 0x0002, 0x0003, 0x0010
_GROUP_LENGTH_COUNTS_FROM = _FIRST_ELEMENT_AT + 12
_KEPT = frozenset({_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX})


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What File Meta say, and where the data set begins."""

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    data_set_at: int
    group_length_is_right: bool


def read_file_meta(data: Buffer) -> FileMeta:
    """Return the File Meta Information. Raises NotDicom, Truncated, MissingAttribute, BadIdentifier."""
    if bytes(data[_PREFIX_AT:_FIRST_ELEMENT_AT]) != _PREFIX:
        raise NotDicom("The object has no DICM prefix at byte 128.")
    values, declared_end, end = _elements(data)
    syntax = values.get(_TRANSFER_SYNTAX)
    if not syntax:
        raise MissingAttribute(
            "The File Meta Information has no Transfer Syntax UID (0002,0010).",
            attributes=("00020010",),
        )
    if not is_uid(syntax):
        raise BadIdentifier(
            "The Transfer Syntax UID (0002,0010) is no UID.", attributes=("00020010",)
        )
    return FileMeta(
        syntax,
        values.get(_SOP_CLASS, ""),
        values.get(_SOP_INSTANCE, ""),
        end,
        declared_end in (None, end),
    )


def claimed_identity(data: Buffer) -> tuple[str | None, str | None]:
    """Return the SOP Class and SOP Instance UID of the File Meta Information, as far as they can be had."""
    try:
        meta = read_file_meta(data)
    except BadInstance:
        return None, None
    sop_class, sop_instance = meta.sop_class_uid, meta.sop_instance_uid
    return (
        sop_class if is_uid(sop_class) else None,
        sop_instance if is_uid(sop_instance) else None,
    )


def _elements(data: Buffer) -> tuple[dict[int, str], int | None, int]:
    """Return the UIDs that matter, where the group length says the group ends, and where it ends."""
    position, end = _FIRST_ELEMENT_AT, len(data)
    values: dict[int, str] = {}
    declared_end = None
    while position < end:
        try:
            group, number, _, start, length = EXPLICIT_LITTLE.header(data, position, end)
        except EndOfData as exc:
            raise Truncated("The File Meta Information ends within an element.") from exc
        if group != _META_GROUP:
            break
        if length == UNDEFINED or length > end - start:
            raise cut_short(f"0002{number:04X}", start, length, end - start)
        if number in _KEPT:
            raw = bytes(data[start : start + length])
            values.setdefault(number, raw.decode("latin-1").strip(PADDING))
        elif number == _GROUP_LENGTH and length == 4:  # noqa: PLR2004 - a UL
            declared_end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        position = start + length
    return values, declared_end, position
