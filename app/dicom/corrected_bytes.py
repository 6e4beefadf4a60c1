"""Objects corrected that are in memory as a whole (`app.dicom.corrected_object` has the work)."""

from app.dicom.corrected_object import Splice
from app.dicom.element_header import EXPLICIT_LITTLE, Encoding
from app.dicom.instance import Inserted
from app.dicom.object_changes import ObjectChanges
from app.dicom.recoding import Recoding


def corrected_bytes(
    data: bytes, changes: ObjectChanges, *, encoding: Encoding | None = None
) -> bytes:
    """Return an object that is in memory, corrected; not one that is deflated. Raises BadInstance."""
    return _joined(data, _spliced(data, changes, encoding=encoding))


def corrected_around(before: bytes, after: bytes, changes: ObjectChanges) -> tuple[bytes, bytes]:
    """Return what stands before and after pixel data in Explicit VR Little Endian, corrected."""
    splice = _spliced(before, changes, encoding=EXPLICIT_LITTLE)
    if splice.recodes:
        after = Recoding(after).everything(EXPLICIT_LITTLE, splice.level)
    return _joined(before, splice), after


def _spliced(data: bytes, changes: ObjectChanges, *, encoding: Encoding | None = None) -> Splice:
    """Return a `Splice` that has gone over an object in memory. Raises BadInstance."""
    splice = Splice(len(data), changes, encoding=encoding)
    while splice.feed(data[splice.position :] if splice.position else data):
        pass
    return splice


def _joined(data: bytes, splice: Splice) -> bytes:
    """Return the corrected object of one in memory."""
    return b"".join(
        piece.data
        if isinstance(piece, Inserted)
        else data[piece.offset : piece.offset + piece.length]
        for piece in splice.pieces
    )
