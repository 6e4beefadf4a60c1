"""The body of a STOW request, taken apart as it comes (PS3.18 §10.5.2).

Strategy: the Content-Type says what parts are unless they say it themselves. Each part goes to one of two
places: objects to the intake, where they are read at once; metadata and bulk data to the metadata intake,
where they wait for the end of the request. A part that is none of these is refused by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from starlette.requests import ClientDisconnect, Request

from app.dicom.multipart import (
    PartBegin,
    PartData,
    PartEnd,
    RelatedParser,
    parse_content_type,
)
from app.errors import (
    BadInstance,
    BadMultipart,
    BlobsUnavailable,
    ClientGone,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedMediaType,
)
from app.limits import Limits
from app.services.intake import Intake, Refused, Spooled
from app.services.metadata_intake import Form, MetadataIntake
from app.web.state import State

DICOM, DICOM_JSON, DICOM_XML = (
    "application/dicom",
    "application/dicom+json",
    "application/dicom+xml",
)
OCTETS = "application/octet-stream"
KINDS = {DICOM: None, DICOM_JSON: Form.JSON, DICOM_XML: Form.XML}
# what some senders call the metadata in a request whose type says which they are
ALSO_CALLED = {
    DICOM: frozenset({OCTETS}),
    DICOM_JSON: frozenset({"application/json"}),
    DICOM_XML: frozenset({"application/xml", "text/xml"}),
}


class Sink(Protocol):
    """Where the bytes of a part go."""

    async def write(self, data: bytes | memoryview) -> None:
        """Add bytes to the part."""

    async def end(self, refusal: BadInstance | None = None) -> None:
        """End the part."""


class Parts:
    """Sends each part of one request where it belongs."""

    def __init__(self, intake: Intake, metadata: MetadataIntake, kind: str | None) -> None:
        """Take parts that do not say what they are for `kind`; None: for what the first part is."""
        self._intake = intake
        self._metadata = metadata
        self._kind = kind

    def begin(self, headers: Mapping[str, str]) -> tuple[Sink, BadInstance | None]:
        """Start a part; return where it goes and why it is refused, if it is."""
        media_type, parameters = parse_content_type(headers.get("content-type", ""))
        if self._kind is None:
            self._kind = media_type if media_type in KINDS else DICOM
        location = _location(headers)
        if media_type in KINDS:
            kind = media_type
        elif media_type in ALSO_CALLED[self._kind] or not (media_type or location):
            kind = self._kind
        elif self._kind == DICOM:
            self._intake.begin()
            refusal = None if not media_type else BadInstance("The part is not application/dicom.")
            return self._intake, refusal
        else:
            said = parameters.get("transfer-syntax", "*").strip()
            syntax = None if said == "*" else said  # a wildcard says nothing of what is sent
            self._metadata.begin_bulk(location, media_type or OCTETS, syntax)
            message = "The part is no metadata, and has no Content-Location as bulk data have."
            return self._metadata, None if location else BadInstance(message)
        form = KINDS[kind]
        if form is None:
            self._intake.begin()
            return self._intake, None
        self._metadata.begin_document(form)
        return self._metadata, None


def _location(headers: Mapping[str, str]) -> str:
    """Return the BulkDataURI that a part is the value of (RFC 2557 §4.2, RFC 2392)."""
    location = headers.get("content-location", "").strip().strip("<>")
    if location:
        return location
    name = headers.get("content-id", "").strip().strip("<>")
    return f"cid:{name}" if name else ""


async def receive(
    request: Request[State], intake: Intake, metadata: MetadataIntake
) -> list[Spooled | Refused]:
    """Take the body in; return what became of each object. Raises CoregisterError."""
    limits = request.state["settings"].limits
    content_type = request.headers.get("content-type", "")
    media_type, parameters = parse_content_type(content_type)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("A compressed request body is not understood.")
    await _check_room(request, limits)
    body = _body(request, limits)
    if media_type in KINDS:
        await _receive_single(body, Parts(intake, metadata, media_type))
    elif media_type == "multipart/related":
        kind = parse_content_type(parameters.get("type", ""))[0] or None
        if kind is not None and kind not in KINDS:
            raise UnsupportedMediaType(f"The type of the parts is one of {', '.join(KINDS)}.")
        parser = RelatedParser(content_type, limits)
        await _receive_parts(body, Parts(intake, metadata, kind), parser)
    else:
        raise UnsupportedMediaType(
            'Send multipart/related; type="application/dicom", or one application/dicom object.'
        )
    refused = await metadata.compose(intake)
    received = [*await intake.finish(), *refused]
    if not received:
        raise BadMultipart("The body has no instances.")
    return received


async def _check_room(request: Request[State], limits: Limits) -> None:
    declared = int(request.headers.get("content-length") or 0)
    if declared > limits.request_bytes:
        raise RequestTooLarge("The body is larger than the limit request_bytes.")
    free = await request.state["store"].free_bytes()
    if free is not None and free - declared < limits.free_disk_bytes:
        raise BlobsUnavailable("The disk is nearly full: see free_disk_bytes.", retry_after=300)


async def _body(request: Request[State], limits: Limits) -> AsyncIterator[bytes]:
    """Yield the body as it comes; a client that stalls, hangs up or sends too much is given up."""
    received = 0
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(limits.request_idle_seconds):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as exc:
            raise RequestTimeout("Nothing more came: see request_idle_seconds.") from exc
        except ClientDisconnect as exc:
            raise ClientGone("The client hung up.") from exc
        received += len(chunk)
        if received > limits.request_bytes:
            raise RequestTooLarge("The body is larger than the limit request_bytes.")
        yield chunk


async def _receive_single(body: AsyncIterator[bytes], parts: Parts) -> None:
    sink, _ = parts.begin({})
    async for chunk in body:
        await sink.write(chunk)
    await sink.end()


async def _receive_parts(body: AsyncIterator[bytes], parts: Parts, parser: RelatedParser) -> None:
    sink: Sink | None = None
    refusal: BadInstance | None = None
    async for chunk in body:
        for event in parser.feed(chunk):
            match event:
                case PartBegin(headers):
                    sink, refusal = parts.begin(headers)
                case PartData(data) if sink is not None:
                    await sink.write(data)
                case PartEnd(matches) if sink is not None:
                    if not matches:
                        refusal = BadInstance("The part's Content-Length is not its length.")
                    await sink.end(refusal)
    parser.close()
