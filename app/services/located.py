"""Where the bytes of an instance and of its values are, as the index knows it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from app.dicom.correction import Correction
from app.dicom.instance import ByteRange, Stretch
from app.errors import NotFound
from app.index.documents import read_bulk, read_correction, read_pixels

T = TypeVar("T")

PIXEL_DATA = "7FE00010"
LOCATION_FIELDS = (
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "transfer_syntax_uid",
    "blob_key",
    "size",
    "version",
    "correction",
)
VALUE_FIELDS = (*LOCATION_FIELDS, "bulk", "pixels", "deflated")
DOCUMENT_FIELDS = (*VALUE_FIELDS, "metadata")


@dataclass(frozen=True, slots=True)
class Located:
    """Where the bytes of one instance are."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    blob_key: str
    size: int
    version: str = ""
    correction: Correction | None = None  # what it shows otherwise than its bytes say

    @property
    def clock(self) -> str:
        """Return what has moved whenever what is shown of it has changed."""
        return f"{self.version}{self.correction.at}" if self.correction else self.version

    @property
    def as_stored(self) -> "Located":
        """Return the instance as its bytes say it."""
        return replace(self, correction=None) if self.correction else self

    @property
    def path(self) -> str:
        """Return the path of the instance below the DICOMweb base."""
        return (
            f"/studies/{self.study_instance_uid}/series/{self.series_instance_uid}"
            f"/instances/{self.sop_instance_uid}"
        )


@dataclass(frozen=True, slots=True)
class Values:
    """Values of one instance: for each, the stretches of the object that make it up."""

    located: Located
    stretches: tuple[tuple[Stretch, ...], ...]
    encapsulated: bool
    deflated: bool  # stretches count in the inflated data set
    numbers: Sequence[int] = ()  # of frames: which they are, from 1
    path: str = ""  # of a bulk value

    @property
    def lengths(self) -> tuple[int, ...]:
        """Return the length of each value, in bytes."""
        return tuple(sum(part.length for part in stretches) for stretches in self.stretches)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a target holds at one moment."""

    clock: str  # another one after anything of it changed
    syntaxes: frozenset[str]  # the transfer syntaxes that its instances are stored in
    pages: AsyncGenerator[Sequence[T], None]  # one thing for each instance, series by series


def located_in(source: Mapping[str, Any]) -> Located:
    """Return where the instance of an index document is."""
    return Located(
        source["study_instance_uid"],
        source["series_instance_uid"],
        source["sop_instance_uid"],
        source["transfer_syntax_uid"],
        source["blob_key"],
        source["size"],
        source["version"],
        read_correction(source),
    )


async def all_as_stored(
    pages: AsyncGenerator[Sequence[Located], None],
) -> AsyncGenerator[Sequence[Located], None]:
    """Yield instances as their bytes say them."""
    async with aclosing(pages):
        async for page in pages:
            yield [located.as_stored for located in page]


def frames_in(
    located: Located, source: Mapping[str, Any], numbers: Sequence[int] | None = None
) -> Values:
    """Return frames by their numbers, which count from 1, or all of them. Raises NotFound."""
    layout = read_pixels(source)
    if layout is None:
        raise NotFound("The instance has no frames that can be told apart.")
    count = len(layout.frames)
    if numbers is not None and any(not 1 <= number <= count for number in numbers):
        raise NotFound(f"The instance has the frames 1 to {count}.")
    chosen = range(1, count + 1) if numbers is None else numbers
    return Values(
        located,
        tuple(layout.frames[number - 1] for number in chosen),
        encapsulated=layout.encapsulated,
        deflated=source["deflated"],
        numbers=chosen,
    )


def bulk_value_in(
    located: Located, source: Mapping[str, Any], path: str, place: ByteRange
) -> Values:
    """Return a bulk value; of encapsulated pixel data, the frames."""
    layout = read_pixels(source) if path == PIXEL_DATA else None
    if layout is not None and layout.encapsulated:
        return replace(frames_in(located, source), path=path)
    return Values(located, ((place,),), encapsulated=False, deflated=source["deflated"], path=path)


def bulk_values_in(source: Mapping[str, Any]) -> Sequence[tuple[str, Values]]:
    """Return every bulk value by its path."""
    located = located_in(source)
    return [
        (path, bulk_value_in(located, source, path, place))
        for path, place in read_bulk(source).items()
    ]


def all_frames_in(source: Mapping[str, Any]) -> Values | None:
    """Return all frames, None where there are none that can be told apart."""
    return frames_in(located_in(source), source) if "pixels" in source else None


def with_document(source: Mapping[str, Any]) -> tuple[Located, Mapping[str, Any]]:
    """Return where the instance is, and the document."""
    return located_in(source), source
