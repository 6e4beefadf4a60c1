"""How the rows of a search are sent: as DICOM JSON, as XML in parts, or as CSV (PS3.18 §10.6.3.2)."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from itertools import islice
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.dicom.attribute_path import AttributePath
from app.dicom.instance import BASE_URL_MARK
from app.dicom.multipart import closing, new_boundary, part_header
from app.dicom.native_xml import to_xml
from app.index.hits import Row
from app.services.find import Answer
from app.web.body import send_body, send_no_body
from app.web.csv_table import columns_of, csv_chunks
from app.web.negotiation import DICOM_JSON, Offer
from app.web.state import State, base_url

XML, CSV = "application/dicom+xml", "text/csv"
SEARCH = (*DICOM_JSON, Offer(XML, multipart=True), Offer(CSV))
ROWS_AT_ONCE = 200  # rows that are made and sent together; other requests have their turn between
OK, NO_CONTENT = 200, 204
_WARNINGS_MOST = 16
_LINK_LONGEST = 2048  # characters; a longer query is not repeated in a header
_JSON_MARK = f'"{BASE_URL_MARK}'.encode()
_XML_MARKS = (f">{BASE_URL_MARK}/".encode(), f'uri="{BASE_URL_MARK}/'.encode())
_NOT_IN_A_LINK = re.compile(r'[^\x21-\x7e]|[<>"\\,;]')


async def send_rows(
    request: Request[State],
    found: Answer,
    offer: Offer,
    columns: Iterable[AttributePath] | None,
) -> Response:
    """Send the rows in the form that was chosen; `columns` of a CSV, None for all that there are."""
    headers = _headers(request, found)
    if not found.count and _has_no_body(request, offer):
        return Response(status_code=NO_CONTENT, headers=headers)
    base = base_url(request)
    headers["Content-Type"] = offer.media_type
    if offer.media_type == CSV:
        headers["Content-Type"] = f"{CSV}; charset=utf-8; header=present"
        headers["Content-Disposition"] = 'attachment; filename="search.csv"'
        chunks = _csv(found.rows, columns, base)
    elif offer.media_type == XML:
        boundary = new_boundary()
        headers["Content-Type"] = f'multipart/related; type="{XML}"; boundary={boundary}'
        chunks = _parts(found.rows, boundary, base.encode())
    else:
        chunks = _json(found.rows, base.encode())
    if request.method == "HEAD":
        return send_no_body(headers)
    return await send_body(_taking_turns(chunks), headers)


def _has_no_body(request: Request[State], offer: Offer) -> bool:
    """Tell how a search without rows is answered; there is no multipart body without parts."""
    return offer.multipart or request.state["settings"].empty_search == "no-content"


def _headers(request: Request[State], found: Answer) -> dict[str, str]:
    headers = {"X-Total-Count": str(found.total)}
    texts = list(found.warnings[:_WARNINGS_MOST])
    if found.count and found.remaining:
        text = f"There are {found.remaining} additional results that can be requested"
        texts.insert(0, text)
    if texts:
        headers["Warning"] = warning(texts)
    if found.erroneous:  # as Microsoft's service tells it
        headers["erroneous-dicom-attributes"] = ",".join(found.erroneous)
    if found.cursor is not None:
        headers["X-Next-Cursor"] = found.cursor
        link = _next_page(request, found.cursor)
        if len(link) <= _LINK_LONGEST:
            headers["Link"] = f'<{link}>; rel="next"'
    return headers


def warning(texts: Iterable[str]) -> str:
    """Return the Warning header that says these (PS3.18 §8.3.4, RFC 7234 §5.5)."""
    return ", ".join(f'299 coregister "{text}"' for text in texts)


def _next_page(request: Request[State], cursor: str) -> str:
    """Return the URL of the rows behind these: the same query, from the cursor on."""
    query = request.scope["query_string"].decode("ascii", errors="replace")
    kept = [
        pair
        for pair in query.split("&")
        if pair and pair.partition("=")[0].lower() not in ("offset", "cursor")
    ]
    path = request.url.path.partition("/dicom-web")[2]
    url = f"{base_url(request)}{path}?{'&'.join([*kept, f'cursor={cursor}'])}"
    return _NOT_IN_A_LINK.sub(lambda found: quote(found[0]), url)


async def _taking_turns(chunks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while group := list(islice(rows, ROWS_AT_ONCE)):
        yield group


def _json(rows: Iterator[Row], base: bytes) -> Iterator[bytes]:
    """Yield an array of DICOM JSON objects; the last chunk closes it."""
    waiting = b"["
    for group in _groups(rows):
        if len(waiting) > 1:
            yield waiting
            waiting = b","
        waiting += orjson.dumps(group)[1:-1].replace(_JSON_MARK, b'"' + base)
    yield waiting + b"]"


def _parts(rows: Iterator[Row], boundary: str, base: bytes) -> Iterator[bytes]:
    header = part_header(boundary, {"Content-Type": XML})
    for group in _groups(rows):
        yield b"".join(header + _xml(row, base) for row in group)
    yield closing(boundary)


def _xml(row: Mapping[str, object], base: bytes) -> bytes:
    text = to_xml(row)
    for mark in _XML_MARKS:
        text = text.replace(mark, mark[: -len(BASE_URL_MARK) - 1] + base + b"/")
    return text


def _csv(
    rows: Iterator[Row], columns: Iterable[AttributePath] | None, base: str
) -> Iterator[bytes]:
    if columns is None:  # whatever the rows of this page have: they have to be looked at first
        every = list(rows)
        return csv_chunks(_groups(iter(every)), columns_of(every), base)
    return csv_chunks(_groups(rows), list(columns), base)
