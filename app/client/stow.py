"""Sends DICOM files to a DICOMweb server in batches (PS3.18 §10.5).

Strategy: a batch is one multipart request, read from disk piece by piece while it is sent. What the
answer says of each SOP Instance UID is given back to the file it came from. Where that is not certain
(an object whose UID cannot be read, two files with one UID, a request refused as a whole) the file is
sent again alone: then every answer is about it. That does no harm, for storing the same bytes twice
is a success.
"""

import asyncio
import email.utils
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from app.client.answer import Remark, StowAnswer, read_answer
from app.client.sources import FileMeta, Source
from app.errors import ServerUnreachable, SourceUnreadable

PIECE_BYTES = 512 * 1024
COME_BACK_LATER = frozenset({429, 502, 503, 504})
NO_STORE_HERE = frozenset({401, 403, 404, 405, 415})
ANSWERED = frozenset({200, 202, 409})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file to send, and what its File Meta Information says."""

    source: Source
    meta: FileMeta


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    source: Source
    sop_instance_uid: str
    refusal: Remark | None = None  # None: the server has it
    warning: Remark | None = None  # stored, but …

    @property
    def stored(self) -> bool:
        """Return whether the server acknowledged the file."""
        return self.refusal is None


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to try again when the server is busy or away."""

    tries: int = 8
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0

    def pause_after(self, attempt: int, retry_after: str | None) -> float:
        """Return how long to wait after the n-th try; the server's own wish goes first."""
        asked = _seconds(retry_after)
        pause = self.first_pause_seconds * 2 ** (attempt - 1) if asked is None else asked
        return min(pause, self.longest_pause_seconds)


def _unheard(sent: int) -> None:
    """Is told of bytes sent where nobody wants to know."""
    del sent


class StowClient:
    """Stores files on one DICOMweb server; any number of calls at once."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        *,
        patience: Patience | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Talk to the DICOMweb service at `base_url`."""
        self._http = http
        self._studies = base_url.rstrip("/") + "/studies"
        self._patience = patience or Patience()
        self._sleep = sleep

    async def probe(self) -> None:
        """Return when a DICOMweb service answers; ServerUnreachable otherwise."""
        response = await self._patiently(
            lambda: self._http.get(
                self._studies, params={"limit": "1"}, headers={"Accept": "application/dicom+json"}
            ),
            once=True,
        )
        if response.is_success:
            return
        raise ServerUnreachable(
            f"{self._studies} answers {response.status_code}: it is no DICOMweb service"
            if response.status_code not in COME_BACK_LATER
            else f"The server is not ready: {self._studies} answers {response.status_code}"
        )

    async def store(
        self, batch: Sequence[Prepared], on_sent: Callable[[int], object] = _unheard
    ) -> list[Outcome]:
        """Send the files and return what became of each; ServerUnreachable where nobody answers.

        `on_sent` is told the number of bytes whenever some are on their way.
        """
        try:
            response = await self._patiently(lambda: self._post(batch, on_sent))
        except SourceUnreadable as error:
            if len(batch) > 1:
                return await self._each_alone(batch)
            return [_refused(batch[0], Remark(comment=error.message))]
        except httpx.TransportError as error:
            await self.probe()  # it is there, and yet hangs up on this request
            if len(batch) > 1:
                return await self._each_alone(batch)
            words = f"the connection breaks while it is sent ({type(error).__name__})"
            return [_refused(batch[0], Remark(comment=words))]
        if response.status_code in NO_STORE_HERE or response.status_code in COME_BACK_LATER:
            raise ServerUnreachable(
                f"Storing at {self._studies} is answered with {response.status_code}: "
                f"{response.reason_phrase}"
            )
        return await self._attribute(batch, response)

    async def _attribute(
        self, batch: Sequence[Prepared], response: httpx.Response
    ) -> list[Outcome]:
        if len(batch) == 1:
            return [_of_single(batch[0], response)]
        answer = _answer(response)
        shared = Counter(prepared.meta.sop_instance_uid for prepared in batch)
        outcomes, open_ = [], []
        for prepared in batch:
            uid = prepared.meta.sop_instance_uid
            if shared[uid] == 1 and uid in answer.stored:
                warning = answer.stored[uid]
                outcomes.append(Outcome(prepared.source, uid, warning=warning))
            elif shared[uid] == 1 and uid in answer.refused:
                outcomes.append(_refused(prepared, answer.refused[uid]))
            else:
                open_.append(prepared)
        return outcomes + await self._each_alone(open_)

    async def _each_alone(self, batch: Sequence[Prepared]) -> list[Outcome]:
        return [outcome for one in batch for outcome in await self.store([one])]

    async def _post(
        self, batch: Sequence[Prepared], on_sent: Callable[[int], object]
    ) -> httpx.Response:
        boundary = secrets.token_hex(16)
        heads = [_part_head(boundary, prepared, first=prepared is batch[0]) for prepared in batch]
        end = f"\r\n--{boundary}--\r\n".encode()
        length = len(end) + sum(len(head) for head in heads)
        length += sum(prepared.source.size for prepared in batch)
        headers = {
            "Accept": "application/dicom+json",
            "Content-Length": str(length),
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        }
        async with aclosing(_sent(_body(batch, heads, end), on_sent)) as content:
            return await self._http.post(self._studies, headers=headers, content=content)

    async def _patiently(
        self, call: Callable[[], Awaitable[httpx.Response]], *, once: bool = False
    ) -> httpx.Response:
        """Call until there is an answer other than `come back later`, or patience ends."""
        tries = 1 if once else self._patience.tries
        for attempt in range(1, tries + 1):
            try:
                response = await call()
            except httpx.ConnectError as error:
                if attempt == tries:
                    raise ServerUnreachable(f"Nobody answers at {self._studies}") from error
                wish = None
            except httpx.TransportError:
                if attempt == tries:
                    raise
                wish = None
            else:
                if response.status_code not in COME_BACK_LATER or attempt == tries:
                    return response
                wish = response.headers.get("Retry-After")
            await self._sleep(self._patience.pause_after(attempt, wish))
        raise AssertionError("the last try returns or raises")


async def in_thread(iterator: Iterator[T]) -> T | None:
    """Return the next item, or None at the end, without stopping the event loop.

    When cancelled it waits for the thread first: an iterator that still runs could not be closed.
    """
    step: asyncio.Future[T | None] = asyncio.ensure_future(asyncio.to_thread(next, iterator, None))
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step])
        raise


async def _sent(
    pieces: Generator[bytes, None, None], on_sent: Callable[[int], object]
) -> AsyncGenerator[bytes, None]:
    try:
        while (piece := await in_thread(pieces)) is not None:
            yield piece
            on_sent(len(piece))
    finally:
        pieces.close()  # the file in hand, too


def _body(
    batch: Sequence[Prepared], heads: Sequence[bytes], end: bytes
) -> Generator[bytes, None, None]:
    """Yield a multipart body in pieces of about PIECE_BYTES, however small the files are."""
    gathered = bytearray()
    for prepared, head in zip(batch, heads, strict=True):
        gathered += head
        for piece in prepared.source.pieces(PIECE_BYTES):
            gathered += piece
            if len(gathered) >= PIECE_BYTES:
                yield bytes(gathered)
                gathered.clear()
    yield bytes(gathered + end)


def _part_head(boundary: str, prepared: Prepared, *, first: bool) -> bytes:
    return (
        ("" if first else "\r\n") + f"--{boundary}\r\n"
        "Content-Type: application/dicom\r\n"
        f"Content-Length: {prepared.source.size}\r\n\r\n"
    ).encode()


def _of_single(prepared: Prepared, response: httpx.Response) -> Outcome:
    """Return what the answer to a request with one file says of it, under whichever UID."""
    answer = _answer(response)
    refusals = [*answer.refused.values(), *answer.others]
    if response.status_code in ANSWERED and not refusals and response.is_success:
        uid = next(iter(answer.stored), prepared.meta.sop_instance_uid)
        return Outcome(prepared.source, uid, warning=answer.stored.get(uid))
    words = f"the server answers {response.status_code} {response.reason_phrase}"
    return _refused(prepared, refusals[0] if refusals else Remark(comment=words))


def _refused(prepared: Prepared, refusal: Remark) -> Outcome:
    return Outcome(prepared.source, prepared.meta.sop_instance_uid, refusal=refusal)


def _answer(response: httpx.Response) -> StowAnswer:
    if response.status_code not in ANSWERED:
        return StowAnswer()
    try:
        payload: Any = response.json()
    except ValueError:
        return StowAnswer()
    return read_answer(payload)


def _seconds(retry_after: str | None) -> float | None:
    """Return what Retry-After asks for: a number of seconds, or a moment (RFC 9110 §10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
