"""WADO-RS: rendered resources and thumbnails (PS3.18 §10.4.1.1.3, §10.4.1.1.4)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from app import __version__
from app.dicom.multipart import closing, new_boundary, part_header
from app.errors import BadRequest
from app.pixels.render_encode import GIF, MEDIA_TYPES
from app.pixels.render_options import RenderOptions
from app.services.render import Kind, Subject, check_frames, check_is_image
from app.web.conditional import caching, is_known, not_modified, strong_etag
from app.web.negotiation import Offer, accepted, choose
from app.web.rendered_document import send_document, send_report, send_video
from app.web.rendered_parts import Picture, send_parts
from app.web.rendered_query import parse_rendered, parse_thumbnail
from app.web.state import State
from app.web.wado_target import related, target_of

ALONE = tuple(Offer(each) for each in MEDIA_TYPES)
IN_PARTS = tuple(Offer(each, multipart=True) for each in MEDIA_TYPES)
_MOST_NAMED = 10_000  # frames in one path


async def retrieve_rendered(request: Request[State]) -> Response:
    """Send images, or of an instance what it is as an image, page, video or document (PS3.18 §10.4.1.1.3)."""
    query = parse_rendered(request.query_params.multi_items(), request.state["settings"].limits)
    target = target_of(request)
    render = request.state["render"]
    subject = await render.representative(target)
    match subject.kind:
        case Kind.REPORT:
            return await send_report(request, subject, query.charset)
        case Kind.DOCUMENT:
            return await send_document(request, subject)
        case Kind.VIDEO:
            return await send_video(request, subject)
    check_is_image(subject)
    if target.sop_instance_uid is not None:
        every = range(1, subject.number_of_frames + 1)
        return await _send_frames(request, subject, every, query.options, (*ALONE, *IN_PARTS))
    offer = choose(accepted(request), (*IN_PARTS, *ALONE))
    options = replace(query.options, media_type=offer.media_type)
    if offer.multipart:
        return await send_parts(request, _pictures(render.subjects(target), offer), options)
    return await _send_picture(request, _picture(subject, offer), options, offer)


async def retrieve_rendered_frames(request: Request[State]) -> Response:
    """Send frames as images, in the order asked for (PS3.18 §10.4.1.1.3)."""
    query = parse_rendered(request.query_params.multi_items(), request.state["settings"].limits)
    numbers = _frame_numbers(request)
    subject = await request.state["render"].subject(target_of(request))
    check_frames(subject, numbers)
    # one image for several frames would be a wrong answer, unless it is an animation
    offers = (*ALONE, *IN_PARTS) if len(numbers) == 1 else (*IN_PARTS, Offer(GIF))
    return await _send_frames(request, subject, numbers, query.options, offers)


async def retrieve_thumbnail(request: Request[State]) -> Response:
    """Send a small image that stands for a study, series or instance, or for frames (PS3.18 §10.4.1.1.4)."""
    settings = request.state["settings"]
    parameters = request.query_params.multi_items()
    query = parse_thumbnail(parameters, settings.limits, settings.thumbnail_pixels)
    offer = choose(accepted(request), (*ALONE, *IN_PARTS))
    subject = await request.state["render"].representative(target_of(request))
    numbers = _frame_numbers(request) if "frames" in request.path_params else None
    check_frames(subject, numbers or ())
    picture = Picture(subject, (_middle(subject, numbers),))
    options = replace(query.options, media_type=offer.media_type)
    return await _send_picture(request, picture, options, offer)


def _frame_numbers(request: Request[State]) -> list[int]:
    texts = request.path_params["frames"].split(",")
    if len(texts) > _MOST_NAMED or not all(_is_number(text) for text in texts):
        raise BadRequest("Frames are a list of numbers such as 1,2,3.")
    return [int(text) for text in texts]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9  # noqa: PLR2004 - more than there can be


def _middle(subject: Subject, numbers: Sequence[int] | None = None) -> int:
    among = numbers or range(1, subject.number_of_frames + 1)
    return among[(len(among) - 1) // 2]


def _picture(subject: Subject, offer: Offer) -> Picture:
    """Return what stands for a study or series: all frames if they can be an animation, or the middle one."""
    if offer.media_type == GIF:
        return Picture(subject, tuple(range(1, subject.number_of_frames + 1)))
    return Picture(subject, (_middle(subject),))


async def _pictures(
    subjects: AsyncGenerator[Subject, None], offer: Offer
) -> AsyncGenerator[Picture, None]:
    async with aclosing(subjects):
        async for subject in subjects:
            for picture in _each(subject, range(1, subject.number_of_frames + 1), offer):
                yield picture


def _each(subject: Subject, numbers: Sequence[int], offer: Offer) -> list[Picture]:
    """Return an animation of frames, or each by itself."""
    if offer.media_type == GIF:
        return [Picture(subject, tuple(numbers))]
    return [Picture(subject, (number,)) for number in numbers]


async def _send_frames(
    request: Request[State],
    subject: Subject,
    numbers: Sequence[int],
    options: RenderOptions,
    offers: Sequence[Offer],
) -> Response:
    offer = choose(accepted(request), offers)
    options = replace(options, media_type=offer.media_type)
    pictures = _each(subject, numbers, offer)
    if offer.multipart and len(pictures) > 1:
        return await send_parts(request, _listed(pictures), options)
    return await _send_picture(request, pictures[0], options, offer)


async def _listed(pictures: Sequence[Picture]) -> AsyncGenerator[Picture, None]:
    for picture in pictures:
        yield picture


async def _send_picture(
    request: Request[State], picture: Picture, options: RenderOptions, offer: Offer
) -> Response:
    """Send one picture alone, or as the only part for whom takes nothing else."""
    form = f"{__version__} {picture.numbers} {options} {offer.multipart}"
    headers = caching(strong_etag(picture.subject.located.clock, form))
    if is_known(request, headers["ETag"]):
        return not_modified(headers)
    data = await request.state["render"].picture(picture.subject, picture.numbers, options)
    if not offer.multipart:
        return Response(data, headers={**headers, "Content-Type": offer.media_type})
    boundary = new_boundary()
    head = part_header(boundary, picture.headers(request, offer.media_type, len(data)))
    headers["Content-Type"] = related(offer.media_type, boundary)
    return Response(head + data + closing(boundary), headers=headers)
