"""Renders instances: images as pictures; what is not an image has one form of its own, or none.

Strategy: what is known of an instance from the index says what kind it is, and where in its object the frames
are. The object up to its pixel data and the frames that are asked for are read at once; a worker process makes
the picture of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson
from pydicom.config import IGNORE
from pydicom.uid import UID

from app.dicom.instance import ByteRange, PixelLayout
from app.dicom.pixel_description import PixelDescription, describe_pixels
from app.dicom.structured_report import is_report
from app.dicom.transfer_syntax import KNOWN, transfer_syntax
from app.errors import NotAcceptable, NotFound, Undecodable
from app.index.documents import read_bulk, read_metadata, read_pixels
from app.limits import Limits
from app.pixels.decode import can_decode
from app.pixels.pool import WorkerPool
from app.pixels.render import render
from app.pixels.render_encode import GIF
from app.pixels.render_options import RenderOptions
from app.pixels.render_source import ImageSource
from app.services.retrieve import Located, Retrieve, Target, Values
from app.services.snapshot import INSTANCES
from app.stores.elasticsearch import ElasticsearchIndex

_ROWS, _DOCUMENT, _PIXEL_DATA = "00280010", "00420011", "7FE00010"
_PIXEL_VALUES = ("7FE00008", "7FE00009", _PIXEL_DATA)
_SOP_CLASS, _CONTENT = "00080016", "0040A730"
_NOT_DECODABLE = [uid for uid in KNOWN if not can_decode(uid)]  # video among them
_DECODABLE_IMAGES = {
    "must": [{"term": {"tokens": _ROWS}}],
    "must_not": [{"terms": {"transfer_syntax_uid": _NOT_DECODABLE}}],
}
_WITH_A_FORM = {"must": [{"terms": {"tokens": [_ROWS, _DOCUMENT, _CONTENT]}}]}


class Kind(Enum):
    """What an instance is to somebody who wants to look at it."""

    IMAGE = auto()
    VIDEO = auto()
    DOCUMENT = auto()
    REPORT = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Subject:
    """An instance that is to be rendered."""

    located: Located
    kind: Kind
    attributes: Mapping[str, Any]
    document: Mapping[str, Any]  # of the index
    layout: PixelLayout | None  # None where frames cannot be told apart

    @property
    def number_of_frames(self) -> int:
        """Return how many frames there are to see."""
        if self.layout is not None and self.layout.frames:
            return len(self.layout.frames)
        values = self.attributes.get("00280008", {}).get("Value")
        return max(values[0], 1) if values and isinstance(values[0], int) else 1


class Render:
    """The verb behind rendered and thumbnail resources."""

    def __init__(
        self, retrieve: Retrieve, index: ElasticsearchIndex, pool: WorkerPool, limits: Limits
    ) -> None:
        """Have pictures made in `pool`."""
        self._retrieve = retrieve
        self._index = index
        self._pool = pool
        self._limits = limits

    async def subject(self, target: Target) -> Subject:
        """Return an instance. Raises NotFound."""
        # of an image with thousands of frames, the metadata alone take a while to read
        return await asyncio.to_thread(_subject, *await self._retrieve.instance(target))

    async def subjects(self, target: Target) -> AsyncGenerator[Subject, None]:
        """Yield the images of a target, series by series. Raises NotFound, NotAcceptable where it has none."""
        found = await self._retrieve.documents(target)
        any_image = False
        async with aclosing(found.pages) as pages:
            async for page in pages:
                for located, document in page:
                    subject = await asyncio.to_thread(_subject, located, document)
                    if subject.kind is Kind.IMAGE:
                        any_image = True
                        yield subject
        if not any_image:
            raise NotAcceptable("None of the instances is an image.")

    async def representative(self, target: Target) -> Subject:
        """Return what stands for a study or series: the middle one of its images that can be decoded.

        Where there is none, the middle one of whatever has a form. Raises NotFound, NotAcceptable.
        """
        if target.sop_instance_uid is not None:
            return await self.subject(target)
        terms = [{"term": {"study_instance_uid": target.study_instance_uid}}]
        if target.series_instance_uid is not None:
            terms.append({"term": {"series_instance_uid": target.series_instance_uid}})
        for form in (_DECODABLE_IMAGES, _WITH_A_FORM):
            uid = await self._middle({"bool": {"filter": terms, **form}})
            if uid is not None:
                return await self.subject(
                    Target(target.study_instance_uid, target.series_instance_uid, uid)
                )
        await self._retrieve.clock(target)  # raises NotFound where there is nothing at all
        raise NotAcceptable("None of the instances has a rendered form.")

    async def _middle(self, query: Mapping[str, Any]) -> str | None:
        """Return the SOP Instance UID of the middle instance that matches."""
        count = {"size": 0, "query": query, "track_total_hits": True}
        number = (await self._index.search(INSTANCES, count))["hits"]["total"]["value"]
        body = {
            "size": 1,
            "from": max(number - 1, 0) // 2,
            "query": query,
            "sort": [{"order": "asc"}],
            "_source": ["sop_instance_uid"],
        }
        hits = (await self._index.search(INSTANCES, body))["hits"]["hits"] if number else []
        return hits[0]["_source"]["sop_instance_uid"] if hits else None

    async def picture(
        self,
        subject: Subject,
        numbers: Sequence[int],
        options: RenderOptions,
        *,
        patiently: bool = False,
    ) -> bytes:
        """Return frames of an image as a file: the first, or all in an animation.

        `patiently` is for an answer that has begun. Raises NotFound, NotAcceptable, BadQuery, Busy.
        """
        numbers = numbers if options.media_type == GIF else numbers[:1]
        source = await self._source(subject, numbers)
        run = self._pool.run_patiently if patiently else self._pool.run
        return await run(render, source, options)

    async def _source(self, subject: Subject, numbers: Sequence[int]) -> ImageSource:
        description = describe_pixels(subject.attributes, frame_bytes=self._limits.frame_bytes)
        if len(numbers) > self._limits.animated_frames:
            raise NotAcceptable("There are more frames than the limit animated_frames.")
        if len(numbers) * description.decoded_bytes > self._limits.frame_bytes:
            raise NotAcceptable("The frames together are larger than the limit frame_bytes.")
        layout = subject.layout
        if layout is not None and not layout.frames:
            raise Undecodable("The pixel data are shorter than one frame.")
        if layout is None:
            head, frames = await self._bits(subject, description, numbers)
        else:
            values = _values(subject, layout, numbers)
            head, *frames = await self._retrieve.read_values(values)
        correction = subject.located.correction
        return ImageSource(
            head=head,
            deflated=subject.document["deflated"],
            transfer_syntax_uid=subject.located.transfer_syntax_uid,
            description=description,
            numbers=tuple(numbers),
            frames=tuple(frames),
            corrected=correction.attributes if correction is not None else {},
        )

    async def _bits(
        self, subject: Subject, description: PixelDescription, numbers: Sequence[int]
    ) -> tuple[bytes, list[bytes]]:
        """Return frames of single bits, which do not begin at whole bytes (PS3.5 §8.1.1)."""
        place = read_bulk(subject.document).get(_PIXEL_DATA)
        syntax = transfer_syntax(subject.located.transfer_syntax_uid)
        if place is None or syntax.encapsulated or description.bits_allocated != 1:
            raise Undecodable("It cannot be told where the frames of the pixel data are.")
        size = description.samples
        starts = [(number - 1) * size for number in numbers]
        stretches = [ByteRange(0, place.offset)]
        for start in starts:
            first, last = start // 8, (start + size + 7) // 8
            stretches.append(ByteRange(place.offset + first, last - first))
        if any(part.offset + part.length > place.offset + place.length for part in stretches):
            raise Undecodable("The pixel data are shorter than the frames that are declared.")
        values = _values_of(subject, [(part,) for part in stretches])
        head, *read = await self._retrieve.read_values(values)
        return head, [_shifted(data, start % 8) for data, start in zip(read, starts, strict=True)]


def check_frames(subject: Subject, numbers: Sequence[int]) -> None:
    """Raise NotAcceptable for what is no image, NotFound for frames that it does not have."""
    check_is_image(subject)
    count = subject.number_of_frames
    if any(not 1 <= number <= count for number in numbers):
        raise NotFound(f"The instance has the frames 1 to {count}.")


def check_is_image(subject: Subject) -> None:
    """Raise NotAcceptable, which says what the instance is, for what is no image."""
    match subject.kind:
        case Kind.IMAGE:
            return
        case Kind.VIDEO:
            raise NotAcceptable("The instance is a video: it is rendered as one, not as an image.")
        case Kind.DOCUMENT:
            raise NotAcceptable(
                "The instance is a document: it is rendered as one, not as an image."
            )
        case Kind.REPORT:
            raise NotAcceptable(
                "The instance is a report: it is rendered as text, not as an image."
            )
        case Kind.OTHER:
            uid = subject.attributes.get(_SOP_CLASS, {}).get("Value", [""])[0]
            raise NotAcceptable(f"Instances of {UID(uid, IGNORE).name} have no rendered form.")


def _subject(located: Located, document: Mapping[str, Any]) -> Subject:
    attributes = orjson.loads(read_metadata(document))
    kind = _kind(located, attributes)
    return Subject(located, kind, attributes, document, read_pixels(document))


def _kind(located: Located, attributes: Mapping[str, Any]) -> Kind:
    if any(tag in attributes for tag in _PIXEL_VALUES):
        is_video = transfer_syntax(located.transfer_syntax_uid).is_video
        return Kind.VIDEO if is_video else Kind.IMAGE
    if _DOCUMENT in attributes:
        return Kind.DOCUMENT
    return Kind.REPORT if is_report(attributes) else Kind.OTHER


def _values(subject: Subject, layout: PixelLayout, numbers: Sequence[int]) -> Values:
    first = min(frame[0].offset for frame in layout.frames)
    chosen = [layout.frames[number - 1] for number in numbers]
    return _values_of(subject, [(ByteRange(0, first),), *chosen])


def _values_of(subject: Subject, stretches: Sequence[tuple[ByteRange, ...]]) -> Values:
    deflated = subject.document["deflated"]
    return Values(subject.located, tuple(stretches), encapsulated=False, deflated=deflated)


def _shifted(data: bytes, bits: int) -> bytes:
    """Return data whose first bits are gone; the first pixel is in the lowest bit (PS3.5 §8.1.1)."""
    return (int.from_bytes(data, "little") >> bits).to_bytes(len(data), "little")
