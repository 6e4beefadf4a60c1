"""WADO-RS: the metadata of a study, series or instance (PS3.18 §10.4.1.1.2)."""

from collections.abc import AsyncGenerator

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.dicom.instance import BASE_URL_MARK
from app.dicom.multipart import closing, new_boundary, part_header
from app.dicom.native_xml import to_xml
from app.services.retrieve import Found
from app.web.body import send_body, send_no_body
from app.web.conditional import asks_conditionally, caching, is_known, not_modified, weak_etag
from app.web.negotiation import METADATA, accepted, choose
from app.web.state import State, base_url
from app.web.wado_target import related, target_of, wants_original

MARK = f'"BulkDataURI":"{BASE_URL_MARK}'.encode()
SEND_BYTES = 256 * 1024
XML = "application/dicom+xml"


async def retrieve_metadata(request: Request[State]) -> Response:
    """Send the metadata of a study, series or instance (PS3.18 §10.4.1.1.2)."""
    target = target_of(request)
    offer = choose(accepted(request), METADATA)
    retrieve = request.state["retrieve"]
    base = base_url(request)
    original = wants_original(request)
    form = f"{offer.media_type} {base}{' original' * original}"
    if asks_conditionally(request):
        headers = caching(weak_etag(await retrieve.clock(target), form))
        if is_known(request, headers["ETag"]):
            return not_modified(headers)
    read = retrieve.metadata_as_stored if original else retrieve.metadata
    found = await read(target)
    headers = caching(weak_etag(found.clock, form))
    mark = f'"BulkDataURI":"{base}'.encode()
    if offer.multipart:
        boundary = new_boundary()
        headers["Content-Type"] = related(XML, boundary)
        chunks = _xml_parts(found, boundary, mark)
    else:
        headers["Content-Type"] = offer.media_type
        chunks = _json_array(found, mark)
    if request.method == "HEAD":
        return send_no_body(headers)
    return await send_body(chunks, headers)


async def _json_array(found: Found[bytes], mark: bytes) -> AsyncGenerator[bytes, None]:
    waiting = b"["
    async for page in found.pages:
        if len(waiting) > 1:
            yield waiting
            waiting = b","
        waiting += b",".join(page).replace(MARK, mark)
    yield waiting + b"]"


async def _xml_parts(
    found: Found[bytes], boundary: str, mark: bytes
) -> AsyncGenerator[bytes, None]:
    waiting = bytearray()
    async for page in found.pages:
        for metadata in page:
            document = to_xml(orjson.loads(metadata.replace(MARK, mark)))
            length = str(len(document))
            waiting += part_header(boundary, {"Content-Type": XML, "Content-Length": length})
            waiting += document
            if len(waiting) >= SEND_BYTES:
                yield bytes(waiting)
                waiting.clear()
    yield bytes(waiting) + closing(boundary)
