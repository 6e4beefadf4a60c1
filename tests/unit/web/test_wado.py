"""Which instances of a study are sent to whom asks for a transfer syntax (PS3.18 §10.4, §8.7.3)."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from app.errors import CoregisterError
from app.services.retrieve import Located, Target
from app.web import problem
from app.web.routes import BASE, ROUTES

EXPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
STUDY = f"{BASE}/studies/1.2"
INSTANCE = f"{STUDY}/series/1.2.3/instances/1.2.3.4"


class Stored:
    """Instances in memory, in place of the service over the real stores."""

    def __init__(self, *syntaxes: str) -> None:
        self._located = [
            Located("1.2", "1.2.3", f"1.2.3.{number}", syntax, f"key{number}", 4)
            for number, syntax in enumerate(syntaxes, start=4)
        ]

    async def instances(self, _: Target) -> AsyncIterator[Located]:
        for located in self._located:
            yield located

    async def bytes_of(self, located: Located) -> bytes:
        return located.blob_key.encode()

    async def stream(self, located: Located) -> AsyncIterator[bytes]:
        yield located.blob_key.encode()


async def get(path: str, accept: str, syntaxes: Sequence[str]) -> httpx.Response:
    app = Starlette(
        routes=list(ROUTES),
        exception_handlers={
            CoregisterError: problem.coregister_error,
            HTTPException: problem.http_error,
        },
    )

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"retrieve": Stored(*syntaxes)}}, receive, send)

    transport = httpx.ASGITransport(with_state)
    async with httpx.AsyncClient(transport=transport, base_url="http://archive") as http:
        return await http.get(path, headers={"Accept": accept})


@pytest.mark.parametrize(
    "accept", ["*/*", 'multipart/related; type="application/dicom"; transfer-syntax=*']
)
async def test_without_a_wish_every_instance_is_sent_as_stored(accept: str) -> None:
    answer = await get(STUDY, accept, [EXPLICIT, JPEG])

    assert answer.status_code == 200
    assert [key in answer.content for key in (b"key4", b"key5")] == [True, True]
    assert f"transfer-syntax={JPEG}".encode() in answer.content


@pytest.mark.parametrize("order", [[EXPLICIT, JPEG], [JPEG, EXPLICIT]])
async def test_instances_in_another_syntax_are_left_out(order: list[str]) -> None:
    """Whichever of them comes first."""
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={JPEG}'

    answer = await get(STUDY, accept, order)

    assert answer.status_code == 200
    assert answer.content.count(b"application/dicom; transfer-syntax=") == 1
    assert f"transfer-syntax={JPEG}".encode() in answer.content


async def test_where_no_instance_is_in_the_syntax_it_is_a_406_that_says_which_is() -> None:
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}'

    answer = await get(STUDY, accept, [JPEG])

    assert (answer.status_code, JPEG in answer.json()["detail"]) == (406, True)


async def test_an_alternative_for_something_else_does_not_lift_the_wish() -> None:
    accept = f"application/dicom; transfer-syntax={EXPLICIT}, text/html"

    assert (await get(INSTANCE, accept, [JPEG])).status_code == 406


async def test_a_single_part_names_its_syntax() -> None:
    answer = await get(INSTANCE, "application/dicom", [JPEG])

    assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={JPEG}"
    assert answer.content == b"key4"


async def test_what_is_not_there_is_a_404() -> None:
    assert (await get(STUDY, "*/*", [])).status_code == 404


async def test_what_is_no_uid_is_a_400() -> None:
    assert (await get(f"{BASE}/studies/Doe^John", "*/*", [])).status_code == 400
