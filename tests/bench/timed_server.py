"""Runs `coregister serve` and writes down each call of the FHIR server: when, how long, about what.

TIMED_CALLS=calls.jsonl python -m tests.bench.timed_server serve
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from app.cli import main
from app.stores.hapi_client import HapiClient

CALLS = "TIMED_CALLS"


def time_calls(path: Path) -> None:
    """Have every call written down, one JSON object a line, on the clock that all processes share."""
    file = path.open("a", buffering=1, encoding="utf-8")
    exchange = HapiClient.exchange

    async def timed(self: HapiClient, method: str, path: str, **rest: Any) -> httpx.Response:
        begun = time.monotonic()
        try:
            return await exchange(self, method, path, **rest)
        finally:
            about = sorted(set(_about(path, rest.get("data"))))
            call = {"begun": begun, "ended": time.monotonic(), "method": method, "about": about}
            file.write(json.dumps(call) + "\n")

    HapiClient.exchange = timed  # type: ignore[method-assign]


def _about(path: str, data: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the types of resources that a call is about."""
    if data is None or data.get("resourceType") != "Bundle":
        kind, _, rest = path.strip("/").partition("?")[0].partition("/")
        # the history of all is read off the answer's path
        yield rest if rest == "_history" else kind
        return
    for entry in data.get("entry", ()):
        yield entry["request"]["url"].partition("/")[0].partition("?")[0]


if __name__ == "__main__":
    time_calls(Path(os.environ[CALLS]))
    main()
