"""The Range header (RFC 9110 §14).

Anything that is no range of bytes is ignored, as the standard asks: the whole is sent then. So are more ranges
than anybody needs, and ranges that together are more than the whole.
"""

import re

from app.dicom.instance import ByteRange, Inserted, Stretch

MOST_RANGES = 32
_RANGES = re.compile(r"bytes\s*=\s*(.+)", re.IGNORECASE)
_RANGE = re.compile(r"(\d*)\s*-\s*(\d*)")
_LONGEST_NUMBER = 18  # digits; no object is longer


def parse_ranges(header: str, length: int) -> list[ByteRange] | None:
    """Return the parts of `length` bytes that are asked for.

    None where the header asks for no ranges of bytes; nothing where none of them is satisfiable.
    """
    found = _RANGES.fullmatch(header.strip())
    if found is None:
        return None
    pieces = [piece.strip() for piece in found[1].split(",") if piece.strip()]
    if not pieces or len(pieces) > MOST_RANGES:
        return None
    ranges = []
    for piece in pieces:
        match = _RANGE.fullmatch(piece)
        if match is None or max(map(len, match.groups())) > _LONGEST_NUMBER:
            return None
        first, last = match.groups()
        if (not first and not last) or (first and last and int(last) < int(first)):
            return None
        part = _part(first, last, length)
        if part.length > 0:
            ranges.append(part)
    return None if sum(part.length for part in ranges) > length else ranges


def _part(first: str, last: str, length: int) -> ByteRange:
    if not first:  # the last bytes
        size = min(int(last), length)
        return ByteRange(length - size, size)
    end = min(int(last) + 1, length) if last else length
    return ByteRange(int(first), end - int(first))


def cut(stretches: tuple[Stretch, ...], part: ByteRange) -> tuple[Stretch, ...]:
    """Return the stretches of an object that hold a part of the value that `stretches` make up."""
    found: list[Stretch] = []
    skip, left = part.offset, part.length
    for stretch in stretches:
        if skip >= stretch.length:
            skip -= stretch.length
            continue
        size = min(stretch.length - skip, left)
        if size <= 0:
            break
        if isinstance(stretch, Inserted):
            found.append(Inserted(stretch.data[skip : skip + size]))
        else:
            found.append(ByteRange(stretch.offset + skip, size))
        skip, left = 0, left - size
    return tuple(found)


def content_range(part: ByteRange, length: int) -> str:
    """Return the value of Content-Range."""
    return f"bytes {part.offset}-{part.offset + part.length - 1}/{length}"
