"""What is known of one instance after its bytes passed the gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Metadata are made once, at ingest, before anybody knows under which address they will be served:
# a BulkDataURI starts with this mark, and the answer puts the base URL in its place.
BASE_URL_MARK = "coregister:"


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A stretch of bytes: of the file, or of the inflated data set where the object is deflated."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Inserted:
    """Bytes that stand between stretches of an object as it is sent, and are not in the object as stored."""

    data: bytes

    @property
    def length(self) -> int:
        """Return how many bytes they are."""
        return len(self.data)


Stretch = ByteRange | Inserted


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Where each frame lies, so that a frame is a range read (PS3.5 §8, Annex A.4).

    `frames[n]` holds the fragments of frame n+1 in order: one where pixels are native.
    """

    encapsulated: bool
    frames: tuple[tuple[ByteRange, ...], ...]


# Warning Reason (0008,1196) of PS3.18 Table I.2-1
COERCED, DISCARDED, UNFIT = 0xB000, 0xB006, 0xB007
NOT_SEARCHED = 0x0000  # none: all is as it should be, but not all can be searched for


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an instance that its sender should hear of: it was kept all the same."""

    tag: str  # 8 hex digits, or a path such as 00400275.1.00080100: sequence, item (from 1), attribute
    message: str  # no values from the data set
    reason: int = UNFIT  # the data set is not as its SOP Class and VRs ask


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One instance as read: its identifiers, every attribute, and where its bulk values are."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    # the DICOM JSON Model of PS3.18 Annex F, keys ascending; bulk values are a BulkDataURI of the form
    # coregister:/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}
    # where {path} is made as Finding.tag is
    attributes: Mapping[str, Any]
    # {path} of above -> where its bytes are, in the byte order of the transfer syntax
    bulk: Mapping[str, ByteRange] = field(default_factory=dict)
    pixels: PixelLayout | None = None
    deflated: bool = False  # ranges count in the inflated data set (without preamble and meta)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance whose bytes are in the blob store."""

    record: InstanceRecord
    blob_key: str
    size: int  # bytes
    sha256: str  # hex, of the bytes as received
    version: str  # of this instance; part of the blob key
    stored_at: str  # RFC 3339, UTC
