"""A TCP proxy between Coregister and a store, which can be told to misbehave."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

from tests.server import free_port

CHUNK = 64 * 1024
SLOW_SECONDS = 0.3  # for each chunk, each way


class Mode(Enum):
    """How the proxy treats connections."""

    PASS = auto()
    REFUSE = auto()  # nobody listens
    BLACK_HOLE = auto()  # takes everything, answers nothing
    RESET = auto()  # breaks off when the server has answered so many bytes
    SLOW = auto()


class Proxy:
    """Listens on a port of its own, in a thread of its own, until closed."""

    def __init__(self, target_url: str) -> None:
        """Forward to the server of this URL."""
        parts = urlsplit(target_url)
        self._target = (parts.hostname, parts.port)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}{parts.path}"
        self._mode, self._after = Mode.PASS, 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._listen())

    def become(self, mode: Mode, *, after: int = 0) -> None:
        """Treat new connections like this from now on, and break the open ones off."""
        self._run(self._become(mode, after))

    def close(self) -> None:
        """Stop; the port is free again."""
        self.become(Mode.REFUSE)
        self._run(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _become(self, mode: Mode, after: int) -> None:
        self._mode, self._after = mode, after
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        if mode is not Mode.REFUSE:
            await self._listen()

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._mode is Mode.BLACK_HOLE:
                while await reader.read(CHUNK):
                    pass
                return
            answers, upstream = await asyncio.open_connection(*self._target)
            self._open.add(upstream)
            limit = self._after if self._mode is Mode.RESET else None
            await asyncio.gather(
                self._forward(reader, upstream, None), self._forward(answers, writer, limit)
            )
        except OSError:
            pass  # one side went away; the other is closed below
        finally:
            for each in filter(None, (writer, upstream)):
                self._open.discard(each)
                each.transport.abort()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, limit: int | None
    ) -> None:
        """Pass bytes on; after `limit` of them break off."""
        passed = 0
        while data := await source.read(CHUNK):
            if self._mode is Mode.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            if limit is not None and passed + len(data) > limit:
                target.write(data[: limit - passed])
                with contextlib.suppress(OSError):
                    await target.drain()
                raise ConnectionResetError
            target.write(data)
            await target.drain()
            passed += len(data)
        raise ConnectionResetError
