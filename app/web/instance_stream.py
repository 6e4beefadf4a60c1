"""The body of an answer with many instances.

Strategy: small instances are read many at a time and sent in large pieces, as each single step of an answer
costs more than reading a small file does; large ones are sent in chunks. What is missing in the blob store
is left out, counted and logged: one lost object must not make a study unreadable. So is what cannot be had
in the transfer syntax that is asked for.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace

import structlog

from app.errors import CoregisterError, NotAcceptable, NotFound, Unencodable
from app.services.retrieve import Found, Located, Retrieve
from app.services.transcode import Transcode, Transcoded
from app.web.packing import Packing

LARGE_BYTES = 1024 * 1024  # an instance above this is sent in chunks
GROUP_BYTES = 1024 * 1024  # read at once
SEND_BYTES = 256 * 1024
SERVER_FAULT = 500

log = structlog.get_logger(__name__)


class _LeftOut(Exception):
    """An instance is not sent."""

    def __init__(self, reason: CoregisterError) -> None:
        super().__init__(reason)
        self.reason = reason


class InstanceStream:
    """Makes the body; tells meanwhile how far it is and what had to be left out."""

    def __init__(
        self,
        retrieve: Retrieve,
        transcode: Transcode,
        found: Found[Located],
        packing: Packing,
        *,
        syntaxes: Mapping[str, str],
        takes_any: bool,
    ) -> None:
        """Send those of `found` that are stored in one of `syntaxes`, in the one beside it.

        What turns out to be impossible to make so goes out as stored to a client that `takes_any`.
        """
        self._retrieve = retrieve
        self._transcode = transcode
        self._found = found
        self._packing = packing
        self._syntaxes = syntaxes
        self._takes_any = takes_any
        self.sent = 0
        self.missing = 0
        self.refusal: CoregisterError | None = None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body."""
        waiting: list[bytes] = []
        async for page in self._found.pages:
            wanted = [each for each in page if each.transfer_syntax_uid in self._syntaxes]
            changed = [(each, self._sent_in(each)) for each in wanted if not self._is_kept(each)]
            made = self._transcode.instances(changed)
            try:
                for group in self._groups(wanted):
                    if self._is_kept(group[0]) and group[0].size <= LARGE_BYTES:
                        waiting += await self._small(group)
                    else:
                        async for piece in self._large(group[0], made):
                            waiting.append(piece)
                            if sum(map(len, waiting)) >= SEND_BYTES:
                                yield b"".join(waiting)
                                waiting.clear()
                    if sum(map(len, waiting)) >= SEND_BYTES:
                        yield b"".join(waiting)
                        waiting.clear()
            finally:
                await made.aclose()
        waiting.append(self._packing.close())
        yield b"".join(waiting)

    async def _small(self, group: Sequence[Located]) -> list[bytes]:
        packed: list[bytes] = []
        for located, data in zip(group, await self._retrieve.read_whole(group), strict=True):
            if data is None:
                self._miss()
                continue
            if located.correction is not None:
                packed += await self._small_corrected(located, data)
                continue
            self.sent += 1
            packed += self._packing.whole(located, data)
        return packed

    async def _small_corrected(self, located: Located, data: bytes) -> list[bytes]:
        try:
            data = await self._retrieve.corrected(located, data)
        except Unencodable as error:
            self._leave_out(error)
            return []
        self.sent += 1
        return self._packing.whole(replace(located, size=len(data)), data)

    async def _large(
        self, located: Located, made: AsyncGenerator[Transcoded | CoregisterError, None]
    ) -> AsyncGenerator[bytes, None]:
        begun = False
        try:
            located, chunks = await self._opened(located, made)
            async for chunk in chunks:
                if not begun:
                    begun = True
                    self.sent += 1
                    yield self._packing.begin(located)
                yield self._packing.piece(chunk)
        except NotFound:
            if begun:  # removed in the middle: only a broken answer can say that
                raise
            self._miss()
        except _LeftOut as left_out:
            self._leave_out(left_out.reason)
        if begun:
            yield self._packing.end()

    async def _opened(
        self, located: Located, made: AsyncGenerator[Transcoded | CoregisterError, None]
    ) -> tuple[Located, AsyncIterator[bytes]]:
        """Return an instance as it is sent, and its bytes in chunks. Raises _LeftOut, NotFound."""
        if not self._is_kept(located):
            result = await anext(made)
            if isinstance(result, Transcoded):
                return result.located, result.chunks()
            if not (self._takes_any and isinstance(result, NotAcceptable)):
                raise _LeftOut(result)
        if located.correction is None:
            return located, self._retrieve.stream(located)
        try:
            whole = await self._retrieve.whole(located)
        except Unencodable as error:
            raise _LeftOut(error) from error
        (size,) = whole.lengths
        return replace(located, size=size), self._retrieve.stream_values(whole)

    def _sent_in(self, located: Located) -> str:
        return self._syntaxes[located.transfer_syntax_uid]

    def _is_kept(self, located: Located) -> bool:
        return self._sent_in(located) == located.transfer_syntax_uid

    def _leave_out(self, error: CoregisterError) -> None:
        if error.status >= SERVER_FAULT:
            raise error
        self.missing += 1
        self.refusal = error
        log.warning("instance_left_out", error=type(error).__name__)

    def _miss(self) -> None:
        self.missing += 1
        log.error("object_missing")

    def _groups(self, instances: Sequence[Located]) -> Iterator[list[Located]]:
        """Yield instances in groups to be read at once; large and changed ones alone."""
        group: list[Located] = []
        size = 0
        for located in instances:
            alone = located.size > LARGE_BYTES or not self._is_kept(located)
            if group and (size + located.size > GROUP_BYTES or alone):
                yield group
                group, size = [], 0
            group.append(located)
            size += located.size
            if alone:
                yield group
                group, size = [], 0
        if group:
            yield group
