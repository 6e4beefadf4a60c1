"""No answer can become a page in a browser."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.errors import BadQuery, CoregisterError
from app.web import problem
from app.web.safe_headers import HEADERS, SafeHeaders


async def _page(_: Request) -> Response:
    return Response("<script>", headers={"Content-Type": "text/html"})


async def _refused(_: Request) -> Response:
    raise BadQuery("No.")


async def _bug(_: Request) -> Response:
    raise ValueError("Sentinel^Patient")


APP = Starlette(
    routes=[Route("/page", _page), Route("/refused", _refused), Route("/bug", _bug)],
    middleware=[Middleware(SafeHeaders)],
    exception_handlers={
        CoregisterError: problem.coregister_error,
        HTTPException: problem.http_error,
        Exception: problem.unexpected_error,
    },
)


@pytest.mark.parametrize(
    ("path", "status"), [("/page", 200), ("/refused", 400), ("/bug", 500), ("/nothing", 404)]
)
async def test_every_answer_is_marked(path: str, status: int) -> None:
    transport = httpx.ASGITransport(APP, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://archive") as http:
        answer = await http.get(path)

    assert answer.status_code == status
    assert {name: answer.headers.get_list(name) for name in HEADERS} == {
        name: [value] for name, value in HEADERS.items()
    }
    assert "Sentinel" not in answer.text
