"""multipart/related taken apart and put together (RFC 2046 §5.1, PS3.18 §8.6)."""

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.dicom.multipart import (
    PartBegin,
    PartData,
    PartEnd,
    RelatedParser,
    closing,
    new_boundary,
    part_header,
)
from app.errors import BadMultipart, RequestTooLarge
from app.limits import Limits

LIMITS = Limits()
Part = tuple[dict[str, str], bytes, bool]


def parts_of(
    chunks: Iterable[bytes], boundary: str = "b", *, limits: Limits = LIMITS, close: bool = True
) -> list[Part]:
    """Return headers, data and whether the declared length matches, of each part."""
    parser = RelatedParser(f'multipart/related; boundary="{boundary}"', limits)
    parts: list[Part] = []
    headers: dict[str, str] | None = None
    data = b""
    for chunk in chunks:
        for event in parser.feed(chunk):
            match event:
                case PartBegin(given_headers):
                    assert headers is None
                    headers, data = dict(given_headers), b""
                case PartData(piece):
                    assert headers is not None
                    assert len(piece) > 0
                    data += piece
                case PartEnd(matches):
                    assert headers is not None
                    parts.append((headers, data, matches))
                    headers = None
    if close:
        parser.close()
    return parts


BOUNDARIES = st.text(
    st.sampled_from("abcdefgXYZ0189'()+_,-./:=? "), min_size=1, max_size=70
).filter(lambda text: text == text.strip() and "\\" not in text)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, list[bytes], bytes]:
    """Return a boundary, contents that look like boundaries, and the body."""
    boundary = draw(BOUNDARIES)
    mark = b"--" + boundary.encode()
    looks_alike = [mark, mark[:-1], b"\r\n" + mark + b"x", b"\n" + mark + b" x", b"\r", b"\n", b"-"]
    content = st.lists(
        st.one_of(st.binary(max_size=20), st.sampled_from(looks_alike)), max_size=6
    ).map(b"".join)
    contents = [
        data
        for data in draw(st.lists(content, max_size=4))
        if not _has_delimiter(b"\n" + data + b"\n", mark)
    ]
    break_ = draw(st.sampled_from([b"\r\n", b"\n"]))
    padding = draw(st.sampled_from([b"", b" ", b"\t "]))
    body = draw(st.sampled_from([b"", break_, b"preamble" + break_]))
    for data in contents:
        header = draw(st.sampled_from([b"", b"Content-Type: application/dicom" + break_]))
        body += mark + padding + break_ + header + break_ + data + break_
    return boundary, contents, body + mark + b"--" + draw(st.sampled_from([b"", b"\r\nepilogue"]))


def _has_delimiter(data: bytes, mark: bytes) -> bool:
    """Tell whether data have what would really be a delimiter, and so are no content."""
    rests = [
        rest for line in data.split(b"\n") if line.startswith(mark) for rest in [line[len(mark) :]]
    ]
    return any(rest.startswith(b"--") or not rest.strip(b" \t\r") for rest in rests)


@given(bodies(), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_any_chunking_gives_the_same_parts(
    body: tuple[str, list[bytes], bytes], sizes: list[int]
) -> None:
    boundary, contents, data = body
    chunks: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(data[at : at + size])
        at += size

    whole = parts_of([data], boundary)

    assert [found for _, found, _ in whole] == contents
    assert parts_of(chunks, boundary) == whole


@given(st.lists(st.binary(max_size=100)), st.integers(1, 50))
def test_what_is_written_is_read(contents: list[bytes], size: int) -> None:
    boundary = new_boundary()
    body = b"".join(
        part_header(boundary, {"Content-Type": "a/b", "Content-Length": str(len(data))}) + data
        for data in contents
    ) + closing(boundary)

    found = parts_of([body[i : i + size] for i in range(0, len(body), size)], boundary)

    expected = [({"content-type": "a/b", "content-length": str(len(d))}, d, True) for d in contents]
    assert found == expected


@given(st.binary(max_size=300), st.integers(1, 7))
@example(b"--b\r\nno colon\r\n\r\n", 1)
@example(b"--b\r\n\r\n--b\n\n\n--b \t\r\nA:\xff\r\n\r\n--b--", 3)
def test_any_bytes_end_well_or_in_bad_multipart(body: bytes, size: int) -> None:
    try:
        parts_of([body[i : i + size] for i in range(0, len(body), size)])
    except BadMultipart:
        return


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\nA: 1\r\n\r\nxy\r\n--b--",
        b"\r\n--b\r\nA: 1\r\n\r\nxy\r\n--b--\r\n",
        b"preamble --b\r\n--b\r\nA: 1\r\n\r\nxy\r\n--b--epilogue\r\n--b\r\n",
        b"--b\nA: 1\n\nxy\n--b--\n",
        b"--b \t\r\na : 1 \r\n\r\nxy\r\n--b--",
    ],
)
def test_lenient_framing_gives_the_part(body: bytes) -> None:
    assert parts_of([body]) == [({"a": "1"}, b"xy", True)]


def test_folded_and_repeated_headers() -> None:
    body = b"--b\r\nA: 1\r\n  2\r\nA: 3\r\nB:\r\n\r\n\r\n--b--"

    assert parts_of([body]) == [({"a": "1 2", "b": ""}, b"", True)]


def test_part_without_headers_or_data() -> None:
    """The line break of the empty line may be the one that opens the delimiter (RFC 2046 §5.1.1)."""
    assert parts_of([b"--b\r\n\r\n--b\r\n\r\n\r\n--b--"]) == [({}, b"", True)] * 2


@pytest.mark.parametrize(
    ("declared", "matches"),
    [(b"2", True), (b"002", True), (b"3", False), (b"0", False), (b"two", False), (b"-2", False)],
)
def test_declared_length_never_frames_but_is_compared(declared: bytes, matches: bool) -> None:
    body = b"--b\r\nContent-Length: " + declared + b"\r\n\r\nxy\r\n--b--"

    assert parts_of([body]) == [({"content-length": declared.decode()}, b"xy", matches)]


@pytest.mark.parametrize(
    "body", [b"", b"--b", b"--b\r\n", b"--b\r\n\r\nxy", b"--b\r\n\r\nxy\r\n--b", b"no boundary"]
)
def test_missing_final_boundary_is_bad(body: bytes) -> None:
    with pytest.raises(BadMultipart):
        parts_of([body])


@pytest.mark.parametrize("boundary", ["", "x" * 201])
def test_boundary_of_impossible_length_is_bad(boundary: str) -> None:
    with pytest.raises(BadMultipart):
        RelatedParser(f'multipart/related; boundary="{boundary}"', LIMITS)
    RelatedParser(f'multipart/related; boundary="{"x" * 200}"', LIMITS)


def test_missing_boundary_is_bad() -> None:
    with pytest.raises(BadMultipart):
        RelatedParser("multipart/related; type=application/dicom", LIMITS)


def test_header_beyond_a_limit_is_bad_before_it_is_complete() -> None:
    limits = LIMITS.model_copy(update={"part_header_bytes": 100, "part_headers": 2})

    for body in (b"--b\r\nA: " + b"x" * 200, b"--b\r\n" + b"A:1\r\n" * 3 + b"\r\n"):
        with pytest.raises(BadMultipart):
            parts_of([body], limits=limits, close=False)


def test_more_parts_than_the_limit_are_refused() -> None:
    limits = LIMITS.model_copy(update={"parts": 2})
    part = b"--b\r\n\r\nx\r\n"

    assert len(parts_of([part * 2, b"--b--"], limits=limits)) == 2
    with pytest.raises(RequestTooLarge):
        parts_of([part * 3, b"--b--"], limits=limits)


def test_large_part_is_passed_on_without_being_kept() -> None:
    """Memory does not grow with the part."""
    chunk = bytes(64 * 1024)
    parser = RelatedParser("multipart/related; boundary=b", LIMITS)
    assert list(parser.feed(b"--b\r\n\r\n")) == [PartBegin({})]

    tracemalloc.start()
    passed = sum(
        len(e.data) for _ in range(500) for e in parser.feed(chunk) if isinstance(e, PartData)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert passed == 500 * len(chunk)
    assert peak < 4 * len(chunk)


def test_header_with_a_line_break_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="line break"):
        part_header("b", {"Content-Location": "/a\r\nX-Injected: 1"})
