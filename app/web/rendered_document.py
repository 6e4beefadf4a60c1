"""What an instance is when it is no image: a report as a page, a video or a document as it was stored."""

import asyncio
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

from app import __version__
from app.dicom.instance import ByteRange
from app.dicom.report_html import CONTENT_SECURITY_POLICY, report_html
from app.dicom.report_text import report_text
from app.dicom.structured_report import read_report, text_of
from app.dicom.transfer_syntax import aliases_of, media_type_of
from app.services.render import Subject
from app.services.retrieve import Target, Values
from app.web.byte_range import cut
from app.web.conditional import caching, is_known, not_modified, strong_etag
from app.web.negotiation import Offer, accepted, choose
from app.web.single_part import send_value
from app.web.state import State, base_url

HTML, PLAIN, PDF = "text/html", "text/plain", "application/pdf"
OCTETS = "application/octet-stream"
REPORT_OFFERS = (Offer(HTML), Offer(PLAIN))

_DOCUMENT, _MEDIA_TYPE, _LENGTH, _SOP_CLASS = "00420011", "00420012", "00420015", "00080016"
_TOKEN = re.compile(r"[a-z]+/[a-z0-9.+-]+")
_ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."
_BY_SOP_CLASS: Mapping[str, str] = MappingProxyType(
    {
        _ENCAPSULATED + "1": PDF,
        _ENCAPSULATED + "2": "text/xml",
        _ENCAPSULATED + "3": "model/stl",
        _ENCAPSULATED + "4": "model/obj",
        _ENCAPSULATED + "5": "model/mtl",
    }
)
DOCUMENT_TYPES = frozenset(_BY_SOP_CLASS.values())
# a viewer of PDF is a plug-in of the browser, which a sandbox would keep out
_PDF_POLICY = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"


async def send_report(request: Request[State], subject: Subject, charset: str) -> Response:
    """Send a structured report as a page or as plain text."""
    offer = choose(accepted(request), REPORT_OFFERS)
    base = base_url(request)
    form = f"{__version__} {offer.media_type} {charset} {base}"
    headers = caching(strong_etag(subject.located.clock, form))
    headers["Content-Type"] = f"{offer.media_type}; charset={charset}"
    if is_known(request, headers["ETag"]):
        return not_modified(headers)
    report = await asyncio.to_thread(read_report, subject.attributes)
    if offer.media_type == PLAIN:
        return Response(await asyncio.to_thread(report_text, report, charset), headers=headers)
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return Response(await asyncio.to_thread(report_html, report, base, charset), headers=headers)


async def send_video(request: Request[State], subject: Subject) -> Response:
    """Send the stream of a video, or ranges of it, as it was stored."""
    media_type = media_type_of(subject.located.transfer_syntax_uid)
    choose(accepted(request), (Offer(media_type, aliases=aliases_of(media_type)),))
    values = await request.state["retrieve"].frames(_target(subject), [1])
    etag = strong_etag(subject.located.version, "video")
    return await send_value(request, values, media_type, etag)


async def send_document(request: Request[State], subject: Subject) -> Response:
    """Send an encapsulated document, or ranges of it, as it was stored."""
    media_type = document_type(subject)
    choose(accepted(request), (Offer(media_type),))
    etag = strong_etag(subject.located.version, "document")
    element = subject.attributes[_DOCUMENT]
    length = _declared_length(subject)
    if "BulkDataURI" in element:
        values = await request.state["retrieve"].bulk(_target(subject), _DOCUMENT)
        answer = await send_value(request, _shortened(values, length), media_type, etag)
    else:
        data = b64decode(element.get("InlineBinary", ""))[:length]
        answer = Response(data, headers={**caching(etag), "Content-Type": media_type})
    if media_type == PDF:
        answer.headers["Content-Security-Policy"] = _PDF_POLICY
    return answer


def _target(subject: Subject) -> Target:
    located = subject.located
    return Target(located.study_instance_uid, located.series_instance_uid, located.sop_instance_uid)


def document_type(subject: Subject) -> str:
    """Return the media type of an encapsulated document, as the object says."""
    named = text_of(subject.attributes.get(_MEDIA_TYPE, {})).lower()
    if _TOKEN.fullmatch(named):
        return named
    return _BY_SOP_CLASS.get(text_of(subject.attributes.get(_SOP_CLASS, {})), OCTETS)


def _declared_length(subject: Subject) -> int | None:
    """Return the length of the document without padding, where it is said (PS3.3 §C.24.2)."""
    values = subject.attributes.get(_LENGTH, {}).get("Value")
    return values[0] if values and isinstance(values[0], int) and values[0] > 0 else None


def _shortened(values: Values, length: int | None) -> Values:
    (whole,) = values.lengths
    if length is None or length >= whole:
        return values
    (stretches,) = values.stretches
    return replace(values, stretches=(cut(stretches, ByteRange(0, length)),))
