"""Several rendered images in one answer, each in a part of its own (PS3.18 §10.4.3.3)."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.dicom.multipart import closing, new_boundary, part_header
from app.errors import BadQuery, CoregisterError, NotAcceptable, NotFound
from app.pixels.render_options import RenderOptions
from app.services.render import Render, Subject
from app.web.state import State, base_url
from app.web.wado_target import related


@dataclass(frozen=True, slots=True)
class Picture:
    """An image to be made: of one frame, or of several an animation."""

    subject: Subject
    numbers: tuple[int, ...]

    def headers(self, request: Request[State], media_type: str, length: int) -> dict[str, str]:
        """Return the headers of its part."""
        frames = ",".join(map(str, self.numbers))
        path = f"{self.subject.located.path}/frames/{frames}/rendered"
        return {
            "Content-Type": media_type,
            "Content-Length": str(length),
            "Content-Location": base_url(request) + path,
        }


Made = tuple[Picture, bytes]


async def send_parts(
    request: Request[State], pictures: AsyncGenerator[Picture, None], options: RenderOptions
) -> Response:
    """Send pictures as they are made; those that cannot be are left out. Raises their error where none can."""
    boundary = new_boundary()
    headers = {
        "Content-Type": related(options.media_type, boundary),
        "Cache-Control": "private, no-cache",
        "Vary": "Accept",
    }
    made = _made(
        request.state["render"], pictures, options, request.state["settings"].pixel_workers
    )
    first = await anext(made)
    if request.method == "HEAD":
        await made.aclose()
        return Response(headers=headers)

    async def body() -> AsyncGenerator[bytes, None]:
        async with aclosing(made):
            yield _part(request, boundary, first, options)
            async for each in made:
                yield _part(request, boundary, each, options)
            yield closing(boundary)

    return StreamingResponse(body(), headers=headers)


def _part(request: Request[State], boundary: str, made: Made, options: RenderOptions) -> bytes:
    picture, data = made
    return part_header(boundary, picture.headers(request, options.media_type, len(data))) + data


async def _made(
    render: Render, pictures: AsyncGenerator[Picture, None], options: RenderOptions, workers: int
) -> AsyncGenerator[Made, None]:
    """Yield what can be made. Raises the last refusal where that is nothing."""
    refusal: CoregisterError | None = None
    any_made = False
    async with aclosing(_ahead(render, pictures, options, workers)) as ahead:
        async for picture, task in ahead:
            try:
                data = await task
            except (NotAcceptable, NotFound) as error:
                refusal = error
                continue
            except BadQuery:
                if not any_made:  # what is wrong for one image may be right for another
                    raise
                continue
            any_made = True
            yield picture, data
    if not any_made:
        raise refusal or NotFound("There is no such study or series.")


async def _ahead(
    render: Render, pictures: AsyncGenerator[Picture, None], options: RenderOptions, workers: int
) -> AsyncGenerator[tuple[Picture, asyncio.Task[bytes]], None]:
    """Yield pictures in order, while as many more are being made as there are workers."""
    waiting: deque[tuple[Picture, asyncio.Task[bytes]]] = deque()
    try:
        async for picture in pictures:
            making = render.picture(picture.subject, picture.numbers, options, patiently=True)
            waiting.append((picture, asyncio.create_task(making)))
            if len(waiting) > workers:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        await pictures.aclose()
