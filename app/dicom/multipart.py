"""multipart/related as it comes and goes (RFC 2046 §5.1, RFC 2387, PS3.18 §8.6).

Strategy: sans I/O. `feed` takes the bytes that came and yields what they complete. The parser is in one of
four states, each with a reader that does one of three things:

1. It consumes bytes and returns an event.
2. It consumes bytes, changes the state, and returns no event (`_AGAIN`).
3. It returns None: nothing more can be said before more bytes come.

A delimiter is a line break, two hyphens, the boundary, and either two more hyphens or white space up to the
end of the line. What only looks like one is data. Its line break may be LF
alone; a CR before it is part of it where the lines of the part's header end in CRLF. Where a part begins, the
line break of the empty line before is the one that counts. So framing goes by the boundary alone; a
Content-Length that disagrees is reported when the part ends. Data are passed on as views of the bytes that
came; what is held back between two calls is never more than a delimiter, or the header of one part.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from app.dicom.media_type import parse_content_type, split_list
from app.errors import BadMultipart, RequestTooLarge
from app.limits import Limits

__all__ = [
    "Event",
    "PartBegin",
    "PartData",
    "PartEnd",
    "RelatedParser",
    "closing",
    "new_boundary",
    "parse_content_type",
    "part_header",
    "split_list",
]

_LONGEST_BOUNDARY = 200  # RFC 2046 §5.1.1 lets senders have 70; Orthanc's have 73
# after the boundary: what makes it a delimiter, and what may become that with the next bytes
_REST_OF_DELIMITER = re.compile(rb"(--)|[ \t]{0,128}\r?\n")
_UNDECIDED = re.compile(rb"-?|[ \t]{0,128}\r?")
_EMPTY_LINE = re.compile(rb"(\r?\n)")
_HEADER_END = re.compile(rb"\n(\r?\n)")
_LINE_BREAK = re.compile(r"\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]+")
_CARRIAGE_RETURN = 0x0D


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins."""

    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case


@dataclass(frozen=True, slots=True)
class PartData:
    """Bytes of the part, valid until the next call of `feed`."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part ends."""

    declared_length_matches: bool = True  # a part without Content-Length declares nothing


Event = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = auto()
    HEADER = auto()
    BODY = auto()
    EPILOGUE = auto()


class _Again(Enum):
    AGAIN = auto()


_AGAIN = _Again.AGAIN


class RelatedParser:
    """Takes a multipart body apart while it comes."""

    def __init__(self, content_type: str, limits: Limits) -> None:
        """Expect the boundary that the Content-Type names. Raises BadMultipart."""
        boundary = parse_content_type(content_type)[1].get("boundary", "")
        if not 1 <= len(boundary) <= _LONGEST_BOUNDARY:
            raise BadMultipart(
                f"The Content-Type needs a boundary of 1 to {_LONGEST_BOUNDARY} characters."
            )
        self._delimiter = b"\n--" + boundary.encode("utf-8", "surrogateescape")
        self._limits = limits
        self._state = _State.PREAMBLE
        self._buffer = (
            b"\r\n"  # so that a boundary at the very beginning has a line break before it
        )
        self._position = 0
        self._line_break = 0  # bytes at the position that may open a delimiter but are no data
        self._breaks_with_cr = True  # else a CR before the delimiter's LF is the data's last byte
        self._parts = 0
        self._length = 0  # of the part's data so far
        self._declared_length: str | None = None
        self._readers: Mapping[_State, Callable[[], Event | _Again | None]] = {
            _State.PREAMBLE: self._read_preamble,
            _State.HEADER: self._read_header,
            _State.BODY: self._read_body,
            _State.EPILOGUE: self._read_epilogue,
        }

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield what the bytes complete; exhaust it before the next call.

        Raises BadMultipart, RequestTooLarge.
        """
        rest = self._buffer[self._position :]
        self._buffer = rest + chunk if rest else bytes(chunk)
        self._position = 0
        while True:
            event = self._readers[self._state]()
            if event is None:
                return
            if not isinstance(event, _Again):
                yield event

    def close(self) -> None:
        """Say that nothing more comes. Raises BadMultipart where the final boundary is missing."""
        if self._state is not _State.EPILOGUE:
            raise BadMultipart("The body ends without its final boundary.")

    def _read_preamble(self) -> _Again | None:
        end, after, final = self._find_delimiter()
        if after is None:
            self._position = end
            return None
        return self._pass_delimiter(after, final=final)

    def _read_header(self) -> PartBegin | None:
        buffer, start = self._buffer, self._position
        found = _EMPTY_LINE.match(buffer, start) or _HEADER_END.search(buffer, start)
        end = len(buffer) if found is None else found.start()
        if end - start > self._limits.part_header_bytes:
            raise BadMultipart(f"The header of part {self._parts} is over part_header_bytes.")
        if found is None:
            return None
        headers = self._headers(buffer[start:end])
        self._position, self._line_break = found.start(1), len(found[1])
        self._breaks_with_cr = len(found[1]) == len(b"\r\n")
        self._length = 0
        self._declared_length = headers.get("content-length")
        self._state = _State.BODY
        return PartBegin(headers)

    def _headers(self, raw: bytes) -> dict[str, str]:
        headers: dict[str, str] = {}
        lines = _LINE_BREAK.split(_FOLD.sub(" ", raw.decode("utf-8", "replace").strip()))
        if len(lines) > self._limits.part_headers:
            raise BadMultipart(f"Part {self._parts} has more header lines than part_headers.")
        for line in filter(None, lines):
            name, colon, value = line.partition(":")
            if not colon:
                raise BadMultipart(f"Part {self._parts} has a header line without a colon.")
            headers.setdefault(name.strip().lower(), value.strip())
        return headers

    def _read_body(self) -> PartData | PartEnd | None:
        start = self._position + self._line_break
        end, after, final = self._find_delimiter()
        if end > start:
            self._position, self._line_break = end, 0
            self._length += end - start
            return PartData(memoryview(self._buffer)[start:end])
        if after is None:
            return None
        self._pass_delimiter(after, final=final)
        declared = self._declared_length
        return PartEnd(declared is None or (declared.lstrip("0") or "0") == str(self._length))

    def _read_epilogue(self) -> None:
        self._position = len(self._buffer)

    def _pass_delimiter(self, after: int, *, final: bool) -> _Again:
        self._position = after
        self._state = _State.EPILOGUE if final else _State.HEADER
        if not final:
            self._parts += 1
            if self._parts > self._limits.parts:
                raise RequestTooLarge("The body has more parts than the limit parts.")
        return _AGAIN

    def _find_delimiter(self) -> tuple[int, int | None, bool]:
        """Return where data end, where the delimiter after them ends, and whether it is the final one.

        Without a complete delimiter, data end where one may have begun.
        """
        buffer, delimiter = self._buffer, self._delimiter
        index = buffer.find(delimiter, self._position)
        while index >= 0:
            after = index + len(delimiter)
            found = _REST_OF_DELIMITER.match(buffer, after)
            if found is not None:
                return self._line_break_at(index), found.end(), found[1] is not None
            if _UNDECIDED.fullmatch(buffer, after):
                return self._line_break_at(index), None, False
            index = buffer.find(delimiter, after)
        size = len(buffer)
        index = buffer.rfind(b"\n", max(self._position, size - len(delimiter)))
        if index >= 0 and delimiter.startswith(buffer[index:]):
            return self._line_break_at(index), None, False
        if size > self._position and buffer[-1] == _CARRIAGE_RETURN:
            return size - 1, None, False
        return size, None, False

    def _line_break_at(self, index: int) -> int:
        """Return where the line break begins whose LF is at the index."""
        has_cr = index > self._position and self._buffer[index - 1] == _CARRIAGE_RETURN
        return index - 1 if has_cr and self._breaks_with_cr else index


def new_boundary() -> str:
    """Return a boundary that will not occur in data."""
    return secrets.token_hex(24)


def part_header(boundary: str, headers: Mapping[str, str]) -> bytes:
    """Return what stands before a part's data, the delimiter included."""
    lines = [f"--{boundary}", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("A header cannot have a line break.")
    return ("\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()


def closing(boundary: str) -> bytes:
    """Return what stands after the last part."""
    return f"\r\n--{boundary}--\r\n".encode()
