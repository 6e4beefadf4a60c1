"""WADO-RS: all bulk values or all pixel data of a study, series or instance (PS3.18 §10.4.1.1.5)."""

from collections.abc import AsyncGenerator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from app.dicom.multipart import closing, new_boundary, part_header
from app.errors import NotAcceptable, NotFound
from app.services.retrieve import WHOLE_BYTES, Found, Retrieve, Target, Values
from app.services.transcode import MadeValues, Transcode
from app.web.body import send_body, send_no_body
from app.web.conditional import asks_conditionally, caching, is_known, not_modified, weak_etag
from app.web.made_values import parts_of
from app.web.negotiation import Accepted, accepted
from app.web.state import State, base_url
from app.web.transfer_syntaxes import Form, form_for, make_values
from app.web.wado_target import OCTETS, form_of, related, target_of

PARTIAL = 206
Addressed = tuple[str, Values]  # where values are to be had, and the values


async def retrieve_bulkdata(request: Request[State]) -> Response:
    """Send all bulk values of a study, series or instance (PS3.18 §10.4.1.1.5)."""
    return await send_all_bulk(request, target_of(request))


async def retrieve_pixel_data(request: Request[State]) -> Response:
    """Send the pixel data of a study, series or instance, each frame in a part (PS3.18 §10.4.1.1.5)."""
    target = target_of(request)
    found = await _unknown(request, target) or await request.state["retrieve"].pixel_data(target)
    return (
        found if isinstance(found, Response) else await _send(request, found.clock, _frames(found))
    )


async def send_all_bulk(request: Request[State], target: Target) -> Response:
    """Send all bulk values of the target, each in a part under its BulkDataURI."""
    found = await _unknown(request, target) or await request.state["retrieve"].bulk_values(target)
    return found if isinstance(found, Response) else await _send(request, found.clock, _bulk(found))


async def _bulk(found: Found[Sequence[tuple[str, Values]]]) -> AsyncGenerator[Addressed, None]:
    async for page in found.pages:
        for instance in page:
            for path, values in instance:
                yield f"{values.located.path}/bulkdata/{path}", values


async def _frames(found: Found[Values | None]) -> AsyncGenerator[Addressed, None]:
    async for page in found.pages:
        for values in filter(None, page):
            yield f"{values.located.path}/frames/{{}}", values


async def _unknown(request: Request[State], target: Target) -> Response | None:
    """Return the answer to a client that has everything already."""
    if not asks_conditionally(request):
        return None
    headers = caching(_etag(request, await request.state["retrieve"].clock(target)))
    return not_modified(headers) if is_known(request, headers["ETag"]) else None


def _etag(request: Request[State], clock: str) -> str:
    return weak_etag(clock, form_of(accepted(request), base_url(request), request.url.path))


class _Parts:
    """The parts of the answer, and what had to be left out so far."""

    def __init__(self, request: Request[State], values: AsyncGenerator[Addressed, None]) -> None:
        self._retrieve: Retrieve = request.state["retrieve"]
        self._alternatives: Sequence[Accepted] = accepted(request)
        self._transcode: Transcode = request.state["transcode"]
        self._base = base_url(request)
        self._values = values
        self.boundary = new_boundary()
        self.refusal: NotAcceptable | NotFound | None = None
        self.sent = 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async for location, values in self._values:
            try:
                form = form_for(self._alternatives, values, alone=False)
                if form.made:
                    made = await make_values(self._transcode, values, form)
                else:
                    made, found = None, await self._contents(values)
            except (NotAcceptable, NotFound) as error:
                self.refusal = error
                continue
            if made is not None:
                async for chunk in self._made(location, made, form):
                    yield chunk
                continue
            async for chunk in self._parts(location, values, found, form):
                yield chunk
        yield closing(self.boundary)

    async def _contents(self, values: Values) -> list[bytes] | None:
        """Return small values, for large ones None: they are read when their turn comes."""
        if sum(values.lengths) > WHOLE_BYTES:
            return None
        return await self._retrieve.read_values(values)

    async def _parts(
        self, location: str, values: Values, found: list[bytes] | None, form: Form
    ) -> AsyncGenerator[bytes, None]:
        heads = self._heads(location, values.lengths, form)
        if found is not None:
            yield b"".join(piece for pair in zip(heads, found, strict=True) for piece in pair)
            return
        contents = self._retrieve.contents(values)
        for head in heads:
            yield head
            async for chunk in await anext(contents):
                yield chunk

    async def _made(
        self, location: str, made: MadeValues, form: Form
    ) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in parts_of(made, self._heads(location, made.lengths, form)):
                yield chunk
        finally:
            made.spool.close()

    def _heads(self, location: str, lengths: Sequence[int], form: Form) -> list[bytes]:
        self.sent += len(lengths)
        return [
            part_header(
                self.boundary,
                {
                    "Content-Type": form.content_type,
                    "Content-Length": str(length),
                    "Content-Location": self._base + location.format(number),
                },
            )
            for number, length in enumerate(lengths, start=1)
        ]


async def _send(
    request: Request[State], clock: str, values: AsyncGenerator[Addressed, None]
) -> Response:
    parts = _Parts(request, values)
    headers = {
        **caching(_etag(request, clock)),
        "Content-Type": related(OCTETS, parts.boundary),
    }
    chunks = parts.chunks()
    if request.method == "HEAD":
        await anext(chunks)
        await chunks.aclose()
        answer: Response = send_no_body(headers)
    else:
        answer = await send_body(chunks, headers)
    if not parts.sent:
        raise parts.refusal or NotFound("There are no such values.")
    if parts.refusal:  # of what comes later it cannot be told any more
        answer.status_code = PARTIAL
    return answer
