from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.fhir.provenance import Requester
from app.services.requester import requester
from app.web.requester import LONGEST_NAME, NameRequester


class SignedIn:
    """Stands for an authentication before: ASGI middleware that says who the user is."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        user = type("User", (), {"display_name": "jane"})()
        await self._app({**scope, "user": user}, receive, send)


async def show(_: Request) -> JSONResponse:
    return JSONResponse({"user": requester().user, "client": requester().client})


async def shown(app: Any, headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server.test") as client:
        client.headers.pop("user-agent")
        answer: dict[str, str] = (await client.get("/", headers=headers)).json()
        return answer


APP = NameRequester(Starlette(routes=[Route("/", show)]))


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([(b"User-Agent", b"Modality/7")], "Modality/7"),
        ([], ""),
        ([(b"User-Agent", b"a\x01b")], "ab"),
        ([(b"User-Agent", b"x" * 5_000)], "x" * LONGEST_NAME),
    ],
)
async def test_the_program_that_asks_is_known_to_what_it_begins(
    headers: list[tuple[bytes, bytes]], client: str
) -> None:
    assert await shown(APP, headers) == {"user": "", "client": client}


async def test_the_user_is_whom_the_authentication_found() -> None:
    assert (await shown(SignedIn(APP), []))["user"] == "jane"


def test_without_a_request_nobody_asks() -> None:
    assert requester() == Requester()
