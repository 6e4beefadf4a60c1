"""An HTTP proxy before a FHIR server that fails at random; the same way for a seed and an order of requests."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Coroutine, Mapping
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from tests.server import free_port

OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "conflict", "diagnostics": "HAPI-0550: made up"}],
}


class Fault(Enum):
    """What becomes of a request."""

    CONFLICT = "409, and nothing is done"
    UNAVAILABLE = "503, and nothing is done"
    UNHEARD = "nothing is done, and no answer comes"
    LOST = "it is done, and the answer is broken off"
    LATE = "it is done, and the answer comes too late"


OF_WRITES = {
    Fault.CONFLICT: 0.12,
    Fault.UNAVAILABLE: 0.06,
    Fault.UNHEARD: 0.02,
    Fault.LOST: 0.05,
    Fault.LATE: 0.03,
}
OF_READS = {Fault.UNAVAILABLE: 0.05, Fault.UNHEARD: 0.01, Fault.LOST: 0.02}


class FlakyFhir:
    """Listens on a port of its own, in a thread of its own, until closed."""

    def __init__(self, target_url: str, *, seed: int, late_seconds: float) -> None:
        """Forward to the FHIR base `target_url`; an answer that is late takes `late_seconds`."""
        parts = urlsplit(target_url)
        self._target = f"{parts.scheme}://{parts.netloc}"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}{parts.path}"
        self.failing = False
        self.down = False
        self.faults: Counter[Fault] = Counter()
        self._random = random.Random(seed)
        self._late_seconds = late_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._listen())

    def close(self) -> None:
        """Stop; the port is free again."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = self._chosen(OF_READS if request.method == "GET" else OF_WRITES)
        if fault is not None:
            self.faults[fault] += 1
        if self.down or fault is Fault.UNAVAILABLE:
            return web.json_response({**OUTCOME}, status=503, headers={"Retry-After": "1"})
        if fault is Fault.CONFLICT:
            return web.json_response(OUTCOME, status=409)
        if fault is Fault.UNHEARD:
            await asyncio.sleep(self._late_seconds)
            return _broken_off(request)
        answer = await self._forward(request, body)
        if fault is Fault.LATE:
            await asyncio.sleep(self._late_seconds)
        return _broken_off(request) if fault is Fault.LOST else answer

    def _chosen(self, rates: Mapping[Fault, float]) -> Fault | None:
        if not self.failing:
            return None
        roll = self._random.random()
        for fault, rate in rates.items():
            roll -= rate
            if roll < 0:
                return fault
        return None

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        url = f"{self._target}{request.raw_path}"
        headers = {n: v for n, v in request.headers.items() if n.lower() not in _OF_CONNECTIONS}
        as_sent = URL(url, encoded=True)
        async with self._session.request(
            request.method, as_sent, data=body or None, headers=headers
        ) as answer:
            kept = {n: v for n, v in answer.headers.items() if n.lower() not in _OF_CONNECTIONS}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


_OF_CONNECTIONS = frozenset(
    {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}
)


def _broken_off(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
