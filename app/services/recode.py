"""Has the frames of one object decoded, encoded, or put in little endian, and collects them.

Strategy: frames that stay native stay as they are, planes and all: only the order of their bytes changes.
Others are worked on side by side in worker processes, and are written to a spool in their order.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from app.dicom.encapsulation import fragment
from app.dicom.instance import ByteRange
from app.dicom.pixel_description import PixelDescription, describe_pixels
from app.dicom.pixel_value import PIXEL_DATA
from app.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    is_encapsulated,
)
from app.dicom.values import unit_bytes
from app.errors import Undecodable, Unencodable
from app.limits import Limits
from app.pixels.encode import EncodedFrame
from app.pixels.native import swap_width, swapped
from app.pixels.pool import WorkerPool
from app.pixels.transcode import transcode_frame
from app.services.in_order import in_order
from app.services.original import Original, PixelPlace
from app.services.spool import Spool


@dataclass(frozen=True, slots=True)
class Frames:
    """What became of frames: the lengths of their data, and what the first is."""

    lengths: tuple[int, ...]
    first: EncodedFrame


class Recoder:
    """Works on the frames of one object."""

    def __init__(self, original: Original, pool: WorkerPool, limits: Limits) -> None:
        """Work in `pool`. Raises Undecodable where there are no frames to be told apart."""
        pixels = original.pixels
        if pixels is None or pixels.layout is None:
            raise Undecodable("The instance has no frames that can be told apart.")
        self._original = original
        self._pixels = pixels
        self._frames = pixels.layout.frames
        self._native = not pixels.layout.encapsulated
        self._pool = pool
        self._limits = limits

    @property
    def count(self) -> int:
        """Return how many frames there are."""
        return len(self._frames)

    @property
    def stored_bytes(self) -> int:
        """Return how much the frames take up as they are stored."""
        return sum(part.length for frame in self._frames for part in frame)

    def describe(self) -> PixelDescription:
        """Return what the pixel data mean. Raises Undecodable."""
        return describe_pixels(self._original.attributes, frame_bytes=self._limits.frame_bytes)

    async def native(self, numbers: Sequence[int], spool: Spool) -> tuple[int, ...]:
        """Write native frames in little endian, and return their lengths."""
        lengths = []
        for number in numbers:
            data = await self._bytes(number)
            await spool.write(data)
            lengths.append(len(data))
        return tuple(lengths)

    async def made(
        self, numbers: Sequence[int], wanted: str, spool: Spool, *, fragments: bool, patiently: bool
    ) -> Frames:
        """Write frames in another transfer syntax, as `fragments` or one after the other.

        Raises Undecodable, Unencodable, NotFound, BlobsUnavailable, and Busy unless `patiently`.
        """
        if self._pixels.tag != int(PIXEL_DATA, 16):
            raise Unencodable("Floating point pixel data cannot be encoded.")
        description = self.describe()
        if description.decoded_bytes * len(numbers) > self._limits.transcoded_bytes:
            raise Unencodable("What is asked for is larger than the limit transcoded_bytes.")
        deeds = (
            self._frame(number, wanted, description, patiently=patiently or bool(index))
            for index, number in enumerate(numbers)
        )
        making = in_order(deeds, at_once=self._pool.workers)
        lengths, first = [], None
        try:
            async for task in making:
                frame = task.result()
                first = first or frame
                if frame.photometric_interpretation != first.photometric_interpretation:
                    raise Undecodable("The frames have different color spaces.")
                lengths.append(len(frame.data))
                await spool.write(fragment(frame.data) if fragments else frame.data)
        finally:
            await making.aclose()
        if first is None:
            raise Undecodable("The instance has no frames.")
        return Frames(tuple(lengths), first)

    async def _frame(
        self, number: int, wanted: str, description: PixelDescription, *, patiently: bool
    ) -> EncodedFrame:
        data = await self._bytes(number)
        run = self._pool.run_patiently if patiently else self._pool.run
        syntax = self._original.syntax
        if not is_encapsulated(syntax):
            syntax = EXPLICIT_VR_LITTLE_ENDIAN  # as `_bytes` returns it
        return await run(transcode_frame, data, syntax, wanted, description)

    async def _bytes(self, number: int) -> bytes:
        """Return a frame, a native one in little endian."""
        stretches = self._frames[number - 1]
        width = swap_width_of(self._original, self._pixels, self._limits) if self._native else 1
        if width == 1:
            return await self._original.joined(stretches)
        # words do not end where frames of an odd number of bytes do
        (frame,), value = stretches, self._pixels.value
        before = (frame.offset - value.offset) % width
        stop = min(frame.offset + frame.length + width - 1, value.offset + value.length)
        part = ByteRange(frame.offset - before, stop - frame.offset + before)
        whole = part.length - part.length % width
        data = swapped(await self._original.read(ByteRange(part.offset, whole)), width)
        return data[before : before + frame.length]


def swap_width_of(original: Original, pixels: PixelPlace, limits: Limits) -> int:
    """Return how many bytes of native pixel data are in reverse order; 1 is none."""
    if original.syntax != EXPLICIT_VR_BIG_ENDIAN:
        return 1
    try:
        description = describe_pixels(original.attributes, frame_bytes=limits.frame_bytes)
    except Undecodable:
        return unit_bytes(pixels.vr)
    return unit_bytes(pixels.vr) if description.is_float else swap_width(description)


async def in_little_endian(
    original: Original, part: ByteRange, width: int
) -> AsyncGenerator[bytes, None]:
    """Yield a stretch with the bytes of each unit of `width` in reverse."""
    rest = b""
    async for chunk in original.stream(part):
        if width == 1:
            yield chunk
            continue
        data = rest + chunk
        whole = len(data) - len(data) % width
        rest = data[whole:]
        yield swapped(data[:whole], width)
    if rest:
        yield rest
