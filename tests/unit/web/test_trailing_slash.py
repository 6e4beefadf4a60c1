"""A slash at the end of an address neither matters nor sends anybody elsewhere."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from app.main import build_app
from app.settings import Settings
from app.web.routes import BASES
from app.web.trailing_slash import TrailingSlash


async def _here(request: Request) -> Response:
    return Response(request.scope["path"])


APP = Starlette(
    routes=[
        *(
            Mount(base, routes=[Route("/", _here), Route("/a/b", _here)])
            for base in reversed(BASES)
        ),
        Route("/page", _here),
        Route("/page/{path:path}", _here),
    ],
    middleware=[Middleware(TrailingSlash, bases=BASES, excepted="/page")],
)


async def get(app: Starlette, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as http:
        return await http.get(path)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("below", ["", "/a/b"])
async def test_an_address_is_served_with_a_slash_and_without(base: str, below: str) -> None:
    for path in (base + below, f"{base}{below}/", f"{base}{below}//"):
        answer = await get(APP, path)
        assert answer.status_code == 200
        assert answer.text.rstrip("/") == base + below


@pytest.mark.parametrize("path", ["/page", "/page/", "/page/a/"])
async def test_what_is_excepted_stays_as_it_is(path: str) -> None:
    assert (await get(APP, path)).text == path


@pytest.mark.parametrize("path", ["/", "/nothing/", "/health/nothing/", "/dicom-web/nothing/"])
async def test_nobody_is_sent_to_an_address_made_from_the_host(path: str) -> None:
    answer = await get(build_app(Settings()), path)

    assert (answer.status_code, "Location" in answer.headers) == (404, False)


async def test_the_server_serves_both_spellings() -> None:
    for path in ("/health/live", "/health/live/"):
        assert (await get(build_app(Settings()), path)).status_code == 200
